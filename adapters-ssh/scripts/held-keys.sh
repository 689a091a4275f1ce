#!/bin/sh
# Which keys of minions lie in a folder, what does Salt make of each, and how is one put there? Put in front of the scripts that
# look at them.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
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
        find "$1/$in" -maxdepth 1 -type f ! -name '.*' -exec awk -v state="$as" '
            FNR == 1 { if (body) print state, id, body; id = FILENAME; sub(/.*\//, "", id); body = "" }
            !/^-----/ { gsub(/[ \t\r]/, ""); body = body $0 }
            END { if (body) print state, id, body }' {} +
    done
}

# hold_key FILE PLACE: Salt holds that key from now on.
hold_key() {
    ensure_folder "$(dirname -- "$2")" 0700
    cat -- "$1" >"$(beside "$2")"
    chmod 0644 -- "$(beside "$2")"
    # salt-master may run as a user of its own.
    chown --reference="$(dirname -- "$2")" -- "$(beside "$2")"
    settle "$2"
}
