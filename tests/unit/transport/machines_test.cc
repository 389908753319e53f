// Laws of the two pure machines: alone under random events, and joined by a channel that loses, doubles and reorders.
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "transport/receiver.h"
#include "transport/sender.h"

namespace sluice::transport {
namespace {

using std::chrono::milliseconds;

constexpr RequestId kRequest{1};
constexpr UnitKey kUnit{kRequest, ChunkIndex(0), LayerGroupIndex(0)};

OpenAck shape() {
  OpenAck ack;
  ack.layout = KvLayout{Layers(1), Heads(1), HeadDim(8), 1, 0, 0, 0.0};
  ack.tokens = Tokens(4);
  ack.chunk_tokens = Tokens(1);
  ack.group_layers = Layers(1);
  ack.units = Units(4);
  return ack;
}

ReceiverOptions receiver_options() {
  ReceiverOptions options;
  options.request = kRequest;
  options.deadline = Instant(milliseconds(1000));
  return options;
}

SenderOptions sender_options() {
  SenderOptions options;
  options.request = kRequest;
  options.deadline = Instant(milliseconds(1200));
  return options;
}

GrantToken token(std::uint64_t generation) {
  GrantToken grant;
  grant.unit = kUnit;
  grant.slot = SlotIndex(0);
  grant.generation = Generation(generation);
  grant.max_length = Bytes(10);
  return grant;
}

template <typename Wanted, typename Actions>
std::size_t count(const Actions& actions) {
  std::size_t found = 0;
  for (const auto& action : actions) found += std::holds_alternative<Wanted>(action) ? 1U : 0U;
  return found;
}

Receiver::Event random_receiver_event(std::mt19937_64& random) {
  switch (random() % 12) {
    case 0:
      return Receiver::Accepted{shape()};
    case 1:
      return Receiver::Rejected{Reject{ErrorCode::kRejected, Duration(0)}};
    case 2:
      return Receiver::Offered{Offer{kUnit, {}}};
    case 3:
      return Receiver::Granted{kUnit, Part::kBase};
    case 4:
      return Receiver::PartCame{kUnit, Part::kBase, ErrorCode::kOk};
    case 5:
      return Receiver::PartCame{kUnit, Part::kBase, ErrorCode::kDigestMismatch};
    case 6:
      return Receiver::SealCame{Units(4)};
    case 7:
      return Receiver::PeerFailed{ErrorCode::kEngineFailed};
    case 8:
      return Receiver::FinishAsked{};
    case 9:
      return Receiver::AbortAsked{ErrorCode::kAborted};
    case 10:
      return Receiver::EndAcknowledged{};
    default:
      return Receiver::Tick{};
  }
}

TEST(Receiver, AnyEventsGiveExactlyOneTerminalByTheDeadline) {
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Receiver receiver(receiver_options());
    std::size_t ends = 0;
    std::size_t told = 0;
    Instant now;
    const auto apply = [&](const Receiver::Event& event) {
      const bool was_terminal = receiver.is_terminal();
      const Receiver::Actions actions = receiver.step(event, now);
      ends += count<Receiver::ReportEnd>(actions);
      told += count<Receiver::TellFailed>(actions);
      ASSERT_EQ(count<Receiver::ReportEnd>(actions), count<Receiver::RevokeLeases>(actions));
      if (was_terminal) {
        ASSERT_EQ(count<Receiver::TellPart>(actions) + count<Receiver::TellOffer>(actions), 0U);
      }
    };
    const std::size_t steps = random() % 40;
    for (std::size_t step = 0; step < steps; ++step) {
      apply(random_receiver_event(random));
      now = now + milliseconds(random() % 30);
    }
    now = std::max(now, receiver_options().deadline);
    apply(Receiver::Tick{});
    EXPECT_EQ(ends, 1U);
    EXPECT_EQ(told, receiver.state() == Receiver::State::kFailed ? 1U : 0U);
  }
}

TEST(Receiver, ABadPartIsGrantedAgainAsOftenAsAllowedAndThenFails) {
  Receiver receiver(receiver_options());
  receiver.step(Receiver::Accepted{shape()}, Instant());
  ASSERT_TRUE(receiver.may_grant(kUnit, Part::kBase));
  receiver.step(Receiver::Granted{kUnit, Part::kBase}, Instant());
  EXPECT_EQ(receiver.may_grant(kUnit, Part::kBase).error().code, ErrorCode::kAlreadyExists);
  const Receiver::PartCame bad{kUnit, Part::kBase, ErrorCode::kDigestMismatch};
  for (int again = 0; again < 3; ++again) EXPECT_EQ(count<Receiver::GrantAgain>(receiver.step(bad, Instant())), 1U);
  const Receiver::Actions last = receiver.step(bad, Instant());
  EXPECT_EQ(count<Receiver::TellFailed>(last), 1U);
  EXPECT_EQ(count<Receiver::SendAbort>(last), 1U);
}

TEST(Receiver, DoneIsSaidAgainUntilAcknowledgedAndABoundedNumberOfTimes) {
  Receiver receiver(receiver_options());
  receiver.step(Receiver::Accepted{shape()}, Instant());
  std::size_t said = count<Receiver::SendDone>(receiver.step(Receiver::FinishAsked{}, Instant()));
  std::size_t forgotten = 0;
  for (int tick = 0; tick < 100 && forgotten == 0; ++tick) {
    const Receiver::Actions actions = receiver.step(Receiver::Tick{}, receiver.wake_at());
    said += count<Receiver::SendDone>(actions);
    forgotten += count<Receiver::Forget>(actions);
  }
  EXPECT_EQ(said, 1U + Receiver::kMaxResends);
  EXPECT_EQ(forgotten, 1U);
}

Sender::Event random_sender_event(std::mt19937_64& random) {
  switch (random() % 9) {
    case 0:
      return Sender::AcceptAsked{shape()};
    case 1:
      return Sender::RejectAsked{Reject{}};
    case 2:
      return Sender::GrantCame{token(random() % 4)};
    case 3:
      return Sender::PartGiven{token(random() % 4)};
    case 4:
      return Sender::SealAsked{Units(4)};
    case 5:
      return Sender::FailAsked{ErrorCode::kEngineFailed};
    case 6:
      return Sender::DoneCame{};
    case 7:
      return Sender::AbortCame{ErrorCode::kAborted};
    default:
      return Sender::Tick{};
  }
}

TEST(Sender, AnyEventsGiveExactlyOneTerminalByTheDeadline) {
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Sender sender(sender_options());
    std::size_t ends = 0;
    std::size_t told = 0;
    Instant now;
    const std::size_t steps = random() % 30;
    for (std::size_t step = 0; step <= steps; ++step) {
      const bool last = step == steps;
      if (last) now = std::max(now, sender_options().deadline);
      const Sender::Actions actions =
          sender.step(last ? Sender::Event(Sender::Tick{}) : random_sender_event(random), now);
      ends += count<Sender::ReportEnd>(actions);
      told += count<Sender::TellDone>(actions) + count<Sender::TellAborted>(actions);
      now = now + milliseconds(random() % 30);
    }
    EXPECT_EQ(ends, 1U);
    const bool by_us = sender.state() == Sender::State::kFailed || sender.state() == Sender::State::kRejected;
    EXPECT_EQ(told, by_us ? 0U : 1U);
  }
}

