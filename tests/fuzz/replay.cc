// Runs a fuzz target without libFuzzer: over every file of a folder, then over
// mutations of them, the same ones every time.
//
// Usage: TARGET FOLDER ROUNDS
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);

namespace {

void RunTarget(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()),
                         input.size());
}

// The contents of the files of `folder`, in the order of their names.
std::vector<std::string> ReadFolder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file),
                        std::istreambuf_iterator<char>());
  }
  return inputs;
}

// std::mt19937 is specified to the bit, the distributions are not.
class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& corpus) : corpus_(corpus) {}

  std::string Next() {
    std::string input = corpus_[Below(corpus_.size())];
    for (std::size_t left = 1 + Below(4); left > 0; --left) Mutate(input);
    return input;
  }

 private:
  std::size_t Below(std::size_t bound) { return random_() % bound; }

  // A piece of another input.
  std::string Piece() {
    const std::string& source = corpus_[Below(corpus_.size())];
    return source.substr(Below(source.size() + 1), Below(12));
  }

  void Mutate(std::string& input) {
    constexpr std::string_view kTelling(
        "\0\n\t'\"\\#,:()[]{}-+.0159LxO<>|=\xff", 30);
    const std::size_t at = Below(input.size() + 1);
    const std::size_t count = Below(8);
    switch (Below(6)) {
      case 0:
        input.insert(at, 1, kTelling[Below(kTelling.size())]);
        break;
      case 1:
        input.replace(at, count, "");
        break;
      case 2:
        input.insert(at, Piece());
        break;
      case 3:
        input.replace(at, count, Piece());
        break;
      case 4:
        input.insert(at, input.substr(at, count));
        break;
      default:
        if (at < input.size()) input[at] ^= static_cast<char>(1 << Below(8));
        break;
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937 random_{1};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s FOLDER ROUNDS\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> corpus = ReadFolder(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "no inputs in %s\n", argv[1]);
    return 2;
  }
  for (const std::string& input : corpus) RunTarget(input);
  Mutator mutator(corpus);
  for (int left = std::stoi(argv[2]); left > 0; --left) {
    RunTarget(mutator.Next());
  }
  return 0;
}
