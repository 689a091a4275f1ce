#!/bin/sh
# Takes the watchdog of a switch away: what is, stays.
#
# Input:  [ADDRESS BYTES], the one the minion was switched to, and that master's public key on standard input, BYTES long.
#         Without them whatever is there stays, also what was switched half way.
# Output: bldr-answer / bldr-end
# Exit:   0; 65 the key came in short; 66 where the minion is not as it was switched: the node has put itself back, or was
#         interrupted while it did, which is completed here; said on standard error.
# Needs:  placing.sh fence.sh salt-settings.sh minion-unit.sh watchdog.sh
# shellcheck disable=SC2154 # some are set by what stands in front

as_switched() {
    ! marked repointing && [ "$(setting_in master "$(minion_config)")" = "$1" ] &&
        [ -f "$(trusted_key)" ] && [ "$(key_body "$(trusted_key)")" = "$(key_body "$work/key")" ]
}

work=$(mktemp -d)
[ $# -eq 0 ] || take_input "$work/key" "$2"
take_turn
if [ $# -gt 0 ] && ! as_switched "$1"; then
    ! armed || put_back
    echo "bldr: it was not confirmed in time and has put itself back" >&2
    exit 66
fi
# What is left without a deadline is what a script that was killed did not get round to remove.
[ ! -e "$switch" ] || disarm
echo bldr-answer
echo bldr-end
