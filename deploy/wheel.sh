#!/usr/bin/env bash
# Installs what building needs, and leaves the Python client's wheel and sdist in build/wheels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/common.sh

mkdir -p build
install_packages
install_venv deploy/requirements.txt
install_python_client
say "building the sdist of the Python client"
rm -f build/wheels/tensord-*.tar.gz
folder=$PWD/build/wheels
(cd client/python && "$folder/../venv/bin/python" -c \
  'import scikit_build_core.build as backend, sys; backend.build_sdist(sys.argv[1])' "$folder")
