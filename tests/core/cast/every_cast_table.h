// Runs a test once per instruction set that this machine has.
#ifndef TENSORD_TESTS_CORE_CAST_EVERY_CAST_TABLE_H_
#define TENSORD_TESTS_CORE_CAST_EVERY_CAST_TABLE_H_

#include <string>

#include "core/cast/cast_table.h"
#include "gtest/gtest.h"

namespace tensord::testing {

// Calls `body` while every cast uses one table after the other.
template <class Body>
void WithEveryCastTable(const Body& body) {
  for (const CastTable* const table : RunnableCastTables()) {
    SCOPED_TRACE(std::string(table->target));
    const ScopedCastTable scoped(*table);
    body();
  }
}

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_CAST_EVERY_CAST_TABLE_H_
