#!/usr/bin/env bash
# Runs the tests of casts on an instruction set that this machine lacks, on an emulated processor. The last line is
# `TARGET: passed` or `TARGET: failed`; what the tests said is in build/emulate/TARGET.log.
#
# Usage: tests/emulate/run.sh avx512|avx512-vbmi|avx2|neon
#
# Installs what it needs (Debian 12). The first run downloads more from Debian's archive into build/emulate: an
# emulator and a kernel (avx*) or libraries (neon), 85 MB or 12 MB.
#
# `avx2` is a control: what passes on a real processor and fails there is a fault of the emulator.
#
# x86 is a whole machine in Bochs, which boots Debian's kernel and runs some 100 million instructions a second: the
# tests take samples, of the one table that is asked for. Bochs is Debian 13's, run from where it is unpacked: that of
# Debian 12 rounds ties of VCVTPS2PH away from zero, and drops a bit in VCVTUDQ2PS and VCVTUQQ2PD. NEON is a process in
# QEMU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/common.sh

readonly kRoot=$PWD
readonly kBuild=$kRoot/build/emulate
# Seconds that an emulator may take; a test that hangs fails then.
readonly kLimit=${TENSORD_EMULATION_LIMIT:-3600}

target=${1-}
case "$target" in
  avx2) arch=x86_64 processor=corei7_icelake_u table=AVX2 ;;
  avx512) arch=x86_64 processor=corei7_skylake_x table=AVX-512 ;;
  avx512-vbmi) arch=x86_64 processor=corei7_icelake_u table="AVX-512 VBMI" ;;
  neon) arch=aarch64 table=baseline ;;
  *) sed -n '2,/^[^#]/s/^# \?//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
# Of the elements that a sweep checks on a real processor.
if [[ $arch == x86_64 ]]; then one_in=200; else one_in=20; fi
log=$kBuild/$target.log

# Prints the verdict, and ends.
finish() {
  say "$1"
  if [[ -s $log ]]; then echo "output: ${log#"$kRoot/"}"; fi
  if [[ $1 == passed ]]; then echo "$target: passed"; exit 0; fi
  echo "$target: failed"
  exit 1
}

# Binaries with their arguments, one test a line.
list_tests() {
  local sweep
  if [[ $arch == x86_64 ]]; then
    # Every element of 16 bits is compared with the baseline by cast_table_test, and those of more are swept.
    echo 'cast_rules_test --gtest_filter=-*AgreesWithTheOracle/*16:*/*32:*/*64:*/*128'
    echo 'cast_table_test'
    echo 'cast_test --gtest_filter=-*LongRows:CastFailuresTest*'
    echo 'cast_stream_test'
    echo 'cast_sweep_test --gtest_filter=*EveryBoundary*'
    echo 'packed_cast_test'
    echo 'cast_lengths_test --gtest_filter=-*ManyElements*:*/LittleToBig:*/BigToLittle'
  else
    printf '%s\n' fast_oracle_test cast_rules_test cast_table_test cast_test cast_stream_test cast_sweep_test \
      packed_cast_test cast_lengths_test conversion_report_test
  fi
  for sweep in uint32 uint64 int32 int64 float32 float64 complex64 complex128; do
    echo "pattern_sweep_${sweep}_test"
  done
}

# Builds the tests in build/emulate/ARCH, with what arguments CMake is given.
build_tests() {
  local targets
  say "building for $arch"
  export CCACHE_BASEDIR=$kRoot CCACHE_NOHASHDIR=1
  cmake -G Ninja -S tests/emulate -B "$kBuild/$arch" -DCMAKE_BUILD_TYPE=Release "$@" >"$kBuild/$arch.configure.log" 2>&1 ||
    { cat "$kBuild/$arch.configure.log"; finish "cannot configure"; }
  mapfile -t targets < <(list_tests | cut -d' ' -f1)
  cmake --build "$kBuild/$arch" --target print_cast_tables "${targets[@]}" || finish "does not build"
}

