#include "integration/data_fabric.h"

#include "transport/shm/shm_fabric.h"

namespace sluice::integration {

Result<std::unique_ptr<transport::DataFabric>> open_data_fabric(transport::asio::io_context& loop,
                                                                const DataFabricOptions& options) {
  if (options.choice == DataChoice::kTcp) return std::unique_ptr<transport::DataFabric>();
  if (options.choice == DataChoice::kUcx) return open_ucx_data_fabric(loop);
  transport::shm::ShmOptions shm;
  shm.any_user = options.shm_any_user;
  shm.spin = options.shm_spin;
  auto fabric = transport::shm::open_shm_fabric(loop, shm);
  if (!fabric && options.choice == DataChoice::kAuto) return std::unique_ptr<transport::DataFabric>();
  return fabric;
}

}  // namespace sluice::integration
