#include "integration/demo/prompt_text.h"

#include <gtest/gtest.h>

namespace sluice::integration::demo {
namespace {

TEST(Prompts, EndWithTheQuestionAndHandOverIsTheShorter) {
  for (const bool quick : {false, true}) {
    const ScenePrompts prompts = prompts_from(built_in_text(), quick);
    EXPECT_LT(prompts.hand_over.size(), prompts.reuse.size());
    EXPECT_TRUE(prompts.hand_over.ends_with("Answer:"));
    EXPECT_TRUE(prompts.reuse.ends_with("Answer:"));
  }
  EXPECT_LT(prompts_from(built_in_text(), true).reuse.size(), prompts_from(built_in_text(), false).reuse.size());
}

TEST(Prompts, TakeAnyText) {
  for (const char* text : {"", "a", "a b", "\n\n", "no spaces at all"}) {
    const ScenePrompts prompts = prompts_from(text, true);
    EXPECT_TRUE(prompts.reuse.ends_with("Answer:"));
  }
}

}  // namespace
}  // namespace sluice::integration::demo