# A shell script that runs every test where it is called from: an emulated machine, or this one.
# $1: what comes before a binary; $2: the folder of the binaries.
write_test_script() {
  local line
  echo "export TENSORD_CHECK_ONE_IN=$one_in TENSORD_CAST_TABLE='$table'"
  echo 'failed='
  echo 'echo "cast tables that run here, best first:"'
  echo "$1 $2/bin/print_cast_tables"
  echo 'echo "tested: $TENSORD_CAST_TABLE"'
  while read -r line; do
    echo "echo '== $line'"
    echo "$1 $2/tests/${line%% *} --gtest_color=no $(grep -oE -- "--gtest_filter=.*" <<<"$line" | sed "s/.*/'&'/")"
    echo "status=\$?; [ \$status = 0 ] || failed=\"\$failed ${line%% *}(status \$status)\""
  done < <(list_tests)
  echo 'if [ -z "$failed" ]; then echo "== emulation passed"; else echo "== emulation failed:$failed"; fi'
}

# Downloads packages of Debian and unpacks them in a folder, if that is not there yet. Nothing is installed, and apt's
# lists of packages are not this machine's; the archive is the one that this machine has its packages from.
# $1: the folder; $2: the architecture; $3: the release; $4: `download` for the packages alone, or `install` for all that
# they depend on as well; others: their names.
unpack_packages() {
  local folder=$kBuild/$1 architecture=$2 release=$3 command=$4 apt=$kBuild/$1.apt archive options package
  shift 4
  if [[ -d $folder ]]; then return; fi
  say "downloading ${folder##*/}"
  rm -rf "$apt" "$folder.new"
  mkdir -p "$apt/state/lists/partial" "$apt/archives/partial" "$folder.new"
  archive=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk '$2 == "bookworm" { print $1; exit }')
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $release main" >"$apt/sources.list"
  options=(-q -y --no-install-recommends -o APT::Architecture="$architecture" -o APT::Architectures="$architecture"
    -o Dir::State="$apt/state" -o Dir::State::status=/dev/null -o Dir::Cache="$apt" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::SourceList="$apt/sources.list" -o APT::Sandbox::User=root)
  if [[ $command == install ]]; then options+=(--download-only); fi
  {
    apt-get "${options[@]}" update && (cd "$apt/archives" && apt-get "${options[@]}" "$command" "$@") &&
      for package in "$apt"/archives/*.deb; do dpkg -x "$package" "$folder.new" || break; done
  } >"$folder.log" 2>&1 || { tail "$folder.log"; finish "cannot download"; }
  rm -rf "$apt"
  mv "$folder.new" "$folder"
}

# ---- x86 in Bochs ------------------------------------------------------------

# Debian's smallest kernel, as build/emulate/vmlinuz.
download_kernel() {
  if [[ -e $kBuild/vmlinuz ]]; then return; fi
  unpack_packages kernel amd64 bookworm install linux-image-cloud-amd64
  cp "$kBuild"/kernel/boot/vmlinuz-* "$kBuild/vmlinuz.new"
  rm -rf "$kBuild/kernel"
  mv "$kBuild/vmlinuz.new" "$kBuild/vmlinuz"
}

# A CD with the kernel and, in memory, the tests, their libraries and data where they are here.
make_cd() {
  local cd=$kBuild/$target.cd root=$kBuild/$target.root file
  rm -rf "$cd" "$root"
  mkdir -p "$cd/isolinux" "$root/bin" "$root/proc" "$root/dev" "$root/tmp" "$root$kRoot/tests"
  cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$cd/isolinux"
  cp "$kBuild/vmlinuz" "$cd"
  cp /bin/busybox "$root/bin"
  cp -r tests/data "$root$kRoot/tests"
  while read -r file; do
    install -s -D "$kBuild/$arch/$file" "$root/$file"
    ldd "$root/$file" | grep -oE '/[^ ]+'
  done < <(echo bin/print_cast_tables; list_tests | sed 's/ .*//; s|^|tests/|') | sort -u | while read -r file; do
    install -D "$file" "$root$file"
  done
  {
    echo '#!/bin/busybox sh'
    echo '/bin/busybox mount -t proc proc /proc'
    write_test_script '' ''
    # Ends the emulator, once the serial port has sent all.
    echo '/bin/busybox sleep 2'
    echo '/bin/busybox poweroff -f'
  } >"$root/init"
  chmod +x "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet) >"$cd/initrd"
  # What this kernel does with these in Bochs, 2.7 at least, ends in a trap before the first process; no cast needs any.
  cat >"$cd/isolinux/isolinux.cfg" <<'CONFIG'
default linux
prompt 0
timeout 0
label linux
 kernel /vmlinuz
 append initrd=/initrd console=ttyS0,115200 quiet mitigations=off panic=-1 random.trust_cpu=on clearcpuid=xsavec,xsaves,pku,rdpid,umip,fsrm,erms
CONFIG
  xorriso -as mkisofs -quiet -o "$kBuild/$target.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
    -boot-load-size 4 -boot-info-table "$cd" 2>/dev/null
  rm -rf "$cd" "$root"
}

