// The services that gRPC brings along.
#ifndef TENSORD_SERVER_STANDARD_SERVICES_H_
#define TENSORD_SERVER_STANDARD_SERVICES_H_

namespace tensord {

// Which of them a server has besides health.
struct StandardServices {
  // Describes methods and messages to whoever asks.
  bool reflection = true;
  // Shows connections and calls of the whole process to whoever asks.
  bool channelz = false;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_STANDARD_SERVICES_H_
