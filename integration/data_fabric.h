// Opens the data fabric that is asked for, so that nothing else needs to know which ones are built in.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "transport/asio.h"
#include "transport/fabric.h"

namespace sluice::integration {

/// What carries KV bytes. kAuto: shared memory to peers of this host and user, tcp to all others.
enum class DataChoice : std::uint8_t { kTcp, kUcx, kShm, kAuto };

/// The choice, and how memory is shared where it is.
struct DataFabricOptions {
  DataChoice choice = DataChoice::kAuto;
  bool shm_any_user = false;
  Duration shm_spin{0};
};

/// nullptr = everything goes over tcp. Errors: kUnsupported when UCX is wanted and not in this build (SLUICE_UCX=OFF);
/// those of transport::ucx::open_ucx_fabric and transport::shm::open_shm_fabric; kAuto has none.
Result<std::unique_ptr<transport::DataFabric>> open_data_fabric(transport::asio::io_context& loop,
                                                                const DataFabricOptions& options);

/// The part of it that depends on the build.
Result<std::unique_ptr<transport::DataFabric>> open_ucx_data_fabric(transport::asio::io_context& loop);

}  // namespace sluice::integration
