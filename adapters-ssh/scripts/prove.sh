#!/bin/sh
# Does the minion here take orders from that master, and from no other? Waits until it does, for as long as given.
#
# Input:  ADDRESS SECONDS BYTES; that master's public key on standard input, BYTES long.
# Output: bldr-answer / proven yes | proven no / why BASE64, half a sentence, where it is not / bldr-end
# Exit:   0; anything else where that cannot be told.
# Needs:  salt-settings.sh placing.sh master-link.sh

address=$1
until=$(($(date +%s) + $2))
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/key" "$3"
command -v ss >/dev/null || {
    echo "bldr: there is no 'ss' here, which tells whom the minion is connected to; install iproute2" >&2
    exit 69
}

# The salt-minion processes that no other salt-minion has started. Few of all processes have that name among their arguments:
# one look finds those, a closer one which of them run it.
daemons() {
    all=
    named=$(grep -ls salt-minion /proc/[0-9]*/cmdline || true)
    for process in $named; do
        process=${process%/cmdline}
        line=$(head -c 300 "$process/cmdline" 2>/dev/null | tr '\0' ' ') || continue
        if printf '%s' "$line" | grep -Eq '^([^ ]*/)?((python[0-9.]*|sh|bash) ([^ ]*/)?(-[A-Za-z]+ )*([^ ]*/)?)?salt-minion( |$)'; then
            all="$all ${process#/proc/} "
        fi
    done
    count=0
    for process in $all; do
        parent=$(awk '/^PPid:/ { print $2 }' "/proc/$process/status" 2>/dev/null) || continue
        case $all in *" $parent "*) ;; *) count=$((count + 1)) ;; esac
    done
    echo "$count"
}

# Why not, as half a sentence; nothing where there is nothing to object to. Asked again and again: few processes.
known=$(addresses_of "$address" | tr '\n' ' ')
wanted=$(key_body "$work/key")
trusted=$(pki_dir minion)/minion_master.pub
doubt() {
    connected=
    for peer in $(peers); do
        case " $known" in *" $peer "*) connected=yes ;; *)
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
while [ -n "$why" ] && [ "$(date +%s)" -lt "$until" ]; do
    sleep 0.3
    why=$(doubt)
done
echo bldr-answer
if [ -z "$why" ]; then
    echo 'proven yes'
else
    echo 'proven no'
    printf 'why is %s\n' "$(printf '%s after %s s%s' "$why" "$2" "$(hint)" | base64 -w 0)"
fi
echo bldr-end
