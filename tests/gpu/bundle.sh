#!/usr/bin/env bash
# Puts the shared libraries that programs of one folder need into lib/ beside them, but for those of glibc.
#
# Usage: tests/gpu/bundle.sh PROGRAM...
set -euo pipefail

lib=$(cd "$(dirname "${1?usage: tests/gpu/bundle.sh PROGRAM...}")" && pwd)/lib
mkdir -p "$lib"
# Those that are there already would find themselves.
rm -f "$lib"/*
ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
  sort -u | grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' |
  xargs -r -I{} cp -L {} "$lib/"
