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
    ss -Htn state established '( dport = :4505 )' | awk '{
        peer = $NF
        sub(/:4505$/, "", peer)
        gsub(/[][]/, "", peer)
        sub(/^::ffff:/, "", peer)
        if (!seen[peer]++) print peer
    }'
}

# addresses_of NAME: the addresses a name leads to; of an address, itself.
addresses_of() {
    { getent ahosts "$1" || true; } | awk '!seen[$1]++ { print $1 }'
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

# speaks ADDRESS PORT: whether a master greets there. A port that is open is not enough: the kernel opens it for a process
# that hangs, too. ZeroMQ greets first, and without being asked.
speaks() {
    # shellcheck disable=SC2016 # for the inner shell
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2" && [ "$(head -c 1 <&3 | wc -c)" -eq 1 ]' speaks "$1" "$2" 2>/dev/null
}
