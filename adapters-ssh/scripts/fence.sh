#!/bin/sh
# Has somebody who took the fleet's lock later worked on this machine? Put in front of the scripts that change something, after placing.sh.
#
# Input:  bldr_lock and bldr_epoch, set in front of it where the sender holds a lock whose holdings have numbers: which lock, and
#         which holding of it.
# Output: nothing.
# Exit:   68 where a later holding of the same lock has been here, said on standard error: nothing was changed.
#
# /var/lib/bldr/tenure says who has been here last: LOCK EPOCH. Of another lock nobody can tell whether it was before or after: whoever
# holds one is let in, and is who has been here last then. What a node does by itself, as its watchdog, has no lock and asks nobody.
# shellcheck disable=SC2119,SC2120,SC2154 # some are set by what stands in front, and what stands behind calls it with an argument
set -eu

# fence [LEFT]: that the sender may change something here; they have been here last then. LEFT is what to say of what was left.
fence() {
    [ -n "${bldr_lock:-}" ] || return 0
    ensure_folder "$state" 0755
    (
        flock 7
        seen_lock=
        seen=
        [ ! -f "$state/tenure" ] || read -r seen_lock seen <"$state/tenure" || true
        [ "$seen_lock" = "$bldr_lock" ] || seen=
        case $seen in
        '' | *[!0-9]*) seen=0 ;;
        esac
        [ "$seen" -le "$bldr_epoch" ] || {
            echo "bldr: a run that took the lock later has worked on it since (epoch $seen, this run has $bldr_epoch): ${1:-nothing was changed}" >&2
            exit 68
        }
        # Before anything else is changed, and only once a run.
        [ "$seen" -eq "$bldr_epoch" ] || {
            printf '%s %s\n' "$bldr_lock" "$bldr_epoch" >"$(beside "$state/tenure")"
            settle "$state/tenure"
        }
    ) 7>"$state/fence"
}
fence
