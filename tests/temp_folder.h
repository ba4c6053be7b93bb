// Files of a test.
#ifndef TENSORD_TESTS_TEMP_FOLDER_H_
#define TENSORD_TESTS_TEMP_FOLDER_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace tensord {

// A new folder with a name short enough for sockets, which goes with this and
// with all that is in it.
class TempFolder {
 public:
  TempFolder() {
    std::string name = ::testing::TempDir() + "tensordXXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace tensord

#endif  // TENSORD_TESTS_TEMP_FOLDER_H_
