#include "tests/bench/support.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <thread>
#include <utility>

namespace tensord::bench {
namespace {

double ToSeconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_usec) * 1e-6;
}

double Median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle =
      values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void Fail(std::string_view what) {
  std::cerr << what << std::endl;
  // Other threads may be in the middle of calls.
  _exit(1);
}

void Check(bool done, std::string_view what) {
  if (!done) Fail(what);
}

double Timer::Seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                       begin_)
      .count();
}

WarmMemory::WarmMemory(std::size_t size_bytes) : size_(size_bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t mapped = (size_bytes / kHugePage + 1) * kHugePage;
  // Large enough for the kernel to align it.
  void* const data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Check(data != MAP_FAILED, "no memory");
  madvise(data, mapped, MADV_HUGEPAGE);
  std::memset(data, 1, mapped);
  data_ = {static_cast<std::byte*>(data), Unmap{mapped}};
}

void WarmMemory::Unmap::operator()(std::byte* data) const {
  munmap(data, size);
}

void FillWithNumbers(std::byte* data, std::size_t size_bytes) {
  std::uint32_t state = 1;
  for (std::size_t i = 0; i + sizeof(float) <= size_bytes; i += sizeof(float)) {
    state = state * 1664525 + 1013904223;
    const float value = static_cast<float>(state >> 8) * 0x1p-18f;
    std::memcpy(data + i, &value, sizeof(value));
  }
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return ToSeconds(usage.ru_utime) + ToSeconds(usage.ru_stime);
}

Answer TimeCalls(int count, int threads,
                 const std::function<void(int, int)>& call) {
  Check(count > 0 && threads > 0, "nothing to time");
  std::vector<double> seconds(static_cast<std::size_t>(count));
  std::barrier start(threads + 1);
  std::vector<std::jthread> workers;
  for (int thread = 0; thread < threads; ++thread) {
    workers.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (int number = thread; number < count; number += threads) {
        const Timer timer;
        call(thread, number);
        seconds[static_cast<std::size_t>(number)] = timer.Seconds();
      }
    });
  }
  const double cpu = CpuSeconds();
  start.arrive_and_wait();
  const Timer timer;
  workers.clear();
  const double wall = timer.Seconds();
  return {wall, Median(seconds), CpuSeconds() - cpu};
}

const std::string& Arguments::Word(std::size_t index) const {
  Check(index < words_.size(), "an argument of a command is missing");
  return words_[index];
}

std::int64_t Arguments::Number(std::size_t index) const {
  const std::string& word = Word(index);
  std::int64_t number = 0;
  const char* const end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, number);
  Check(error == std::errc() && rest == end, word + " is no number");
  return number;
}

int ServeCommands(const std::map<std::string, Command>& commands) {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::vector<std::string> words;
    std::string name;
    in >> name;
    for (std::string word; in >> word;) words.push_back(word);
    const auto command = commands.find(name);
    Check(command != commands.end(), "there is no command " + name);
    for (const double number : command->second(Arguments(std::move(words)))) {
      std::printf("%.9g ", number);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  return EXIT_SUCCESS;
}

void AnnouncePort(int port) {
  std::cerr << "listening on 127.0.0.1:" << port << "\nready" << std::endl;
}

void WaitForEndOfInput() {
  char ignored[256];
  while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0) {
  }
}

}  // namespace tensord::bench
