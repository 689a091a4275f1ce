#!/bin/sh
# Does the minion here take orders from that master, and from no other? Waits until it does, for as long as given.
#
# Input:  ADDRESS SECONDS KEY, the last the text of that master's public key.
# Output: bldr-answer / proven yes | proven no / why BASE64, half a sentence, where it is not / bldr-end
# Exit:   0; anything else where that cannot be told.
# Needs:  salt-settings.sh placing.sh master-link.sh
# shellcheck disable=SC2154 # some are set by what stands in front

address=$1
seconds=$2
read_key <<KEY
$3
KEY
wanted=$body
# The seconds since this machine was started: no clock that somebody sets, and no process to ask it.
read -r now _ </proc/uptime
until=$((${now%.*} + seconds))
command -v ss >/dev/null || {
    echo "bldr: there is no 'ss' here, which tells whom the minion is connected to; install iproute2" >&2
    exit 69
}

# runs_minion WORD...: whether a command line is salt-minion's, or that of an interpreter that runs it.
runs_minion() {
    program=${1-}
    case ${program##*/} in
    salt-minion) return ;;
    python*[!0-9.]*) return 1 ;;
    python* | sh | bash) ;;
    *) return 1 ;;
    esac
    shift
    while :; do
        case ${1:-} in
        -*[!A-Za-z]* | - | '') return 1 ;;
        -*) shift ;;
        *) break ;;
        esac
    done
    [ "${1##*/}" = salt-minion ]
}

# The salt-minion processes that no other salt-minion has started. Few of all processes have that name among their arguments:
# one look finds those, a closer one which of them run it.
daemons() {
    all=
    named=$(grep -ls salt-minion /proc/[0-9]*/cmdline || true)
    set -f
    for process in $named; do
        process=${process%/cmdline}
        case ${process#/proc/} in "$$" | "$PPID") continue ;; esac
        line=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") || continue
        # shellcheck disable=SC2086 # words
        ! runs_minion $line || all="$all ${process#/proc/} "
    done
    set +f
    count=0
    for process in $all; do
        parent=
        while read -r field value; do
            [ "$field" != PPid: ] || parent=$value
        done 2>/dev/null <"/proc/$process/status" || continue
        case $all in *" $parent "*) ;; *) count=$((count + 1)) ;; esac
    done
    echo "$count"
}

# Why not, as half a sentence; nothing where there is nothing to object to. Asked again and again: few processes.
# shellcheck disable=SC2046 # words
set -- $(addresses_of "$address")
known=" $* "
trusted=$(pki_dir minion)/minion_master.pub
doubt() {
    connected=
    for peer in $(peers); do
        case $known in *" $peer "*) connected=yes ;; *)
            echo "it is connected to $peer"
            return
            ;;
        esac
    done
    if [ -z "$connected" ]; then
        echo "it is not connected to $address"
    elif [ ! -f "$trusted" ] || [ "$(key_body "$trusted")" != "$wanted" ]; then
        echo "it trusts another key than the master's"
    else
        count=$(daemons)
        case $count in
        1) ;;
        0) echo "salt-minion is down" ;;
        *) echo "there are $count salt-minion daemons on it" ;;
        esac
    fi
}

# What the minion's own log has to say, in words that quote nothing of it.
hint() {
    recent=$(tail -n 30 "$(salt_setting minion log_file /var/log/salt/minion)" 2>/dev/null || true)
    case $recent in
    *'rejected this minion'*) echo " (its log: the master refuses its key)" ;;
    *'has cached the public key'* | *'waiting for its public key'*) echo " (its log: the master has not accepted its key)" ;;
    *'Invalid master key'* | *'master key has changed'* | *'public key, check'*) echo " (its log: the master shows another key than the one it trusts)" ;;
    *'SaltReqTimeoutError'* | *'Unable to sign_in'* | *'Attempt to authenticate'*) echo " (its log: the master does not answer)" ;;
    *'DNS lookup'* | *'failed to resolve'*) echo " (its log: the master's name cannot be resolved)" ;;
    esac
}

why=$(doubt)
while [ -n "$why" ] && read -r now _ </proc/uptime && [ "${now%.*}" -lt "$until" ]; do
    sleep 0.3
    why=$(doubt)
done
if [ -z "$why" ]; then
    printf 'bldr-answer\nproven yes\nbldr-end\n'
else
    printf 'bldr-answer\nproven no\nwhy is %s\nbldr-end\n' "$(printf '%s after %s s%s' "$why" "$seconds" "$(hint)" | base64 -w 0)"
fi
