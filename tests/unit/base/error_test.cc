#include "base/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace sluice {
namespace {

TEST(ErrorCode, EveryCodeHasItsOwnNameAndAHint) {
  std::set<std::string> names;
  int known = 0;
  for (int number = 0; number < 1000; ++number) {
    const auto code = static_cast<ErrorCode>(number);
    EXPECT_FALSE(error_hint(code).empty());
    if (error_name(code) == "unknown") continue;
    ++known;
    EXPECT_TRUE(names.insert(std::string(error_name(code))).second) << number;
  }
  EXPECT_EQ(known, 44);
}

TEST(ErrorCode, NumbersArePinned) {
  EXPECT_EQ(static_cast<int>(ErrorCode::kDigestMismatch), 205);
  EXPECT_EQ(static_cast<int>(ErrorCode::kIncompatibleModel), 301);
  EXPECT_EQ(static_cast<int>(ErrorCode::kDeadlineMissed), 405);
  EXPECT_EQ(static_cast<int>(ErrorCode::kNoSlot), 501);
  EXPECT_EQ(static_cast<int>(ErrorCode::kPromptTooLong), 602);
  EXPECT_EQ(static_cast<int>(ErrorCode::kNameNotProven), 704);
}

}  // namespace
}  // namespace sluice
