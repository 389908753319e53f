// Opens the data fabric that this build has, so that nothing else needs to know whether UCX is built in.
#pragma once

#include <memory>

#include "base/result.h"
#include "transport/asio.h"
#include "transport/fabric.h"

namespace sluice::integration {

/// Errors: kUnsupported when this build has none (SLUICE_UCX=OFF); those of transport::ucx::open_ucx_fabric.
Result<std::unique_ptr<transport::DataFabric>> open_data_fabric(transport::asio::io_context& loop);

}  // namespace sluice::integration
