// The files that callers and the server prove themselves with.
#ifndef TENSORD_SERVER_ACCESS_ACCESS_FILES_H_
#define TENSORD_SERVER_ACCESS_ACCESS_FILES_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/access/authenticator.h"
#include "server/access/tls_credentials.h"
#include "server/access/tls_files.h"
#include "server/access/watched_files.h"

namespace tensord {

// Reads them, and reads them again when they change: what can not be used
// changes nothing. Not thread-safe, but for what it returns.
class AccessFiles {
 public:
  struct Options {
    // Of an AccessList; empty for none.
    std::string tokens;
    // Empty paths for plaintext.
    TlsPaths tls;
    // Of Authenticator.
    bool tokens_need_tls = false;
  };

  // INVALID_ARGUMENT, with the path, for files that can not be used.
  static absl::StatusOr<std::unique_ptr<AccessFiles>> Open(Options options);

  const Authenticator& authenticator() const { return authenticator_; }
  // Null for plaintext.
  std::shared_ptr<const TlsKeys> tls_keys() const { return tls_keys_; }

  // Told which files changed, "auth_tokens" or "tls", and whether they could be
  // used.
  using OnReload =
      std::function<void(std::string_view files, const absl::Status& result)>;
  // Takes files that changed since the last look. To be called about once a
  // second.
  void Look(const OnReload& on_reload);

 private:
  AccessFiles(Options options, std::optional<AccessList> tokens,
              std::optional<TlsPem> tls);

  const Options options_;
  WatchedFiles token_files_;
  WatchedFiles tls_files_;
  Authenticator authenticator_;
  std::shared_ptr<TlsKeys> tls_keys_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_ACCESS_FILES_H_