TEST(Sender, OnlyAGrantedPartMayBeGivenAndOnlyOnce) {
  Sender sender(sender_options());
  EXPECT_EQ(sender.may_give(token(1)).error().code, ErrorCode::kNotFound);
  sender.step(Sender::AcceptAsked{shape()}, Instant());
  EXPECT_EQ(sender.may_give(token(1)).error().code, ErrorCode::kStaleLease);
  EXPECT_EQ(count<Sender::TellGrant>(sender.step(Sender::GrantCame{token(1)}, Instant())), 1U);
  EXPECT_EQ(count<Sender::TellGrant>(sender.step(Sender::GrantCame{token(1)}, Instant())), 0U);
  EXPECT_TRUE(sender.may_give(token(1)));
  EXPECT_EQ(sender.may_give(token(2)).error().code, ErrorCode::kStaleLease);
  sender.step(Sender::PartGiven{token(1)}, Instant());
  EXPECT_EQ(sender.may_give(token(1)).error().code, ErrorCode::kStaleLease);
}

TEST(Sender, AGrantForAUnitThatIsNotThereBreaksTheProtocol) {
  Sender sender(sender_options());
  sender.step(Sender::AcceptAsked{shape()}, Instant());
  GrantToken wrong = token(1);
  wrong.unit.chunk = ChunkIndex(4);
  EXPECT_EQ(count<Sender::Violation>(sender.step(Sender::GrantCame{wrong}, Instant())), 1U);
}

// Both machines, joined by a link that treats the nth message badly. Every message is a closure on the other machine.
class Pair {
 public:
  enum class Harm { kLose, kDouble, kDelay };
  Pair(Harm harm, std::size_t victim) : harm_(harm), victim_(victim) {}

