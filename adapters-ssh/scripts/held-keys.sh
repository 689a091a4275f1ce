#!/bin/sh
# Which keys of minions lie in a folder, what does Salt make of each, and how is one put there? Put in front of the scripts that
# look at them.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
# shellcheck disable=SC2154 # some are set by what stands in front
set -eu
folders='minions minions_pre minions_rejected minions_denied'

# held_keys FOLDER: a line of STATE ID BODY for each key below it, where it lies in the folders that Salt has for them.
held_keys() {
    for in in $folders; do
        case $in in
        minions) as=accepted ;;
        minions_pre) as=pending ;;
        *) as=${in#minions_} ;;
        esac
        [ -d "$1/$in" ] || continue
        # One that vanishes meanwhile, as those of minions that knock do, is not there.
        find "$1/$in" -maxdepth 1 -type f ! -name '.*' | awk -v state="$as" '{
            file = $0
            id = $0
            sub(/.*\//, "", id)
            body = ""
            while ((getline line <file) > 0) if (line !~ /^-----/) { gsub(/[ \t\r]/, "", line); body = body line }
            close(file)
            if (body) print state, id, body
        }'
    done
}

# sum_of FILE: the checksum of a key's body.
sum_of() {
    key_body "$1" | sha256sum | cut -d ' ' -f 1
}

# hand_over FOLDER PATH...: what was drafted for these is whose the folder is: salt-master may run as a user of its own.
hand_over() {
    owner=$1
    shift
    for settled in "$@"; do
        shift
        set -- "$@" "${settled%/*}/.${settled##*/}.bldr-new"
    done
    chown --reference="$owner" -- "$@"
}

# hold_key FILE PLACE: Salt holds that key from now on.
hold_key() {
    ensure_folder "${2%/*}" 0700
    draft_for_all "$2"
    cat -- "$1" >"$draft"
    hand_over "${2%/*}" "$2"
    settle "$2"
}
