// The laws of data fabrics over UCX active messages, in both of its error modes.
#include "tests/unit/transport/data_session.h"
#include "transport/ucx/ucx_fabric.h"

namespace sluice::transport::test {
namespace {

DataFabricCase with_error_handling(const std::string& name, bool peer_error_handling) {
  return {name, [peer_error_handling](asio::io_context& loop) {
            ucx::UcxOptions options;
            options.peer_error_handling = peer_error_handling;
            return std::move(ucx::open_ucx_fabric(loop, options)).value();
          }};
}

INSTANTIATE_TEST_SUITE_P(Ucx, DataSession,
                         testing::Values(with_error_handling("Peer", true), with_error_handling("None", false)),
                         [](const auto& mode) { return mode.param.name; });

}  // namespace
}  // namespace sluice::transport::test
