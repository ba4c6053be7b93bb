// Runs a test once per instruction set that is to be tested.
#ifndef TENSORD_TESTS_CORE_CAST_EVERY_CAST_TABLE_H_
#define TENSORD_TESTS_CORE_CAST_EVERY_CAST_TABLE_H_

#include <cstdlib>
#include <string>
#include <vector>

#include "core/cast/cast_table.h"
#include "gtest/gtest.h"
#include "tests/core/cast/nvcc_table.h"

namespace tensord::testing {

// Every table that this machine can run, best first, and the one that CUDA's
// compiler made, if there is one; or the one that the environment variable
// TENSORD_CAST_TABLE names, whose absence fails the test.
inline const std::vector<const CastTable*>& TestedCastTables() {
  static const char* const wanted = std::getenv("TENSORD_CAST_TABLE");
  static const auto* const tested = [] {
    auto* const found = new std::vector<const CastTable*>;
    const auto runnable = RunnableCastTables();
    std::vector<const CastTable*> tables(runnable.begin(), runnable.end());
#ifdef TENSORD_NVCC_TABLE
    tables.push_back(&NvccCastTable());
#endif
    for (const CastTable* const table : tables) {
      if (wanted == nullptr || table->target == wanted) found->push_back(table);
    }
    return found;
  }();
  EXPECT_FALSE(tested->empty()) << "this machine cannot run " << wanted;
  return *tested;
}

// Calls `body` while every cast uses one table after the other.
template <class Body>
void WithEveryCastTable(const Body& body) {
  for (const CastTable* const table : TestedCastTables()) {
    SCOPED_TRACE(std::string(table->target));
    const ScopedCastTable scoped(*table);
    body();
  }
}

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_EVERY_CAST_TABLE_H_
