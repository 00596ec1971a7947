# shellcheck shell=bash
# What the parts share that run in a clean system, each of which says with `fail` what is wrong. Sourced, not run.

# run COMMAND...: shows its output only if it fails.
run() { "$@" >/out 2>&1 || { cat /out >&2; fail "failed: $*"; }; }

# is FOUND EXPECTED WHAT
is() { [ "$1" = "$2" ] || fail "$3: $1, not $2"; }

# comes COMMAND...: waits until it succeeds, for twenty seconds, or as many fifths of one as $tries says.
comes() {
  local try
  for try in $(seq "${tries:-100}"); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  fail "never came ($try tries): $*"
}

# replicated DATABASE SUM: what is restored has this sum.
replicated() {
  rm -f /tmp/restored.db
  walbrook restore -o /tmp/restored.db -integrity-check quick "$1" 2>/out &&
    [ "$(sqlite3 /tmp/restored.db 'SELECT sum(x) FROM t')" = "$2" ]
}
