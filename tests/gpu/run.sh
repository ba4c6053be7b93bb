#!/usr/bin/env bash
# Checks and measures the CUDA devices of this machine: conformance, exactness, then benchmarks. Needs a driver, and
# what a build left in build/release/gpu, which may come from another machine; builds that first if it is not there.
#
# Where `python3` has torch, its casts are measured too.
#
# Usage: tests/gpu/run.sh [--quick]
#
# With --quick, exactness takes 10^6 patterns for each pair of wide dtypes instead of 10^8.
# Exit status 77: there is no device.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

case "${1-}" in
  '') ;;
  --quick) export TENSORD_GPU_PATTERNS=1000000 ;;
  *) echo "usage: tests/gpu/run.sh [--quick]" >&2; exit 2 ;;
esac

programs=build/release/gpu
if [[ ! -x $programs/gpu_test || ! -x $programs/gpu_bench ]]; then
  source deploy/common.sh
  mkdir -p build
  install_packages
  build_preset release
fi
"$programs/gpu_test" --gtest_brief=1
"$programs/gpu_bench"
if python3 -c 'import torch' 2>/dev/null; then python3 tests/gpu/torch_casts.py; fi
