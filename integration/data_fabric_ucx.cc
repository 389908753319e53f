// The build with UCX.
#include "integration/data_fabric.h"
#include "transport/ucx/ucx_fabric.h"

namespace sluice::integration {

Result<std::unique_ptr<transport::DataFabric>> open_ucx_data_fabric(transport::asio::io_context& loop) {
  return transport::ucx::open_ucx_fabric(loop, {});
}

}  // namespace sluice::integration
