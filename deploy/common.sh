# Functions that deploy/run.sh and tests/run.sh share. Sourced, with the root of the tree as the working directory.

say() { printf '\n== %s\n' "$*"; }

# Debian's packages of a list, deploy/packages.txt unless another is named, if any is missing.
install_packages() {
  local list=${1-deploy/packages.txt} missing=() package
  while read -r package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
  done < <(grep -v '^#' "$list")
  if ((${#missing[@]} == 0)); then return; fi
  say "installing ${missing[*]}"
  local as_root=()
  if ((EUID != 0)); then as_root=(sudo); fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# The tree of a CMake preset, under build/.
build_preset() {
  local preset=$1
  say "building preset $preset"
  # Objects are the same whatever the build folder is called, so that one build feeds the next.
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  local options=()
  # For the devices of this machine, if it has any.
  if nvidia-smi -L >/dev/null 2>&1; then options+=(-DTENSORD_CUDA_ARCHS=native); fi
  cmake --preset "$preset" "${options[@]}" >"build/$preset.configure.log" 2>&1 ||
    { cat "build/$preset.configure.log"; return 1; }
  cmake --build --preset "$preset"
}

# build/venv with the packages of a requirements file; nothing to do if that was done before.
install_venv() {
  local requirements=$1 stamp
  stamp=build/venv/.$(basename "$requirements").stamp
  if [[ ! -x build/venv/bin/python ]]; then
    say "making build/venv"
    /usr/bin/python3 -m venv build/venv
  fi
  if ! cmp -s "$requirements" "$stamp"; then
    say "installing $requirements into build/venv"
    build/venv/bin/python -m pip install -q --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$stamp"
  fi
}

# The wheel of the Python client in build/wheels, for machines that have no gRPC. Built in build/python.
build_wheel() {
  local raw=build/python/wheel
  say "building the wheel of the Python client"
  rm -rf "$raw"
  CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 build/venv/bin/python -m pip wheel -q --disable-pip-version-check \
    --no-build-isolation --no-deps --wheel-dir "$raw" --config-settings=build-dir="$PWD/build/python" ./client/python
  build/venv/bin/python deploy/repair_wheel.py "$raw"/tensord-*.whl build/wheels
}

# The Python package `tensord` in build/venv, from its wheel, when a source of it is newer than what is installed.
install_python_client() {
  local stamp=build/venv/.tensord.stamp
  if [[ -e $stamp && -n $(find build/wheels -name 'tensord-*.whl' -print -quit 2>/dev/null) &&
    -z $(find CMakeLists.txt LICENSE client core proto deploy/cmake deploy/repair_wheel.py -newer "$stamp" -type f \
      -print -quit) ]]; then
    return
  fi
  touch build/venv/.tensord.new
  build_wheel
  build/venv/bin/python -m pip install -q --disable-pip-version-check --no-index --no-deps --force-reinstall \
    build/wheels/tensord-*.whl
  mv build/venv/.tensord.new "$stamp"
}
