// The build without UCX: wanting it is an error that says so.
#include "integration/data_fabric.h"

namespace sluice::integration {

Result<std::unique_ptr<transport::DataFabric>> open_ucx_data_fabric(transport::asio::io_context&) {
  return Error{ErrorCode::kUnsupported, 0, "this build has no UCX fabric"};
}

}  // namespace sluice::integration
