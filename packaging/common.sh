# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used there
# What the scripts beside this file share: where things are. Sourced, not run.

packaging=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=../cross/common.sh
. "$packaging/../cross/common.sh"
# The packages, beside the directory of the binaries.
packages=${WALBROOK_PACKAGES:-${out%/cross}/packages}
case $packages in /*) ;; *) packages=$PWD/$packages ;; esac
nfpm=$tools/packaging/bin/nfpm
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml" | head -n 1)

# architecture TARGET COLUMN: a cell of the table `targets` beside this file; nothing for "-".
architecture() {
  awk -v name="$1" -v column="$2" '!/^#/ && $1 == name && $column != "-" { print $column }' "$packaging/targets"
}