# Reads what the emulated machine's screen shows, on a terminal of Bochs's own whose name is in its output $1; it stops
# for good where nobody does.
read_screen() {
  local screen
  for _ in {1..60}; do
    screen=$(grep -aoE '/dev/pts/[0-9]+' "$1" | head -1) && break
    sleep 1
  done
  stty -F "$screen" raw && cat "$screen" >/dev/null
}

run_in_bochs() {
  local bochs=$kBuild/$target.bochs root=$kBuild/bochs libraries
  libraries=$root/usr/lib/x86_64-linux-gnu
  say "emulating $processor"
  cat >"$bochs.rc" <<CONFIG
display_library: term
romimage: file="$root/usr/share/bochs/BIOS-bochs-latest"
vgaromimage: file="$root/usr/share/bochs/VGABIOS-lgpl-latest"
cpu: model=$processor, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=1024, host=1024
ata0-master: type=cdrom, path="$kBuild/$target.iso", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev="$log"
speaker: enabled=0
sound: waveoutdrv=dummy
clock: sync=none
log: "$bochs.log"
panic: action=fatal
error: action=ignore
info: action=ignore
CONFIG
  {
    echo 'export TERM=xterm'
    echo "export BXSHARE='$root/usr/share/bochs' LTDL_LIBRARY_PATH='$libraries/bochs/plugins'"
    echo "exec '$root/usr/lib64/ld-linux-x86-64.so.2' --library-path '$libraries' '$root/usr/bin/bochs-bin' \
      -q -f '$bochs.rc'"
  } >"$bochs.sh"
  : >"$log"
  # It wants a terminal.
  timeout --signal=KILL "$kLimit" script -qec "sh '$bochs.sh'" /dev/null </dev/null >"$bochs.out" 2>&1 &
  emulator=$!
  read_screen "$bochs.out" &
  # So that it does not outlive this script.
  trap 'kill "$emulator" 2>/dev/null || true' EXIT
  trap 'exit 1' HUP INT TERM
  tail -n +1 -f --pid="$emulator" "$log" &
  wait "$emulator" || true
  # What it said comes before the verdict.
  wait $! || true
  sed -i 's/\r$//' "$log"
}

# ---- arm64 in QEMU -----------------------------------------------------------

run_in_qemu() {
  local libraries=$kBuild/arm64_root/usr/lib/aarch64-linux-gnu
  say "emulating aarch64"
  write_test_script "qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH='$libraries'" "'$kBuild/$arch'" \
    >"$kBuild/$target.sh"
  timeout "$kLimit" sh "$kBuild/$target.sh" 2>&1 | tee "$log" || true
}

# ------------------------------------------------------------------------------

mkdir -p "$kBuild"
rm -f "$log"
install_packages
install_packages tests/emulate/packages.txt
case "$arch" in
  x86_64)
    build_tests
    download_kernel
    unpack_packages bochs amd64 trixie install bochs bochs-term bochsbios vgabios
    make_cd
    run_in_bochs
    ;;
  aarch64)
    unpack_packages arm64_root arm64 bookworm download libabsl-dev libabsl20220623 libgtest-dev libgmock-dev libhwy-dev \
      libhwy1
    build_tests -DTENSORD_WERROR=OFF -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
      -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_FIND_ROOT_PATH="$kBuild/arm64_root" \
      -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY
    run_in_qemu
    ;;
esac
if grep -qx '== emulation passed' "$log"; then finish passed; fi
grep -E '^== emulation failed' "$log" || echo 'the emulator ended before the tests did'
finish failed
