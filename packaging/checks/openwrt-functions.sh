# shellcheck shell=dash disable=SC3043,SC2034,SC2154,SC2317,SC1090 # much is called, and set, by name
# Stand-ins for what OpenWrt's /lib/functions.sh and procd.sh offer to the scripts of a package, with the same names and
# arguments, as far as ours use them. What would act on the machine says what it was asked for instead.
#
# A script with "#!/bin/sh /etc/rc.common" comes in here as the first argument, and only tells how it was called.

case $0 in
  /etc/rc.common)
    echo "$1 $2"
    [ "$2" != enabled ] || [ -e /tmp/enabled ]
    exit
    ;;
esac

for _call in open_instance close_instance set_param add_reload_trigger; do
  eval "procd_$_call() { echo \"procd_$_call\${*:+ \$*}\"; }"
done
logger() { echo "logger $*" >&2; }

# UCI's text is made of words with the shell's quotes, and is read as such. _o_SECTION_OPTION has a value, and with a
# number behind, an item of a list.
config_load() {
  _sections="" _anonymous=0
  config() {
    _section=${2:-}
    if [ -z "$_section" ]; then
      _anonymous=$((_anonymous + 1))
      _section=cfg$_anonymous
    fi
    _sections="$_sections $_section"
    eval "_type_$_section=\$1"
  }
  option() { eval "_o_${_section}_$1=\$2"; }
  list() {
    eval "_n=\$((\${_n_${_section}_$1:-0} + 1))"
    eval "_n_${_section}_$1=$_n; _o_${_section}_$1_$_n=\$2"
  }
  . "/etc/config/$1"
}
config_get() { eval "$1=\${_o_$2_$3:-\${4:-}}"; }
config_get_bool() {
  config_get "$@"
  eval "case \$$1 in 1 | on | true | yes | enabled) $1=1 ;; 0 | off | false | no | disabled) $1=0 ;; *) $1=${4:-} ;; esac"
}
config_foreach() {
  local function=$1 type=$2 section is
  for section in $_sections; do
    eval "is=\$_type_$section"
    [ "$is" != "$type" ] || "$function" "$section"
  done
}
config_list_foreach() {
  local section=$1 name=$2 function=$3 count item=1 value
  shift 3
  eval "count=\${_n_${section}_$name:-0}"
  while [ "$item" -le "$count" ]; do
    eval "value=\$_o_${section}_${name}_$item"
    "$function" "$value" "$@"
    item=$((item + 1))
  done
}

user_exists() { grep -qs "^$1:" "${IPKG_INSTROOT:-}/etc/passwd"; }
group_add_next() {
  echo "$1:x:32768:" >>"${IPKG_INSTROOT:-}/etc/group"
  echo 32768
}
user_add() { echo "$1:x:${2:-32768}:$3:$4:/var/run/$1:/bin/false" >>"${IPKG_INSTROOT:-}/etc/passwd"; }

# What a package's list has in /etc/init.d is enabled and started, and the other way round.
# _scripts FIRST THEN: tells them both; the first is left out in an upgrade.
_scripts() {
  local script
  for script in $(grep -hs '^/etc/init.d/' /usr/lib/opkg/info/walbrook.list /lib/apk/packages/walbrook.list); do
    [ "${PKG_UPGRADE:-}" = 1 ] || "$script" "$1"
    "$script" "$2"
  done
}
default_postinst() { _scripts enable start; }
default_prerm() { _scripts disable stop; }
