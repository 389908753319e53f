// The text that the demo's prompts are made of: written for this project, about 1,500 tokens, with a question at its
// end.
#pragma once

#include <string>
#include <string_view>

#include "integration/demo/runner.h"

namespace sluice::integration::demo {

/// The built-in text, without its question.  Threads: pure.
std::string_view built_in_text();

/// The two prompts cut out of `text`: reuse takes all of it, hand-over its first half (to the end of a paragraph);
/// quick takes half and a quarter. Each ends with the question. Threads: pure.
ScenePrompts prompts_from(std::string_view text, bool quick);

}  // namespace sluice::integration::demo
