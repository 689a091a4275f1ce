#!/bin/sh
# How is a file replaced so that a power cut leaves the old one or the new one? Put in front of the scripts that write.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
set -eu
state=/var/lib/bldr
umask 077

# ensure_folder PATH MODE: makes it where it is missing; one that is there stays as it is.
ensure_folder() {
    [ -d "$1" ] || {
        mkdir -p -- "$1"
        chmod "$2" -- "$1"
    }
}

# beside PATH: a name for the new file, in the folder of the old one, where a rename is one step.
beside() {
    printf '%s/.%s.bldr-new\n' "$(dirname -- "$1")" "$(basename -- "$1")"
}

# settle PATH: the complete new file takes the place of PATH, and both are on the disk.
settle() {
    sync -- "$(beside "$1")"
    mv -f -T -- "$(beside "$1")" "$1"
    sync -- "$(dirname -- "$1")"
}

# place PATH: the content on standard input, with the mode and the owner of what is there; else readable for all.
place() {
    new=$(beside "$1")
    cat >"$new"
    if [ -f "$1" ]; then
        chmod --reference="$1" -- "$new"
        chown --reference="$1" -- "$new"
    else
        chmod 0644 -- "$new"
    fi
    settle "$1"
}

# mark NAME TEXT: leaves a mark in the state folder.
mark() {
    ensure_folder "$state" 0755
    printf '%s\n' "$2" >"$(beside "$state/$1")"
    settle "$state/$1"
}

# marked NAME
marked() {
    [ -e "$state/$1" ]
}

# unmark NAME
unmark() {
    ! marked "$1" || { rm -f -- "$state/$1" && sync -- "$state"; }
}

# keep_backup PATH: a copy for root alone, where PATH exists; of each name the ten newest are kept.
keep_backup() {
    [ -e "$1" ] || return 0
    ensure_folder "$state" 0755
    backups=$state/backup
    ensure_folder "$backups" 0700
    name=$(basename -- "$1")
    kept=$backups/$name.$(date -u +%Y%m%dT%H%M%S.%N)
    cp -- "$1" "$(beside "$kept")"
    chmod 0600 -- "$(beside "$kept")"
    settle "$kept"
    set -- "$backups/$name".[0-9]*T[0-9]*.[0-9]*
    while [ $# -gt 10 ]; do
        rm -f -- "$1"
        shift
    done
}

# take_input FILE BYTES: standard input, which must be this long: a connection that breaks ends it early.
take_input() {
    cat >"$1"
    [ "$(wc -c <"$1")" -eq "$2" ] || {
        echo "bldr: the content was cut short on its way" >&2
        exit 65
    }
}
