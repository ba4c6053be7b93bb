#!/usr/bin/env bash
# Puts a profile of load on a server of this build, and makes a page of what it gave.
#
# Usage: tests/load/run.sh [sweep|steady|overload|spike|soak|faults] [options of load_profiles.py and tensord_load]
#
# Everything runs on the loopback interface. The page and the data go into build/load/; the last line says where.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/common.sh

profile=${1-sweep}
shift || true
mkdir -p build
install_packages
install_venv deploy/requirements.txt
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake --preset release >build/release.configure.log
cmake --build --preset release --target tensord tensord_load
out=build/load/$profile-$(date +%Y%m%dT%H%M%S)
build/venv/bin/python tests/load/load_profiles.py "$profile" --out="$out" "$@"
build/venv/bin/python tests/load/load_report.py "$out" --out="$out/page.html"
