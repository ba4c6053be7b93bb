// Finds things by id, however many there are, and however many come.
#ifndef TENSORD_CORE_STORE_ID_INDEX_H_
#define TENSORD_CORE_STORE_ID_INDEX_H_

#include <array>
#include <cstddef>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace tensord {

// Values by id. A hash table that grows moves all that it holds at once, which
// everybody waits for who waits for a lock on it; this one is made of many,
// each of which moves its small part. Hashed with a seed, since clients choose
// ids.
//
// Of the standard library's tables: when memory runs out as they grow, these
// stay what they were. Not thread-safe.
template <typename Value>
class IdIndex {
 public:
  // The value of `id`; null if there is none. Valid until it is erased.
  const Value* Find(std::string_view id) const {
    const Key key = KeyOf(id);
    const Table& table = tables_[TableOf(key)];
    const auto it = table.find(key);
    return it == table.end() ? nullptr : &it->second;
  }

  bool Contains(std::string_view id) const { return Find(id) != nullptr; }

  // REQUIRES: there is no value of `id`, and its characters stay where they are
  // until it is erased.
  void Insert(std::string_view id, Value value) {
    const Key key = KeyOf(id);
    tables_[TableOf(key)].emplace(key, std::move(value));
  }

  // Of no effect if there is none.
  void Erase(std::string_view id) {
    const Key key = KeyOf(id);
    tables_[TableOf(key)].erase(key);
  }

 private:
  struct Key {
    bool operator==(const Key& other) const = default;

    std::string_view id;
    std::size_t hash;
  };
  struct HashOf {
    std::size_t operator()(const Key& key) const noexcept { return key.hash; }
  };
  using Table = std::unordered_map<Key, Value, HashOf>;

  static constexpr std::size_t kTables = 256;

  static Key KeyOf(std::string_view id) {
    return {id, absl::Hash<absl::string_view>()(
                    absl::string_view(id.data(), id.size()))};
  }

  // By other bits than decide on the place within a table.
  static std::size_t TableOf(const Key& key) {
    return (key.hash >> 48) % kTables;
  }

  std::array<Table, kTables> tables_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_STORE_ID_INDEX_H_
