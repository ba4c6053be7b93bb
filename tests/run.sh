#!/usr/bin/env bash
# Installs what tensord's tests need, builds a preset and runs every test. The last line is `N passed, N failed`.
#
# Usage: tests/run.sh [--preset release|debug|asan|tsan] [--exhaustive]
#
# With --exhaustive, tests that sample what can be enumerated take all of it: every float32 into every narrower float, on
# every instruction set. It takes some minutes more.
#
# With a sanitizer, the server and the C++ tests are instrumented; the Python tests run against that server, through a
# client that is not, because it runs from the wheel that users get.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/common.sh

preset=release
while (($#)); do
  case "$1" in
    --preset) preset=${2?--preset needs a name}; shift 2 ;;
    --exhaustive) export TENSORD_EXHAUSTIVE=1; shift ;;
    *) echo "usage: tests/run.sh [--preset release|debug|asan|tsan] [--exhaustive]" >&2; exit 2 ;;
  esac
done

# build/wheelhouse: what a fresh environment needs to test the wheel in, which then needs no network.
download_wheels() {
  local stamp=build/wheelhouse/.stamp
  if cmp -s client/python/pyproject.toml "$stamp"; then return; fi
  say "downloading what the wheel is tested with"
  rm -rf build/wheelhouse
  build/venv/bin/python -m pip download -q --disable-pip-version-check --only-binary :all: --dest build/wheelhouse \
    build/wheels/tensord-*.whl pytest
  rm build/wheelhouse/tensord-*.whl
  cp client/python/pyproject.toml "$stamp"
}

mkdir -p build
install_packages
install_packages tests/packages.txt
build_preset "$preset"
install_venv deploy/requirements.txt
install_venv tests/requirements.txt
install_python_client
download_wheels

export ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1:${ASAN_OPTIONS-}"
export LSAN_OPTIONS="suppressions=$PWD/tests/asan/leaks.txt:print_suppressions=0:${LSAN_OPTIONS-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS-}"
suppressions=$PWD/build/$preset/tsan_suppressions.txt
{
  cat tests/tsan/suppressions.txt
  ldd "build/$preset/bin/tensord" | grep -oE 'lib(absl|crypto|gpr|grpc|ssl|z)[^ /]*\.so' | sort -u |
    sed 's/^/called_from_lib:/'
} >"$suppressions"
export TSAN_OPTIONS="suppressions=$suppressions:${TSAN_OPTIONS-}"
export TENSORD_SERVER=$PWD/build/$preset/bin/tensord
results=$PWD/build/$preset/results
rm -rf "$results"
mkdir -p "$results"

status=0
say "C++ tests"
GTEST_OUTPUT=xml:$results/ ctest --test-dir "build/$preset" --output-on-failure --parallel 2 \
  --no-tests=error --output-junit "$results/ctest.xml" || status=1
say "Python tests"
# More at a time than there are processors, as most of what these do is waiting.
build/venv/bin/python -m pytest -q -n 4 --dist loadfile tests --junit-xml="$results/pytest.xml" || status=1

say "result"
build/venv/bin/python tests/summarize.py "$results" || status=1
exit "$status"
