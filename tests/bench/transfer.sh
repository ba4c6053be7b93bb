#!/usr/bin/env bash
# Compares transfers with a raw socket, an empty gRPC call, Arrow Flight and a stock stub; prints a table of ratios.
#
# Usage: tests/bench/transfer.sh [--only upload,unary] [--rounds N] [--write] [other options of transfer_table.py]
#
# Everything runs on the loopback interface, on ports that are free. With --write the table goes into
# tests/bench/README.md. Without the Python package pyarrow, which is installed if it can be, Arrow Flight is left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/common.sh

mkdir -p build
install_packages
install_venv deploy/requirements.txt
install_venv tests/requirements.txt
install_python_client
python=build/venv/bin/python
"$python" -c 'import pyarrow.flight' 2>/dev/null || "$python" -m pip install -q pyarrow ||
  say "no pyarrow: Arrow Flight is left out"
arrow=$("$python" -c 'import pyarrow; print(pyarrow.__path__[0])' 2>/dev/null || true)
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake --preset release -DTENSORD_BENCH_ARROW="$arrow" >build/release.configure.log
cmake --build --preset release --target transfer_bench
exec "$python" tests/bench/transfer_table.py --server=build/release/bin/tensord --bench=build/release/bench "$@"
