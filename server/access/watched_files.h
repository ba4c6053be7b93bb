// Files that are read again when they change.
#ifndef TENSORD_SERVER_ACCESS_WATCHED_FILES_H_
#define TENSORD_SERVER_ACCESS_WATCHED_FILES_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tensord {

// The content of a file. INVALID_ARGUMENT, with the path, if it can not be
// read, is empty or has more than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     std::size_t max_bytes);

// Tells when any of some files was written or replaced, also through symbolic
// links, as Kubernetes replaces mounted secrets. Not thread-safe.
class WatchedFiles {
 public:
  explicit WatchedFiles(std::vector<std::string> paths);

  // Whether they are other files than at the last call that said true, or at
  // construction, and the same as at the last call: what changed between two
  // looks may be half written. A file that is gone counts as changed when it is
  // back.
  bool HaveChanged();

 private:
  // Device, inode, size, and time of the last change.
  using Identity = std::array<std::int64_t, 5>;

  std::vector<Identity> Look() const;

  const std::vector<std::string> paths_;
  std::vector<Identity> taken_;
  std::vector<Identity> last_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_WATCHED_FILES_H_
