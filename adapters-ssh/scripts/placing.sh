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
    printf '%s/.%s.bldr-new\n' "${1%/*}" "${1##*/}"
}

# settle PATH...: the complete new files take the places of these, and all of them are on the disk.
settle() {
    flush_new "$@"
    put_new "$@"
}

put_new() {
    for settled in "$@"; do
        mv -f -T -- "${settled%/*}/.${settled##*/}.bldr-new" "$settled"
    done
    flush_folders "$@"
}

# Each path goes from the front of the list to its end, as another.
flush_new() {
    for settled in "$@"; do
        shift
        set -- "$@" "${settled%/*}/.${settled##*/}.bldr-new"
    done
    sync -- "$@"
}

flush_folders() {
    for settled in "$@"; do
        shift
        set -- "$@" "${settled%/*}/"
    done
    sync -- "$@"
}

# draft PATH: the beginning of a new file with the mode and the owner of what is there. Its name is in $draft; to be filled and settled.
draft() {
    if [ -f "$1" ]; then
        draft=${1%/*}/.${1##*/}.bldr-new
        cp -p -- "$1" "$draft"
    else
        draft_for_all "$1"
    fi
}

# draft_for_all PATH: the same, root's and readable for all.
draft_for_all() {
    draft=${1%/*}/.${1##*/}.bldr-new
    [ ! -e "$draft" ] || rm -f -- "$draft"
    umask 022
    : >"$draft"
    umask 077
}

# place PATH: the content on standard input takes its place.
place() {
    draft "$1"
    cat >"$draft"
    settle "$1"
}

# mark NAME TEXT: leaves a mark in the state folder.
mark() {
    ensure_folder "$state" 0755
    printf '%s\n' "$2" >"$state/.$1.bldr-new"
    settle "$state/$1"
}

# marks NAME...: leaves marks of which nobody reads what is in them: that they are there is all they tell.
marks() {
    ensure_folder "$state" 0755
    for marked in "$@"; do
        shift
        : >"$state/$marked"
        set -- "$@" "$state/$marked"
    done
    sync -- "$@" "$state"
}

# marked NAME
marked() {
    [ -e "$state/$1" ]
}

# unmark NAME
unmark() {
    ! marked "$1" || { rm -f -- "$state/$1" && sync -- "$state"; }
}

# keep_backup PATH...: copies for root alone of those that exist; of each name the ten newest are kept.
keep_backup() {
    draft_backups "$@"
    settle_drafted
}

# draft_backups PATH...: the same, to be settled together with what comes in their place. They are named by $stamp, if there is one.
draft_backups() {
    drafted=
    for kept in "$@"; do
        [ -e "$kept" ] || continue
        ensure_folder "$state" 0755
        ensure_folder "$state/backup" 0700
        stamp=${stamp:-$(date -u +%Y%m%dT%H%M%S.%N)}
        cat -- "$kept" >"$state/backup/.${kept##*/}.$stamp.bldr-new"
        drafted="$drafted$state/backup/${kept##*/}.$stamp
"
    done
}

# settle_drafted PATH...: settles the backups, and then these.
settle_drafted() {
    [ $# -gt 0 ] || [ -n "$drafted" ] || return 0
    set -f
    IFS='
'
    # shellcheck disable=SC2086 # a path a line
    {
        flush_new $drafted "$@"
        [ -z "$drafted" ] || put_new $drafted
    }
    unset IFS
    set +f
    [ $# -eq 0 ] || put_new "$@"
    while IFS= read -r kept; do
        [ -n "$kept" ] || continue
        set -- "${kept%".$stamp"}".[0-9]*T[0-9]*.[0-9]*
        while [ $# -gt 10 ]; do
            rm -f -- "$1"
            shift
        done
    done <<DRAFTED
$drafted
DRAFTED
}

# take_input FILE BYTES: standard input, which must be this long: a connection that breaks ends it early.
take_input() {
    cat >"$1"
    [ "$(wc -c <"$1")" -eq "$2" ] || cut_short
}

cut_short() {
    echo "bldr: the content was cut short on its way" >&2
    exit 65
}
