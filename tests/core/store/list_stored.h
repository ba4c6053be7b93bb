// What a store holds, for tests.
#ifndef TENSORD_TESTS_CORE_STORE_LIST_STORED_H_
#define TENSORD_TESTS_CORE_STORE_LIST_STORED_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/store/tensor_store.h"

namespace tensord {

// Up to `limit` tensors with ids after `after`, in ascending order.
inline std::vector<std::shared_ptr<const StoredTensor>> ListStored(
    const TensorStore& store, std::string_view after = "",
    std::size_t limit = SIZE_MAX) {
  std::vector<std::shared_ptr<const StoredTensor>> listed;
  std::string from(after);
  // The id right behind that one.
  if (!from.empty()) from.push_back('\0');
  store.Walk(from, SIZE_MAX, [&](const auto& stored) {
    if (listed.size() == limit) return false;
    listed.push_back(stored);
    return true;
  });
  return listed;
}

}  // namespace tensord

#endif  // TENSORD_TESTS_CORE_STORE_LIST_STORED_H_
