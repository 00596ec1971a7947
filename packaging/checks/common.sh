# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is used there
# What the checks share: packages of two releases, and a clean Debian to install them in. Sourced, not run.

# shellcheck source=../common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
checks=$packaging/checks
scratch=$(mktemp -d)
trap 'rm -rf --one-file-system "$scratch"' EXIT

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

# debian DIRECTORY: a clean Debian 12, with systemd, OpenRC, cron, an SSH server and SQLite's shell. Made once, and copied.
debian() {
  local base=$tools/debian extra=adduser,systemd,systemd-sysv,openrc,cron,openssh-server,sqlite3,ca-certificates mirror
  [ "$(id -u)" = 0 ] || die "needs root"
  if [ "$(cat "$base/.complete" 2>/dev/null)" != $extra ]; then
    say "making a clean Debian (two minutes, once)"
    rm -rf "$base"
    # From where this machine has its own packages, if it is Debian 12.
    # shellcheck disable=SC2016 # the variable is apt's
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 2>/dev/null | head -n 1)
    # shellcheck disable=SC2086 # no mirror, no argument
    debootstrap --variant=minbase --include=$extra bookworm "$base" $mirror >"$tools/debootstrap.log" 2>&1 ||
      { tail -n 20 "$tools/debootstrap.log" >&2; die "debootstrap failed"; }
    rm -rf "$base"/var/cache/apt/archives/*.deb
    echo $extra >"$base/.complete"
  fi
  cp -a --reflink=auto "$base" "$1"
}

# bring_inside PART ROOT: puts what the part runs in the clean system there, as /inside.
bring_inside() {
  cp "$checks/$1-inside" "$2/inside"
  cp "$checks/inside.sh" "$2/inside.sh"
}

# boot ROOT COMMAND: boots it as a container with systemd, which runs the command and powers off. Fails if the command did,
# or took more than four minutes.
#
# Where containers cannot boot (systemd-nspawn wants mount and PID namespaces, and a writable /sys/fs/cgroup), this fails.
boot() {
  local root=$1
  rm -f "$root/result"
  cat >"$root/etc/systemd/system/inside.service" <<END
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=$2
StandardOutput=file:/log
StandardError=append:/log
ExecStopPost=/bin/sh -c 'echo \$SERVICE_RESULT >/result; systemctl poweroff --force'
TimeoutStartSec=240
END
  mkdir -p "$root/etc/systemd/system/default.target.wants"
  ln -sf ../inside.service "$root/etc/systemd/system/default.target.wants/inside.service"
  timeout -k 5 300 systemd-nspawn -q -D "$root" --boot --register=no --keep-unit --private-network \
    --console=pipe </dev/null >"$scratch/boot" 2>&1 || true
  [ "$(cat "$root/result" 2>/dev/null)" != success ] || return 0
  tail -n 20 "$scratch/boot" >&2
  cat "$root/log" >&2 2>/dev/null || true
  die "failed in the container, or it did not boot"
}

# section HEADING: the commands below this heading of README.md.
section() {
  awk -v heading="$1" '/^#/ { within = $0 == heading } within && sub(/^    /, "")' "$repo/README.md" >"$scratch/commands"
  [ -s "$scratch/commands" ] || die "README.md has no commands below $1"
  cat "$scratch/commands"
}
