// What the programs of the benchmark of transfers share.
//
// A server announces its port and ends with its standard input. A client obeys
// commands, a line each, on its standard input: a name and arguments. It
// answers each with a line of numbers once the command is done. Whatever goes
// wrong ends the process with a message and exit code 1.
#ifndef TENSORD_TESTS_BENCH_SUPPORT_H_
#define TENSORD_TESTS_BENCH_SUPPORT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tensord::bench {

[[noreturn]] void Fail(std::string_view what);

// Fails unless `done`.
void Check(bool done, std::string_view what);

// Seconds since it was made.
class Timer {
 public:
  double Seconds() const;

 private:
  const std::chrono::steady_clock::time_point begin_ =
      std::chrono::steady_clock::now();
};

// Memory that was touched, in huge pages where the system gives them; aligned
// to 2 MiB.
class WarmMemory {
 public:
  explicit WarmMemory(std::size_t size_bytes);

  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Unmap {
    std::size_t size;
    void operator()(std::byte* data) const;
  };
  std::size_t size_;
  std::unique_ptr<std::byte[], Unmap> data_;
};

// Fills with float32 that every float holds in its range and that differ all
// over.
void FillWithNumbers(std::byte* data, std::size_t size_bytes);

// Of this process and all its threads.
double CpuSeconds();

// The numbers of an answer.
using Answer = std::vector<double>;

// Runs `call` for 0 to count - 1, each number once, as many at a time as there
// are `threads`. Returns seconds in all, the median of the seconds of one call,
// and the processor's seconds.
Answer TimeCalls(int count, int threads,
                 const std::function<void(int thread, int number)>& call);

// The words after the name of a command.
class Arguments {
 public:
  explicit Arguments(std::vector<std::string> words)
      : words_(std::move(words)) {}

  // Fail where there is no such word, or no number.
  const std::string& Word(std::size_t index) const;
  std::int64_t Number(std::size_t index) const;

 private:
  std::vector<std::string> words_;
};

using Command = std::function<Answer(const Arguments&)>;

// Obeys until standard input ends. Returns the exit code.
int ServeCommands(const std::map<std::string, Command>& commands);

// Tells the port on the loopback interface, in the words of tensord.
void AnnouncePort(int port);
void WaitForEndOfInput();

}  // namespace tensord::bench

#endif  // TENSORD_TESTS_BENCH_SUPPORT_H_
