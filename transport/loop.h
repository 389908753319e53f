// The thread that a node's transport runs on, as sessions see it: tasks in turn, alarms by time. Under a real node it
// is an io_context (asio_loop.h); in simulation it is a node's share of virtual time (sim/world.h).
#pragma once

#include <functional>
#include <memory>

#include "base/quantity.h"

namespace sluice::transport {

/// One alarm at a time. Threads: the loop's. Not to be destroyed inside its own call.
class Alarm {
 public:
  virtual ~Alarm() = default;
  /// `ring` is called once, on the loop, when `after` has passed; what was set before is forgotten.
  virtual void set(Duration after, std::function<void()> ring) = 0;
  /// Nothing rings any more until the next set(). So does the destructor.
  virtual void cancel() = 0;
};

/// Threads: post() and dispatch() from any.
class Loop {
 public:
  virtual ~Loop() = default;
  /// Later, on the loop's thread, after what was posted before.
  virtual void post(std::function<void()> task) = 0;
  /// At once when called on the loop's thread, else as post().
  virtual void dispatch(std::function<void()> task) = 0;
  virtual std::unique_ptr<Alarm> make_alarm() = 0;
};

}  // namespace sluice::transport
