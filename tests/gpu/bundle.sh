#!/usr/bin/env bash
# Puts the shared libraries that a program needs into lib/ beside it, but for those of glibc.
#
# Usage: tests/gpu/bundle.sh PROGRAM
set -euo pipefail

program=${1?usage: tests/gpu/bundle.sh PROGRAM}
lib=$(dirname "$program")/lib
mkdir -p "$lib"
ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
  grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' |
  xargs -r -I{} cp -uL {} "$lib/"
