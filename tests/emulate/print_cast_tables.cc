// Prints the instruction sets that casts can use here, best first, one a line;
// the last is followed by what it is on this architecture.
#include <cstdio>
#include <string>

#include "core/cast/cast_table.h"
#include "hwy/highway.h"

int main() {
  for (const tensord::CastTable* const table : tensord::RunnableCastTables()) {
    std::printf("%s\n", std::string(table->target).c_str());
  }
  std::printf("(baseline: %s)\n", hwy::TargetName(HWY_STATIC_TARGET));
  return 0;
}
