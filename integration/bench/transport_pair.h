// Two processes joined by a session of the product, for `sluice bench transport`: the serving one holds the pool, the
// measuring one asks for windows of it. Digests are on, as always. Loopback, no RDMA.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "integration/bench/bench_data.h"
#include "integration/data_fabric.h"
#include "transport/asio.h"

namespace sluice::integration::bench {

/// One transfer, or kTrips round trips: time, CPU of both processes, and whether every byte was right.
struct Took {
  Duration wall{0};
  Duration cpu{0};
  Duration median_trip{0};  ///< of kRoundTrip
  bool is_right = false;
};

/// Serves until it is killed. `ready` is told the address.
/// Errors: those of open_data_fabric and Endpoint::open.
Result<void> serve_pool(const DataFabricOptions& fabric, const std::function<void(const std::string&)>& ready);

/// CPU time that a process has used so far; zero when it is gone.
Duration cpu_of(int pid);
/// The same of this process.
Duration own_cpu();

/// The measuring end of one session. Threads: the loop's, which it turns by itself.
class TransportPair {
 public:
  /// Connects to serve_pool() of process `pid`. Errors: as serve_pool(), and kUnreachable.
  static Result<std::unique_ptr<TransportPair>> open(transport::asio::io_context& loop, const DataFabricOptions& fabric,
                                                     const std::string& address, int pid);
  virtual ~TransportPair() = default;

  /// "tcp", "ucx" or "shm": what carries KV in fact.
  virtual std::string carried_by() const = 0;
  /// Errors: what the transfer failed with.
  virtual Result<Took> measure(Shape shape) = 0;
  /// Ends the session; the loop is turned until that is done.
  virtual void close() = 0;
};

}  // namespace sluice::integration::bench
