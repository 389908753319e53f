// Drives one fuzz target without libFuzzer, so that every build and every compiler runs it for a few seconds: first
// each corpus file as it is, then mutations of them from a seeded generator. A finding is a crash or a sanitizer's
// report; the seed and the number of the mutation are printed before, so that the same run can be had again.
//
// Usage: PROGRAM --mutations N [--seed S] FOLDER_OR_FILE...
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t kMaxInputBytes = 1U << 16U;
constexpr std::uint64_t kEditsPerMutation = 8;

struct Options {
  std::uint64_t mutations = 0;
  std::uint64_t seed = 1;
  std::vector<Input> corpus;
};

Input read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::vector<Input> read_corpus(const std::filesystem::path& place) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(place)) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  } else if (std::filesystem::exists(place)) {
    files.push_back(place);
  }
  std::sort(files.begin(), files.end());
  std::vector<Input> corpus;
  corpus.reserve(files.size());
  for (const auto& file : files) corpus.push_back(read_file(file));
  return corpus;
}

/// A whole number of 0 to `end` - 1.
std::uint64_t below(std::mt19937_64& random, std::uint64_t end) { return end == 0 ? 0 : random() % end; }

void edit_once(Input& input, std::mt19937_64& random) {
  const std::uint64_t place = below(random, input.size());
  const auto at = input.begin() + static_cast<Input::difference_type>(place);
  switch (below(random, 6)) {
    case 0:
      if (!input.empty()) *at = static_cast<std::uint8_t>(*at ^ (1U << below(random, 8)));
      break;
    case 1:
      if (!input.empty()) *at = static_cast<std::uint8_t>(random());
      break;
    case 2:
      if (!input.empty()) *at = below(random, 2) == 0 ? std::uint8_t{0} : std::uint8_t{0xFF};
      break;
    case 3:
      input.resize(place);
      break;
    case 4:
      if (input.size() < kMaxInputBytes) input.insert(at, below(random, 16), static_cast<std::uint8_t>(random()));
      break;
    default:
      if (!input.empty()) input.erase(at);
      break;
  }
}

Input mutate(const std::vector<Input>& corpus, std::mt19937_64& random) {
  Input input = corpus.empty() ? Input() : corpus[below(random, corpus.size())];
  if (below(random, 8) == 0) {
    input.resize(below(random, 256));
    std::generate(input.begin(), input.end(), [&random] { return static_cast<std::uint8_t>(random()); });
  }
  for (std::uint64_t edits = 1 + below(random, kEditsPerMutation); edits > 0; --edits) edit_once(input, random);
  return input;
}

Options parse(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t index = 0; index < words.size(); ++index) {
    const bool has_value = index + 1 < words.size();
    if (words[index] == "--mutations" && has_value) {
      options.mutations = std::stoull(words[++index]);
    } else if (words[index] == "--seed" && has_value) {
      options.seed = std::stoull(words[++index]);
    } else {
      for (Input& input : read_corpus(words[index])) options.corpus.push_back(std::move(input));
    }
  }
  return options;
}

}  // namespace

int main(int count, char** words) {
  const Options options = parse(std::vector<std::string>(words + 1, words + count));
  std::cout << options.corpus.size() << " corpus files, " << options.mutations << " mutations, --seed " << options.seed
            << std::endl;
  for (const Input& input : options.corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
  for (std::uint64_t number = 0; number < options.mutations; ++number) {
    std::mt19937_64 random(options.seed * 1'000'003 + number);
    const Input input = mutate(options.corpus, random);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return 0;
}
