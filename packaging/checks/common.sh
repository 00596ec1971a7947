# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is used there
# What the checks share: packages of two releases, and a clean Debian to install them in. Sourced, not run.

# shellcheck source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
checks=$packaging/checks
scratch=$(mktemp -d)
trap 'rm -rf --one-file-system "$scratch"' EXIT
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml" | head -n 1)

# The package of this glob, of which there must be one.
the() {
  # shellcheck disable=SC2206 # the glob is the point
  local found=("$packages"/$1)
  [ ${#found[@]} = 1 ] && [ -f "${found[0]}" ] || die "no $1 in $packages: run packaging/build first"
  echo "${found[0]}"
}

# next TARGET: packages of the same version with a higher release, for upgrades, in $scratch/next.
next() {
  [ -d "$scratch/next" ] ||
    WALBROOK_RELEASE=2 WALBROOK_PACKAGES=$scratch/next "$packaging/build" "$1" >/dev/null
}

# debian DIRECTORY: a clean Debian 12, with systemd, OpenRC and SQLite's shell. Made once, and copied.
debian() {
  local base=$tools/debian mirror
  [ "$(id -u)" = 0 ] || die "needs root"
  if [ ! -e "$base/.complete" ]; then
    say "making a clean Debian (two minutes, once)"
    rm -rf "$base"
    # shellcheck disable=SC2016 # the variable is apt's
    # From where this machine has its own packages, if it is Debian 12.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 2>/dev/null | head -n 1)
    # shellcheck disable=SC2086 # no mirror, no argument
    debootstrap --variant=minbase --include=adduser,systemd,systemd-sysv,openrc,sqlite3,ca-certificates bookworm "$base" \
      $mirror >"$tools/debootstrap.log" 2>&1 || { tail -n 20 "$tools/debootstrap.log" >&2; die "debootstrap failed"; }
    rm -rf "$base"/var/cache/apt/archives/*.deb
    touch "$base/.complete"
  fi
  cp -a --reflink=auto "$base" "$1"
}
