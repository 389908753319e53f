// The side that holds KV: answers peers' requests from the store (reuse) or by running the engine (hand-over), encodes
// each unit as soon as its layers are ready, offers it, and sends the parts that the receiver grants.
// Invariants: a payload lives until the transport lets go of it; a request that ends stops its prefill.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>

#include "integration/node_context.h"
#include "integration/store.h"
#include "transport/session.h"

namespace sluice::integration {

/// When things happened on the sending side of one request, since it was opened; negative = not yet.
struct SendTimes {
  Duration prefill_end{-1};
  Duration first_part_sent{-1};
  Duration sealed{-1};
  /// Codec time of all units together.
  Duration encode{0};
  Bytes sent;
};

/// Threads: the loop's.
class PrefillService {
 public:
  struct Options {
    PartChoice parts;
    Layers group_layers{6};
  };
  PrefillService(const NodeContext& context, Store& store, Options options);
  ~PrefillService();

  void on_open(transport::Session& session, const transport::OpenRequest& request);
  void on_grant(transport::Session& session, const transport::GrantToken& token);
  /// Terminal; `error.code` is kOk when the peer has all it wants.
  void on_ended(transport::Session& session, RequestId request, Error error);
  void on_down(transport::Session& session);
  /// Called once for each request that ends, with the key it asked for.
  void set_observer(std::function<void(const PrefixKey&, Error)> observer) { observer_ = std::move(observer); }
  /// Times of a recent request; nullptr when it is not known.
  const SendTimes* times(RequestId request) const;

 private:
  struct Job;
  using JobKey = std::pair<PeerId, RequestId>;

  void serve_stored(const std::shared_ptr<Job>& job, const std::shared_ptr<const StoredPrompt>& prompt);
  void start_prefill(const std::shared_ptr<Job>& job);
  void on_unit_ready(const std::shared_ptr<Job>& job, UnitKey unit);
  void on_unit_encoded(const std::shared_ptr<Job>& job, UnitKey unit, const std::shared_ptr<const StoredUnit>& made);
  void on_prefill_end(const std::shared_ptr<Job>& job, Result<void> outcome);
  void fail(const std::shared_ptr<Job>& job, ErrorCode why);
  void end(const JobKey& key, Error error);
  void remember(RequestId request, const SendTimes& times);

  const NodeContext& context_;
  Store& store_;
  Options options_;
  std::function<void(const PrefixKey&, Error)> observer_;
  std::map<JobKey, std::shared_ptr<Job>> jobs_;
  std::map<RequestId, SendTimes> recent_;
};

}  // namespace sluice::integration
