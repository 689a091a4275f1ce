#!/bin/sh
# Whom is the minion here connected to, and who answers where? Put in front of the scripts that need to know.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
#
# 4505 is where a salt-master publishes its orders: a minion that is connected there hears them.
set -eu

# peers: the addresses that processes here are connected to at port 4505, each once.
peers() {
    connections=$(ss -Htn state established '( dport = :4505 )') || :
    told=' '
    while read -r _ _ _ peer _; do
        [ -n "$peer" ] || continue
        peer=${peer%:4505}
        peer=${peer#[}
        peer=${peer%]}
        peer=${peer#::ffff:}
        case $told in *" $peer "*) continue ;; esac
        told="$told$peer "
        printf '%s\n' "$peer"
    done <<SS
$connections
SS
}

# addresses_of NAME: the addresses a name leads to; of an address, itself.
addresses_of() {
    case $1 in
    *[!0-9.]*) { getent ahosts "$1" || true; } | awk '!seen[$1]++ { print $1 }' ;;
    *) printf '%s\n' "$1" ;;
    esac
}

# stranger ADDRESS: the first peer that is not ADDRESS, or nothing.
stranger() {
    known=$(addresses_of "$1")
    for peer in $(peers); do
        case "
$known
" in *"
$peer
"*) ;; *)
            printf '%s\n' "$peer"
            return
            ;;
        esac
    done
}

# connected_only ADDRESS: to that one, and to no other.
connected_only() {
    [ -n "$(peers)" ] && [ -z "$(stranger "$1")" ]
}

# mute ADDRESS PORT...: the ports where no master greets, all asked at once. A port that is open is not enough: the kernel opens it for a
# process that hangs, too. ZeroMQ greets first, and without being asked.
mute() {
    # shellcheck disable=SC2016 # for the inner shell
    greeting=$(timeout 5 bash -c 'for port in "${@:2}"; do
            { exec 3<>"/dev/tcp/$1/$port" && IFS= read -r -d "" -n 1 -u 3 _ && echo "$port"; } &
        done
        wait' mute "$@" 2>/dev/null) || :
    shift
    for port in "$@"; do
        case "
$greeting
" in *"
$port
"*) ;; *) printf '%s\n' "$port" ;; esac
    done
}
