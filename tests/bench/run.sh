#!/usr/bin/env bash
# Compares the casts with memcpy, PyTorch, NumPy and ml_dtypes, and writes the tables into tests/bench/README.md.
#
# Usage: tests/bench/run.sh [options of cast_table.py]
#
# BENCH_PYTHON names an interpreter that has the packages of requirements.txt; without it one is made in build/bench-venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/common.sh

mkdir -p build
install_packages
cmake --preset release >build/release.configure.log
cmake --build --preset release --target cast_library
if [[ -z ${BENCH_PYTHON-} ]]; then
  BENCH_PYTHON=build/bench-venv/bin/python
  [[ -x $BENCH_PYTHON ]] || python3 -m venv build/bench-venv
  "$BENCH_PYTHON" -m pip install --quiet -r tests/bench/requirements.txt
fi
exec "$BENCH_PYTHON" tests/bench/cast_table.py --library build/release/bench/libcast_library.so --write "$@"
