// Fuzz target: any text as a NumPy descr.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "core/error.h"
#include "tests/fuzz/require.h"

namespace tensord {
namespace {

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f; });
}

void CheckRefused(const absl::Status& status, std::string_view descr) {
  const std::string reason = GetErrorReason(status);
  Require(reason == reason::kDtypeUnknown ||
              reason == reason::kDtypeUnsupported ||
              reason == reason::kDtypeObjectForbidden,
          "a known reason", descr);
  Require(status.message().size() < 300, "a short message", descr);
  Require(IsPrintable(std::string(status.message())), "a printable message",
          descr);
}

void CheckAccepted(const NumpyType& type, std::string_view descr) {
  Require(descr.size() <= 4, "a descr is short", descr);
  if (!type.dtype) {
    Require(type.item_size == 1 || type.item_size == 2, "raw bytes are small",
            descr);
    return;
  }
  Require(ItemSize(*type.dtype) == type.item_size, "sizes agree", descr);
  const auto again = ParseNumpyDescr(NumpyDescr(*type.dtype, type.order));
  Require(again.ok() && again->dtype == type.dtype &&
              again->item_size == type.item_size,
          "what is written reads back", descr);
}

}  // namespace
}  // namespace tensord

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string descr(data, data + size);
  const auto type = tensord::ParseNumpyDescr(descr);
  if (type.ok()) {
    tensord::CheckAccepted(*type, descr);
  } else {
    tensord::CheckRefused(type.status(), descr);
  }
  return 0;
}
