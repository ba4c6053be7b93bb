#!/usr/bin/env bash
# Builds fuzz targets for libFuzzer with Clang, under AddressSanitizer and UBSan, and runs them one after another at a low
# priority. Needs Debian's packages clang and libclang-rt-dev beside those of deploy/packages.txt.
#
# Usage: tests/fuzz/run.sh [--seconds N | --runs N] [TARGET...]
#
# Without a target, all of them, each for 60 seconds. What a run finds is kept in build/fuzz/found/TARGET, for the next run
# to start from, and an input that ends it in build/fuzz/crashes: name the fault in a test, mend it, and add the input to
# tests/fuzz/corpus/TARGET. The log is build/fuzz/TARGET.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/common.sh

limit=-max_total_time=60
while [[ ${1-} == --* ]]; do
  case "$1" in
    --seconds) limit=-max_total_time=${2?--seconds needs a number}; shift 2 ;;
    --runs) limit=-runs=${2?--runs needs a number}; shift 2 ;;
    *) echo "usage: tests/fuzz/run.sh [--seconds N | --runs N] [TARGET...]" >&2; exit 2 ;;
  esac
done
targets=("$@")
if ((${#targets[@]} == 0)); then
  for source in tests/fuzz/*_fuzz.cc; do targets+=("$(basename "$source" _fuzz.cc)"); done
fi

mkdir -p build/fuzz/crashes
say "building ${targets[*]}"
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
# Warnings are for the compiler that the product is built with.
cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DTENSORD_SANITIZE=address,undefined,fuzzer-no-link -DTENSORD_LIBFUZZER=ON -DTENSORD_CUDA=OFF -DTENSORD_WERROR=OFF \
  >build/fuzz/configure.log 2>&1 || { cat build/fuzz/configure.log; exit 1; }
cmake --build build/fuzz --target "${targets[@]/%/_fuzz}"

export LSAN_OPTIONS="suppressions=$PWD/tests/asan/leaks.txt:print_suppressions=0:${LSAN_OPTIONS-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS-}"
status=0
for target in "${targets[@]}"; do
  say "$target"
  mkdir -p "build/fuzz/found/$target"
  nice -n 19 "build/fuzz/tests/${target}_fuzz" "$limit" -print_final_stats=1 -timeout=60 \
    -artifact_prefix="build/fuzz/crashes/$target-" "build/fuzz/found/$target" "tests/fuzz/corpus/$target" \
    >"build/fuzz/$target.log" 2>&1 || { status=1; echo "FAILED: the end of build/fuzz/$target.log:"; }
  grep -E 'does not hold|^input:|ERROR:|runtime error:|cov:|stat::|^Done' "build/fuzz/$target.log" | tail -n 8
done
exit "$status"
