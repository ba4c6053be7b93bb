// Tells of a listener that takes no more connections.
#ifndef TENSORD_SERVER_LISTENER_WATCH_H_
#define TENSORD_SERVER_LISTENER_WATCH_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace tensord {

// Connects to the addresses of a server again and again, and waits for an
// answer. To connect is not enough: the system completes connections that gRPC
// 1.51 never accepts once it found no file descriptor for one (CVE-2023-4785).
// A connection says at once that nothing will be sent over it, to which
// plaintext servers answer with their settings, and those that wait for TLS by
// hanging up; either shows that it was accepted. No call is made.
//
// Sockets are got in advance, so that a process without descriptors can still
// be looked at. What is not the listener's doing counts for nothing: that there
// is no socket, no port or no such file. Nor does an address count before its
// first answer.
class ListenerWatch {
 public:
  struct Options {
    // How long a connection may wait for its answer, and how often one is made.
    // Servers whose processors are all taken answer within milliseconds.
    absl::Duration patience = absl::Seconds(5);
    // Connections in a row that have to go without. A machine that stands
    // still for a while takes the answer to one of them.
    int max_unanswered = 3;
  };

  // Called with the address, as given, and a sentence that says what is wrong.
  using OnSilence = std::function<void(const std::string& address,
                                       const std::string& message)>;

  // Watches `addresses`, as Server::addresses has them, until destroyed, which
  // takes no time. Calls `on_silence` at most once, from a thread of its own,
  // and watches no longer then.
  ListenerWatch(const std::vector<std::string>& addresses,
                const Options& options, OnSilence on_silence);
  ListenerWatch(const ListenerWatch&) = delete;
  ListenerWatch& operator=(const ListenerWatch&) = delete;
  ~ListenerWatch();

 private:
  class Rounds;
  std::unique_ptr<Rounds> rounds_;
  std::thread thread_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_LISTENER_WATCH_H_
