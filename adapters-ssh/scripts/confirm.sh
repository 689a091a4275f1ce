#!/bin/sh
# Takes the watchdog of a switch away: what is, stays.
#
# Input:  [ADDRESS KEY], the one the minion was switched to, and the text of that master's public key. Without them whatever is there
#         stays, also what was switched half way.
# Output: bldr-answer / bldr-end
# Exit:   0; 66 where the minion is not as it was switched: the node has put itself back, or was
#         interrupted while it did, which is completed here; said on standard error.
# Needs:  placing.sh fence.sh salt-settings.sh minion-unit.sh watchdog.sh
# shellcheck disable=SC2154 # some are set by what stands in front

as_switched() {
    locate
    ! marked repointing && [ -f "$trusted" ] && [ "$(setting_in master "$config")" = "$1" ] || return 1
    read_key <"$trusted"
    placed=$body
    read_key <<KEY
$2
KEY
    [ "$placed" = "$body" ]
}

take_turn
if [ $# -gt 0 ] && ! as_switched "$@"; then
    ! armed || put_back
    echo "bldr: it was not confirmed in time and has put itself back" >&2
    exit 66
fi
# What is left without a deadline is what a script that was killed did not get round to remove.
[ ! -e "$switch" ] || disarm
printf 'bldr-answer\nbldr-end\n'
