#include "server/access/watched_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tensord {

absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     std::size_t max_bytes) {
  std::ifstream in(path, std::ios::binary);
  // One more than fits tells a file that is too large.
  std::string content(max_bytes + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad() || content.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file ", path, " can not be read, or is empty"));
  }
  if (content.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the file ", path, " has more than ", max_bytes, " bytes"));
  }
  return content;
}

WatchedFiles::WatchedFiles(std::vector<std::string> paths)
    : paths_(std::move(paths)), taken_(Look()), last_(taken_) {}

bool WatchedFiles::HaveChanged() {
  std::vector<Identity> now = Look();
  const bool is_settled = now == last_ && std::find(now.begin(), now.end(),
                                                    Identity()) == now.end();
  last_ = std::move(now);
  if (!is_settled || last_ == taken_) return false;
  taken_ = last_;
  return true;
}

std::vector<WatchedFiles::Identity> WatchedFiles::Look() const {
  std::vector<Identity> identities;
  for (const std::string& path : paths_) {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) {
      identities.emplace_back();
      continue;
    }
    identities.push_back({static_cast<std::int64_t>(info.st_dev),
                          static_cast<std::int64_t>(info.st_ino),
                          static_cast<std::int64_t>(info.st_size),
                          static_cast<std::int64_t>(info.st_mtim.tv_sec),
                          static_cast<std::int64_t>(info.st_mtim.tv_nsec)});
  }
  return identities;
}

}  // namespace tensord
