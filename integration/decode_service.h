// The side that wants KV: opens a request at a peer, tells the policy what happens, carries out its grants, decodes
// verified parts into planes of ours, and hands the whole over once. What is not whole is never handed over.
// Invariants: exactly one FetchDone per fetch; planes are given out only when every unit reached the policy's floor
// and every decode of it has ended.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "integration/decision_log.h"
#include "integration/node_context.h"
#include "integration/store.h"
#include "scheduler/policy.h"
#include "transport/session.h"

namespace sluice::integration {

/// One prompt's KV is wanted.
struct FetchSpec {
  PrefixKey prefix{};
  /// The tokens whose KV is wanted: the prompt without its last token.
  std::vector<TokenId> tokens;
  transport::OpenMode mode = transport::OpenMode::kHandOver;
  std::string policy = "sluice";
  /// KV must be here by then.
  Instant deadline;
  scheduler::DeadlineKind deadline_kind = scheduler::DeadlineKind::kHard;
  /// The transfer ends by then whatever the policy says.
  Duration hard_limit{0};
  PartsPerMillion quality_floor;
  PartsPerMillion quality_target{1'000'000};
  Duration recompute = Duration::max();
  /// false: the encoded parts are wanted, not the rows.
  bool decode = true;
};

/// When things happened, since the fetch began; negative = never.
struct FetchTimes {
  Duration accepted{-1};
  Duration first_offer{-1};
  Duration first_part{-1};
  Duration complete{-1};
  Duration decoded{-1};
  /// Codec time of all decodes together.
  Duration decode_busy{0};
};

/// How a fetch ended. `error.code` is kOk when planes (or parts) are whole.
struct FetchOutcome {
  RequestId request;
  Error error;
  /// The policy's reason, or the error's name.
  std::string_view reason;
  std::string explanation;
  /// The rows where they were wanted (FetchSpec::decode), else the encoded parts.
  std::shared_ptr<KvPlanes> planes;
  std::shared_ptr<StoredPrompt> parts;
  kernels::RopeSpec rope;  ///< of K
  PartsPerMillion quality;
  Bytes wire;
  Bytes raw;
  std::map<Part, std::uint64_t> arrived;
  FetchTimes times;
};
using FetchDone = std::function<void(FetchOutcome)>;

/// Threads: the loop's.
class DecodeService {
 public:
  struct Options {
    scheduler::PolicyOptions policy;
    /// Rows of all running fetches together.
    Bytes planes{4ULL << 30U};
    /// First request number of this run.
    std::uint64_t first_request = 1;
    /// Takes every event and action; none: they are not kept. Must outlive the service.
    DecisionLog* log = nullptr;
  };
  DecodeService(const NodeContext& context, Options options);
  ~DecodeService();

  /// Begins; `done` is called once, from the loop, later.
  /// Errors: kInvalidArgument for an unknown policy; those of Session::open. `done` is not called then.
  Result<RequestId> fetch(transport::Session& session, FetchSpec spec, FetchDone done);
  /// A number for a request that needs no peer.
  RequestId next_request() { return RequestId(next_request_++); }
  std::size_t running() const { return fetches_.size(); }

  void on_accept(RequestId request, const transport::OpenAck& shape);
  void on_offer(const transport::Offer& offer);
  void on_part(UnitKey unit, Part part, transport::SlotHold hold);
  void on_sealed(RequestId request, Units units);
  void on_failed(RequestId request, Error error);
  void on_slots_free();

 private:
  struct Fetch;
  struct Brain;

  Fetch* find(RequestId request);
  Result<Brain*> brain(const std::string& policy);
  void tell(Brain& brain, const scheduler::Event& event);
  void keep(const Brain& brain, const scheduler::Event& event, Instant now, const scheduler::Actions& actions);
  void carry_out(Brain& brain, const scheduler::Action& action);
  void grant(Brain& brain, const scheduler::Grant& grant);
  void complete(Fetch& fetch, const scheduler::Complete& complete);
  void rearm(Brain& brain);
  void queue_decode(const std::shared_ptr<Fetch>& fetch, std::size_t place);
  void on_decoded(const std::shared_ptr<Fetch>& fetch, std::size_t place, Result<void> outcome);
  void finish_if_whole(const std::shared_ptr<Fetch>& fetch);
  static std::shared_ptr<StoredPrompt> collect_parts(const Fetch& fetch);
  /// Ends a fetch from our side: tells the peer, unless the transfer is over already.
  void give_up(Fetch& fetch, Error error);
  void end(RequestId request, Error error, std::string_view reason);

  const NodeContext& context_;
  Options options_;
  std::uint64_t next_request_;
  Bytes planes_used_;
  std::uint32_t decodes_ = 0;  // that wait or run on the codec worker
  std::map<RequestId, std::shared_ptr<Fetch>> fetches_;
  std::map<std::string, std::unique_ptr<Brain>> brains_;
};

}  // namespace sluice::integration
