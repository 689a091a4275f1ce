#!/bin/sh
# How does a node put itself back when nobody confirms its switch? Put in front of the scripts that switch, confirm and put
# back; needs salt-settings.sh, placing.sh, fence.sh and minion-unit.sh.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
#
# /var/lib/bldr/switch is there while a switch waits to be confirmed. In it is what was there before (a file that is missing
# there was missing here), `deadline` in seconds since 1970, and `revert.sh`, which puts all of it back. Where systemd runs,
# a timer starts that at the deadline, and a service at every boot, in case the machine was down at that moment.
# shellcheck disable=SC2034,SC2154 # some are set or read by what stands in front
set -eu
switch=/var/lib/bldr/switch
units=/etc/systemd/system
build_vars=/etc/build-vars.json.b64

armed() {
    [ -e "$switch/deadline" ]
}

# One at a time: a switch, a confirmation, or a watchdog whose time has come. The lock ends with the process. Somebody else may have had
# their turn while this one waited.
take_turn() {
    ensure_folder "$state" 0755
    exec 9>"$state/lock"
    flock 9
    fence
}

# locate: sets $config and $trusted, the minion's configuration and the file of the key it trusts.
locate() {
    config=/etc/salt/minion
    # What is linked to is replaced, and not the link.
    [ ! -L "$config" ] || config=$(readlink -f -- "$config" || echo "$config")
    trusted=$(pki_dir minion)/minion_master.pub
}

# arm SECONDS TEXT: keeps what is there now, unless something is kept already, and sets the deadline; TEXT is revert.sh's. Needs locate;
# marks, which come next, put the folder of both on the disk.
arm() {
    now=$(date -u '+%s %Y%m%dT%H%M%S.%N')
    # Also that of what is replaced.
    stamp=${now#* }
    deadline=$((${now%% *} + $1))
    if armed; then
        # Whoever is to come is told first: killed in between, they come at the new deadline to an old one, and put back.
        watch_out "$deadline" "$1"
        printf '%s\n' "$deadline" >"$(beside "$switch/deadline")"
        settle "$switch/deadline"
        return
    fi
    seconds=$1
    revert=$2
    if [ -e "$switch.new" ] || [ -e "$switch" ]; then rm -rf -- "$switch.new" "$switch"; fi
    mkdir -m 0700 -- "$switch.new"
    [ ! -e "$config" ] || cp -p -- "$config" "$switch.new/minion"
    set --
    for kept in "$trusted" "$build_vars" "$state/highstate-due"; do
        [ ! -e "$kept" ] || set -- "$@" "$kept"
    done
    [ $# -eq 0 ] || cp -p -t "$switch.new" -- "$@"
    printf '%s' "$revert" >"$switch.new/revert.sh"
    printf '%s\n' "$deadline" >"$switch.new/deadline"
    sync -- "$switch.new"/* "$switch.new"
    mv -T -- "$switch.new" "$switch"
    watch_out "$deadline" "$seconds"
}

# watch_out DEADLINE SECONDS: somebody has to come at the deadline, which is so many seconds away.
watch_out() {
    if [ -d /run/systemd/system ]; then
        cat >"$units/bldr-watchdog.service" <<UNIT
[Unit]
Description=Puts salt-minion back on its old master unless the switch is confirmed
ConditionPathExists=$switch/deadline
After=salt-minion.service

StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh $switch/revert.sh due
Restart=on-failure
RestartSec=10
UNIT
        cat >"$units/bldr-watchdog.timer" <<UNIT
[Unit]
Description=When the switch of salt-minion has to be confirmed

[Timer]
OnCalendar=$(date -u -d "@$1" '+%Y-%m-%d %H:%M:%S UTC')
AccuracySec=1s
UNIT
        chmod 0644 -- "$units/bldr-watchdog.service" "$units/bldr-watchdog.timer"
        # As `systemctl enable` would, which makes systemd read all its units anew each time.
        ensure_folder "$units/multi-user.target.wants" 0755
        ensure_folder "$units/timers.target.wants" 0755
        ln -sf -- "$units/bldr-watchdog.service" "$units/multi-user.target.wants/bldr-watchdog.service"
        ln -sf -- "$units/bldr-watchdog.timer" "$units/timers.target.wants/bldr-watchdog.timer"
        sync -- "$units"/bldr-watchdog.* "$units" "$units/multi-user.target.wants" "$units/timers.target.wants"
        # One that it has read before, with another deadline, is the exception.
        [ "$(systemctl show --property=NeedDaemonReload --value bldr-watchdog.timer)" = no ] || systemctl daemon-reload >&2
        systemctl restart bldr-watchdog.timer >&2
    else
        # One that waits already reads the new deadline when it wakes.
        [ -z "$(watcher)" ] || return 0
        # shellcheck disable=SC2016 # for the inner shell
        setsid sh -c 'sleep "$1"; exec sh "$2" watch' watchdog "$2" "$switch/revert.sh" >/dev/null 2>&1 </dev/null 9>&- &
        printf '%s\n' "$!" >"$switch/watcher"
    fi
}

# watcher: the process that waits for the deadline, if it does. The number may be another process's by now.
watcher() {
    waiting=
    program=
    { read -r waiting <"$switch/watcher" && read -r program <"/proc/$waiting/cmdline"; } 2>/dev/null || :
    case $program in *"$switch/revert.sh"*) printf '%s\n' "$waiting" ;; esac
}

# disarm: nobody comes any more. The deadline goes first: without it everything else is just left over.
disarm() {
    rm -f -- "$switch/deadline"
    sync -- "$switch"
    if [ -e "$units/bldr-watchdog.timer" ]; then
        systemctl stop bldr-watchdog.timer >&2
        # The timer's file goes last: as long as it is there, a run that was killed here has something to disarm.
        rm -f -- "$units/multi-user.target.wants/bldr-watchdog.service" "$units/timers.target.wants/bldr-watchdog.timer" \
            "$units/bldr-watchdog.service"
        rm -f -- "$units/bldr-watchdog.timer"
    fi
    watching=$(watcher)
    # This may be the watcher itself.
    [ -z "$watching" ] || [ "$watching" = "$$" ] || kill -- "-$watching" 2>/dev/null || true
    rm -rf -- "$switch"
    sync -- "$state"
}

# put_back: everything as it was before the switch, and the minion started. May be killed anywhere and begun again.
put_back() {
    locate
    stopped=yes
    minion stop
    restore minion "$config"
    restore minion_master.pub "$trusted"
    restore build-vars.json.b64 "$build_vars"
    restore highstate-due "$state/highstate-due"
    minion start
    stopped=
    unmark repointing
    disarm
}

# restore KEPT PATH
restore() {
    if [ -e "$switch/$1" ]; then
        ensure_folder "${2%/*}" 0755
        cp -p -- "$switch/$1" "$(beside "$2")"
        settle "$2"
    elif [ -e "$2" ]; then
        rm -f -- "$2"
        sync -- "${2%/*}"
    fi
}
