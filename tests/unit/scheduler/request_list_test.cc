// The list of open requests against a plain map that is searched in full.
#include "scheduler/request_list.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sluice::scheduler {
namespace {

struct Plain {
  Instant deadline;
  Figures figures;
  Instant wake = Instant::never();
};
/// By deadline, then id: the order that the list must have.
using PlainList = std::map<std::pair<Instant, RequestId>, Plain>;

void expect_same(RequestList& list, const PlainList& plain) {
  ASSERT_EQ(list.size(), plain.size());
  auto expected = plain.begin();
  Bytes before;
  RequestId needy(0);
  RequestId computing(0);
  std::uint64_t slope = 0;
  RequestId steepest(0);
  Instant wake = Instant::never();
  bool has_bare = false;
  list.walk([&](const Listed& listed) {
    EXPECT_EQ(listed.state.id(), expected->first.second);
    EXPECT_EQ(list.floor_bytes_before(listed), before);
    EXPECT_EQ(list.find(listed.state.id()), &listed);
    const Figures& figures = expected->second.figures;
    before += figures.floor_bytes;
    if (figures.is_needy && needy.value() == 0) needy = listed.state.id();
    if (figures.wants_compute && computing.value() == 0) computing = listed.state.id();
    if (figures.slope > slope) {
      slope = figures.slope;
      steepest = listed.state.id();
    }
    has_bare = has_bare || figures.is_bare;
    wake = std::min(wake, expected->second.wake);
    ++expected;
    return true;
  });
  const auto id_of = [](const Listed* listed) { return listed == nullptr ? RequestId(0) : listed->state.id(); };
  EXPECT_EQ(list.floor_bytes(), before);
  EXPECT_EQ(id_of(list.first_needy()), needy);
  EXPECT_EQ(id_of(list.first_computing()), computing);
  EXPECT_EQ(id_of(list.steepest()), steepest);
  EXPECT_EQ(list.has_bare(), has_bare);
  EXPECT_EQ(list.next_wake(), wake);
}

TEST(RequestList, IsAPlainListUnderRandomChanges) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  RequestList list;
  PlainList plain;
  const Levels levels{QualityCurve{}};
  for (int step = 0; step < 6000 && !testing::Test::HasFailure(); ++step) {
    // Grows for a while, then shrinks.
    const bool is_growing = step % 2000 < 1200;
    if (plain.empty() || below(10) < (is_growing ? 6U : 2U)) {
      const RequestId id(1 + below(100'000));
      const Instant deadline(Duration(static_cast<std::int64_t>(below(50))));
      if (list.find(id) != nullptr) continue;
      list.add(RequestOpened{.request = id, .deadline = deadline, .tokens = Tokens(1)}, Instant(), levels);
      plain[{deadline, id}] = Plain{.deadline = deadline};
    } else {
      auto chosen = plain.begin();
      std::advance(chosen, static_cast<std::ptrdiff_t>(below(plain.size())));
      Listed& listed = *list.find(chosen->first.second);
      if (below(2) == 0) {
        chosen->second.figures = Figures{Bytes(below(1000)), below(3) == 0, below(3) == 0, below(3) == 0, below(20)};
        chosen->second.wake = Instant(Duration(static_cast<std::int64_t>(below(1000))));
        list.note(listed, chosen->second.figures);
        list.wake(listed, chosen->second.wake);
      } else {
        list.remove(listed);
        plain.erase(chosen);
      }
    }
    if (step % 50 == 0) expect_same(list, plain);
  }
}

}  // namespace
}  // namespace sluice::scheduler
