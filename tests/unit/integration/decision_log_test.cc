// Decision logs: what a policy did goes through the file and comes out the same; whatever is changed in one is found.
#include "integration/decision_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "integration/decision_replay.h"
#include "scheduler/sim/closed_loop.h"

namespace sluice::integration {
namespace {

using scheduler::Actions;
using scheduler::sim::ClosedLoop;
using scheduler::sim::Job;
using scheduler::sim::Link;

/// A policy whose every call is kept in a log, as a daemon does.
class Recorded final : public scheduler::Policy {
 public:
  Recorded(std::unique_ptr<scheduler::Policy> policy, DecisionLog& log) : policy_(std::move(policy)), log_(log) {
    log_.add(LoggedPolicy{0, std::string(policy_->name())});
  }
  void on(const scheduler::Event& event, Instant now, Actions& out) override {
    Actions actions;
    policy_->on(event, now, actions);
    log_.add(LoggedStep{0, now, event, actions, policy_->wake_at()});
    out.insert(out.end(), actions.begin(), actions.end());
  }
  Instant wake_at() const override { return policy_->wake_at(); }
  std::string_view name() const override { return policy_->name(); }

 private:
  std::unique_ptr<scheduler::Policy> policy_;
  DecisionLog& log_;
};

std::filesystem::path fresh_path() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  auto path = std::filesystem::path(testing::TempDir()) / (std::string("decisions_") + test->name() + ".sdl");
  std::filesystem::remove(path);
  return path;
}

std::vector<std::byte> bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// The log of a few requests on a link that slows down, under a policy.
std::vector<std::byte> log_of(const std::string& policy, std::uint32_t requests, Bytes most = Bytes(64ULL << 20U)) {
  const std::filesystem::path path = fresh_path();
  scheduler::PolicyOptions options;
  options.computes_front = true;
  options.promise = PartsPerMillion(990'000);
  auto log = DecisionLog::create({path, most, "test 1"}, options).value();
  Recorded recorded(scheduler::make_policy(policy, options).value(), *log);
  const Link::Phase fast{Duration(0), BitsPerSecond(400'000'000)};
  const Link::Phase slow{Duration(1'100'000'000), BitsPerSecond(30'000'000)};
  ClosedLoop loop(Link{.phases = {fast, slow}, .rtt = Duration(2'000'000), .burst = Bytes(0)}, options);
  std::vector<Job> jobs(requests);
  for (std::uint32_t i = 0; i < requests; ++i) {
    jobs[i].request = RequestId(i + 1);
    jobs[i].opened = Duration(30'000'000) * i;
    jobs[i].deadline = Duration(700'000'000);
    jobs[i].recompute = i % 2 == 0 ? Duration(900'000'000) : Duration::max();
    if (i % 3 == 0) jobs[i].prefill = scheduler::PrefillCost{Duration(1'000'000), 800'000, 10};
    jobs[i].mode = i % 4 == 1 ? scheduler::Mode::kHandOver : scheduler::Mode::kReuse;
  }
  loop.run(recorded, jobs, false);
  log.reset();
  return bytes_of(path);
}

/// Records of a log, and where each begins.
std::vector<std::pair<std::size_t, DecisionRecord>> records_of(std::span<const std::byte> log) {
  std::vector<std::pair<std::size_t, DecisionRecord>> records;
  auto reader = DecisionLogReader::open(log).value();
  while (true) {
    const std::size_t offset = reader.offset();
    auto record = reader.next().value();
    if (!record) return records;
    records.emplace_back(offset, std::move(*record));
  }
}

TEST(DecisionLog, EveryPolicyDecidesTheSameInReplay) {
  for (const char* policy : {"sluice", "cachegen", "cachegen-artifact", "kvserve", "cake", "lynx", "hicache",
                             "raw-fair", "raw-drop", "fixed:base+r1", "everything", "recompute"}) {
    const auto log = log_of(policy, 12);
    const ReplayResult result = replay(log);
    EXPECT_FALSE(result.difference) << policy;
    EXPECT_EQ(result.error, Error{}) << policy << " " << result.error.where;
    EXPECT_EQ(result.offset, log.size()) << policy;
    EXPECT_GE(result.actions, 12U) << policy;
    EXPECT_EQ(result.program, "test 1");
    EXPECT_FALSE(result.is_full);
  }
}

TEST(DecisionLog, ARecordIsReadAsItWasWritten) {
  for (const auto& [offset, record] : records_of(log_of("sluice", 6))) {
    std::vector<std::byte> once;
    encode_record(record, once);
    std::vector<std::byte> twice;
    encode_record(decode_record(once).value(), twice);
    EXPECT_EQ(once, twice);
    // Whatever is missing at the end is noticed, and whatever is too much.
    for (std::size_t size = 0; size < once.size(); ++size) {
      EXPECT_FALSE(decode_record(std::span(once).first(size))) << size;
    }
    once.push_back(std::byte{0});
    EXPECT_EQ(decode_record(once).error().code, ErrorCode::kTrailingBytes);
    if (const auto* step = std::get_if<LoggedStep>(&record)) {
      EXPECT_FALSE(describe(step->event).empty());
    }
  }
}

/// The same log with some steps written anew.
template <typename Change>
std::vector<std::byte> rewritten(std::span<const std::byte> log, Change change) {
  const auto records = records_of(log);
  const std::filesystem::path path = fresh_path();
  const auto& node = std::get<LoggedNode>(records.front().second);
  auto made = DecisionLog::create({path, Bytes(64ULL << 20U), node.program}, node.options).value();
  std::uint64_t steps = 0;
  for (std::size_t i = 1; i < records.size(); ++i) {
    DecisionRecord record = records[i].second;
    if (auto* step = std::get_if<LoggedStep>(&record)) change(++steps, *step);
    made->add(record);
  }
  made.reset();
  return bytes_of(path);
}

TEST(DecisionLog, AnotherAnswerIsShownWithItsEvent) {
  const auto log = log_of("sluice", 4);
  const std::uint64_t steps = replay(log).steps;
  std::uint64_t changed = 0;
  for (std::uint64_t place = 1; place <= steps; ++place) {
    bool has_actions = false;
    const auto other = rewritten(log, [&](std::uint64_t step, LoggedStep& logged) {
      if (step != place || logged.actions.empty()) return;
      has_actions = true;
      if (auto* grant = std::get_if<scheduler::Grant>(&logged.actions.front())) {
        grant->inputs.bytes += Bytes(1);
      } else {
        logged.actions.pop_back();
      }
    });
    if (!has_actions) continue;
    ++changed;
    const ReplayResult result = replay(other);
    ASSERT_TRUE(result.difference) << place;
    EXPECT_EQ(result.steps, place);
    EXPECT_FALSE(result.difference->got.actions.empty());
    EXPECT_EQ(describe(result.difference->logged.event), describe(result.difference->got.event));
  }
  EXPECT_GE(changed, 4U);
  // When the policy wants to be asked again is part of its answer.
  const auto later = rewritten(log, [](std::uint64_t step, LoggedStep& logged) {
    if (step == 2) logged.wake_at = logged.wake_at + Duration(1);
  });
  EXPECT_TRUE(replay(later).difference);
}

TEST(DecisionLog, EveryTruncationIsAnErrorBesidesThoseBetweenRecords) {
  const auto log = log_of("sluice", 1);
  std::vector<std::size_t> bounds = {log.size()};
  for (const auto& [offset, record] : records_of(log)) bounds.push_back(offset);
  for (std::size_t size = 0; size < log.size(); ++size) {
    const ReplayResult result = replay(std::span(log).first(size));
    const bool is_whole = std::find(bounds.begin(), bounds.end(), size) != bounds.end();
    EXPECT_EQ(result.error.code, is_whole ? ErrorCode::kOk : ErrorCode::kTruncated) << size;
    EXPECT_FALSE(result.difference) << size;
  }
}

TEST(DecisionLog, EveryChangedByteIsAnError) {
  auto log = log_of("sluice", 1);
  for (std::size_t at = 0; at < log.size(); ++at) {
    const std::byte before = log[at];
    log[at] ^= std::byte{0x10};
    const ReplayResult result = replay(log);
    EXPECT_NE(result.error.code, ErrorCode::kOk) << at;
    EXPECT_LE(result.offset, at) << at;
    log[at] = before;
  }
}

TEST(DecisionLog, RecordsThatAreLostDoubledOrSwappedAreFound) {
  const auto log = log_of("raw", 2);
  const auto records = records_of(log);
  const auto piece = [&](std::size_t i) {
    const std::size_t end = i + 1 < records.size() ? records[i + 1].first : log.size();
    return std::span(log).subspan(records[i].first, end - records[i].first);
  };
  const auto joined = [&](std::vector<std::size_t> order) {
    std::vector<std::byte> made(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(records.front().first));
    for (const std::size_t i : order) made.insert(made.end(), piece(i).begin(), piece(i).end());
    return replay(made).error.code;
  };
  EXPECT_EQ(joined({0, 1, 2, 3}), ErrorCode::kOk);
  EXPECT_EQ(joined({0, 1, 3}), ErrorCode::kDigestMismatch);
  EXPECT_EQ(joined({0, 1, 2, 2}), ErrorCode::kDigestMismatch);
  EXPECT_EQ(joined({0, 1, 3, 2}), ErrorCode::kDigestMismatch);
  EXPECT_EQ(joined({1, 2}), ErrorCode::kDigestMismatch);
}

TEST(DecisionLog, EndsAtItsBoundAndSaysSo) {
  const auto whole = log_of("sluice", 6);
  for (const std::size_t most : {whole.size() - 1, whole.size() / 2, std::size_t{2000}}) {
    const auto log = log_of("sluice", 6, Bytes(most));
    EXPECT_LE(log.size(), most);
    const ReplayResult result = replay(log);
    EXPECT_TRUE(result.is_full);
    EXPECT_EQ(result.error.code, ErrorCode::kOk);
    EXPECT_FALSE(result.difference);
  }
}

TEST(DecisionLog, ReplacesLogsAndNothingElse) {
  const std::filesystem::path path = fresh_path();
  const DecisionLogOptions options{path};
  EXPECT_TRUE(DecisionLog::create(options, {}));
  EXPECT_TRUE(DecisionLog::create(options, {}));
  std::ofstream(path) << "a letter";
  EXPECT_EQ(DecisionLog::create(options, {}).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(DecisionLog::create({path / "below"}, {}).error().code, ErrorCode::kIo);
}

TEST(DecisionLog, AFileThatTakesNoMoreEndsTheLogAndNotTheNode) {
  const std::filesystem::path path = fresh_path();
  const auto log = DecisionLog::create({path}, {}).value();
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_EQ(log->state(), "recording");
  for (int i = 0; i < 1000; ++i) log->add(LoggedPolicy{0, "raw"});
  log->flush();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(log->state(), error_name(ErrorCode::kIo));
  log->add(LoggedPolicy{0, "raw"});
  EXPECT_LE(bytes_of(path).size(), 4096U);
}

TEST(DecisionLog, LayoutIsThatOfTheDocument) {
  const std::filesystem::path path = fresh_path();
  const auto log = DecisionLog::create({path}, {}).value();
  const std::size_t first = bytes_of(path).size();
  log->add(LoggedPolicy{0, "raw"});
  log->flush();
  const auto bytes = bytes_of(path);
  std::string hex;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i >= 12 && i < first) continue;
    constexpr const char* kDigits = "0123456789abcdef";
    hex += kDigits[std::to_integer<unsigned>(bytes[i]) >> 4U];
    hex += kDigits[std::to_integer<unsigned>(bytes[i]) & 15U];
    hex += ' ';
  }
  EXPECT_EQ(hex, "53 4c 55 49 43 45 44 4c 01 00 00 00 09 00 00 00 55 36 3b a3 01 00 00 00 00 03 72 61 77 ");
}

}  // namespace
}  // namespace sluice::integration