  void run() {
    to_sender([this] { apply(sender_.step(Sender::AcceptAsked{shape()}, now_)); });
    for (int millisecond = 0; millisecond < 4000; ++millisecond) {
      while (!mail_.empty()) {
        const auto message = mail_.front();
        mail_.pop_front();
        message();
      }
      if (!held_.empty()) {
        mail_.swap(held_);
        continue;
      }
      now_ = now_ + milliseconds(1);
      if (receiver_.wake_at() <= now_ && !forgotten_) apply(receiver_.step(Receiver::Tick{}, now_));
      if (sender_.wake_at() <= now_) apply(sender_.step(Sender::Tick{}, now_));
    }
  }

  std::size_t receiver_ends = 0;
  std::size_t sender_ends = 0;
  std::size_t messages = 0;
  Error sender_error;

 private:
  using Message = std::function<void()>;
  void post(const Message& message) {
    if (messages++ != victim_) return mail_.push_back(message);
    if (harm_ == Harm::kDelay) held_.push_back(message);
    if (harm_ == Harm::kDouble) mail_.insert(mail_.end(), 2, message);
  }
  void to_sender(const Message& message) { post(message); }
  void to_receiver(const Receiver::Event& event) {
    post([this, event] { apply(receiver_.step(event, now_)); });
  }

  void apply(const Receiver::Actions& actions) {
    for (const Receiver::Action& action : actions) {
      receiver_ends += std::holds_alternative<Receiver::ReportEnd>(action) ? 1U : 0U;
      forgotten_ = forgotten_ || std::holds_alternative<Receiver::Forget>(action);
      if (std::holds_alternative<Receiver::TellAccept>(action)) {
        apply(receiver_.step(Receiver::Granted{kUnit, Part::kBase}, now_));
        to_sender([this] { apply(sender_.step(Sender::GrantCame{token(1)}, now_)); });
      } else if (std::holds_alternative<Receiver::TellPart>(action)) {
        apply(receiver_.step(Receiver::FinishAsked{}, now_));
      } else if (std::holds_alternative<Receiver::SendDone>(action)) {
        to_sender([this] { end_at_sender(Sender::DoneCame{}); });
      } else if (const auto* abort = std::get_if<Receiver::SendAbort>(&action)) {
        to_sender([this, code = abort->code] { end_at_sender(Sender::AbortCame{code}); });
      }
    }
  }
  // As the session does: acknowledged whatever the machine says.
  void end_at_sender(const Sender::Event& event) {
    apply(sender_.step(event, now_));
    to_receiver(Receiver::EndAcknowledged{});
  }
  void apply(const Sender::Actions& actions) {
    for (const Sender::Action& action : actions) {
      if (const auto* end = std::get_if<Sender::ReportEnd>(&action)) {
        ++sender_ends;
        sender_error = end->error;
      } else if (std::holds_alternative<Sender::SendOpenAck>(action)) {
        to_receiver(Receiver::Accepted{shape()});
      } else if (const auto* grant = std::get_if<Sender::TellGrant>(&action)) {
        apply(sender_.step(Sender::PartGiven{grant->token}, now_));
        to_receiver(Receiver::PartCame{kUnit, Part::kBase, ErrorCode::kOk});
      } else if (const auto* failed = std::get_if<Sender::SendFailed>(&action)) {
        to_receiver(Receiver::PeerFailed{failed->code});
      }
    }
  }

  Harm harm_;
  std::size_t victim_;
  Instant now_;
  Receiver receiver_{receiver_options()};
  Sender sender_{sender_options()};
  bool forgotten_ = false;
  std::deque<Message> mail_;
  std::deque<Message> held_;
};

TEST(Machines, AnyOneMessageLostDoubledOrDelayedStillGivesOneTerminalEach) {
  for (const Pair::Harm harm : {Pair::Harm::kLose, Pair::Harm::kDouble, Pair::Harm::kDelay}) {
    for (std::size_t victim = 0; victim < 12; ++victim) {
      Pair pair(harm, victim);
      pair.run();
      EXPECT_EQ(pair.receiver_ends, 1U) << static_cast<int>(harm) << " " << victim;
      // OPEN lost: the sender never learns of the request and has nothing to end but its own deadline.
      EXPECT_EQ(pair.sender_ends, 1U) << static_cast<int>(harm) << " " << victim;
    }
  }
}

TEST(Machines, LosingDoneOrItsAnswerDoesNotChangeTheOutcome) {
  Pair whole(Pair::Harm::kLose, 1000);
  whole.run();
  ASSERT_EQ(whole.messages, 6U) << "open, ack, grant, part, done, done_ack";
  for (std::size_t victim = 4; victim < 6; ++victim) {
    Pair pair(Pair::Harm::kLose, victim);
    pair.run();
    EXPECT_EQ(pair.sender_error.code, ErrorCode::kOk) << victim;
  }
}

}  // namespace
}  // namespace sluice::transport
