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
