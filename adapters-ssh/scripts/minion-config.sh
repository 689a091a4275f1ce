#!/bin/sh
# How does a minion's configuration come to name another master, or another id? Put in front of the scripts that see to it; needs
# salt-settings.sh.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
set -eu

# repointed FILE ADDRESS: only the top-level "master:" and the list items below it are replaced, and "master_finger:" goes; every other
# line stays, to the byte.
repointed() {
    tail=1
    [ -z "$(tail -c 1 -- "$1")" ] || tail=0
    awk -v address="$2" -v tail="$tail" '
        function emit(text) { if (held) printf "%s\n", line; line = text; held = 1; last = NR }
        {
            bare = $0
            sub(/\r+$/, "", bare)
            if (bare ~ /^master_finger:/) {
                dropping = 0
            } else if (bare ~ /^master:([ \t]|$)/) {
                dropping = 1
                if (!done) emit("master: " address substr($0, length(bare) + 1))
                done = 1
            } else if (!(dropping && (bare ~ /^[ \t]+[^ \t]/ || bare ~ /^- / || bare == "-"))) {
                dropping = 0
                emit($0)
            }
        }
        END {
            if (held) printf "%s", line
            if (held && (last < NR || tail + 0)) printf "\n"
            if (!done) {
                if (held && last == NR && !(tail + 0)) printf "\n"
                printf "master: %s\n", address
            }
        }' "$1"
}

# identified FILE ID: the same for "id:", where there is one that says something else.
identified() {
    said=$(setting_in id "$1")
    if [ -z "$said" ] || [ "$said" = "$2" ]; then
        cat -- "$1"
        return
    fi
    tail=1
    [ -z "$(tail -c 1 -- "$1")" ] || tail=0
    awk -v id="$2" -v tail="$tail" '
        function emit(text) { if (held) printf "%s\n", line; line = text; held = 1; last = NR }
        !/^id:([ \t\r]|$)/ { emit($0); next }
        !done { emit("id: " id (/\r$/ ? "\r" : "")); done = 1 }
        END {
            if (held) printf "%s", line
            if (held && (last < NR || tail + 0)) printf "\n"
        }' "$1"
}
