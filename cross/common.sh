# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used there
# What the scripts beside this file share: where things are, and the table of targets. Sourced, not run.

cross=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repo=$(dirname "$cross")
# The tools that do not come from Debian.
tools=${WALBROOK_CROSS_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/walbrook-cross}
# The results, apart from those of the machine's own Rust.
out=${CARGO_TARGET_DIR:-$repo/target}
case $out in /*) ;; *) out=$PWD/$out ;; esac
out=$out/cross

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 1; }

# usage: the comment at the top of the script, as its help.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

all_targets() { awk '!/^#/ { print $1 }' "$cross/targets"; }

# field TARGET COLUMN: a cell of the table; nothing for a target that is not in it.
field() { awk -v name="$1" -v column="$2" '!/^#/ && $1 == name { print $column }' "$cross/targets"; }

# binary TARGET: where its binary is, or will be.
binary() { echo "$out/$(field "$1" 2)/release/walbrook"; }

# Sets `targets` to those named by the arguments, of which "all" is one.
parse_targets() {
  targets=()
  local name
  for name in "$@"; do
    if [ "$name" = all ]; then
      mapfile -t -O ${#targets[@]} targets < <(all_targets)
    else
      [ -n "$(field "$name" 2)" ] || die "no target $name; there are: $(all_targets | paste -sd ' ')"
      targets+=("$name")
    fi
  done
  [ ${#targets[@]} -gt 0 ] || { usage >&2; exit 2; }
}

# Has cargo use Debian's Rust, whatever else is installed. Building the standard library needs what stable Rust hides
# otherwise.
debian_rust() {
  cmp -s "$cross/requirements.txt" "$tools/python/installed.txt" || die "run cross/bootstrap first"
  export PATH="$tools/python/bin:/usr/bin:/bin" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$out"
  unset RUSTUP_TOOLCHAIN RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER CARGO_BUILD_RUSTFLAGS
  # Nothing that a user has set for compilers of C is meant for these.
  unset CFLAGS CXXFLAGS CC CXX LDFLAGS SOURCE_DATE_EPOCH
}

# wrap FILE: has the functions __wrap_NAME of cross/FILE.c replace those called NAME.
wrap() {
  local object=$out/$target/$1.o functions function
  "$tools/python/bin/python" -m ziglang cc -target "$(field "$name" 5)" "-mcpu=$(field "$name" 6)" -Os -Wall -Werror \
    -fno-pic -fno-asynchronous-unwind-tables -ffunction-sections -c "$cross/$1.c" -o "$object"
  flags+=$'\x1f'-Clink-arg=$object
  # Apart from the loop, so that a failure ends it all: without what is replaced some programs would work, but wrongly.
  functions=$(readelf -sW "$object" | sed -n 's/.* __wrap_//p')
  for function in $functions; do flags+=$'\x1f'-Clink-arg=-Wl,--wrap=$function; done
}

# fit TARGET: sets `name`, Rust's `target`, and the `flags` and `cflags` without which nothing for it could be linked, or
# would be right.
fit() {
  name=$1 target=$(field "$1" 2)
  mkdir -p "$out/$target"
  # Crt1.o and libc come from zig, not from Rust.
  flags=-Clink-self-contained=no
  flags+=$'\x1f'-Ctarget-feature=+crt-static
  flags+=$'\x1f'-Crelocation-model=static
  cflags=-fno-pic
  unset RUST_LIBC_UNSTABLE_MUSL_V1_2_3
  case $name in
    x86_64 | aarch64 | riscv64) ;;
    *)
      # A 64-bit time_t, as musl itself has since 1.2: for the libc crate, for the one in the standard library, and for
      # what that one misses.
      flags+=$'\x1f'--cfg$'\x1f'libc_unstable_musl_v1_2
      export RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1
      wrap futex
      ;;
  esac
  case $name in mips*) wrap dlsym ;; esac
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# missing PACKAGE...: those of Debian's packages that are not installed.
missing() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# install PACKAGE...: tried again, since a mirror may be in the middle of an update, and the lists here may be old.
install() {
  local log=$tools/apt.log pause
  mkdir -p "$tools"
  say "installing $*"
  for pause in 0 5 15; do
    sleep "$pause"
    as_root apt-get -o DPkg::Lock::Timeout=300 update -qq >"$log" 2>&1 || true
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
      install -y -qq --no-install-recommends "$@" >>"$log" 2>&1; then
      return 0
    fi
  done
  tail -n 20 "$log" >&2
  die "cannot install $*"
}

# wheels REQUIREMENTS DIRECTORY: makes the directory a Python environment with these wheels, unless it is one.
wheels() {
  ! cmp -s "$1" "$2/installed.txt" || return 0
  say "installing $(sed -n 's/^\([a-z-]*==[^ ]*\).*/\1/p' "$1" | paste -sd ' ')"
  rm -rf "$2"
  mkdir -p "$tools"
  /usr/bin/python3 -m venv "$2"
  "$2/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -r "$1"
  cp "$1" "$2/installed.txt"
}
