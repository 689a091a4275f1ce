#!/bin/sh
# Takes the watchdog of a switch away: what is, stays.
#
# Input:  ADDRESS, the one the minion was switched to.
# Output: bldr-answer / bldr-end
# Exit:   0; 66 where it was not confirmed in time and the node has put itself back, said on standard error.
# Needs:  salt-settings.sh placing.sh minion-unit.sh watchdog.sh
# shellcheck disable=SC2154 # some are set by what stands in front

take_turn
waited=no
! armed || waited=yes
# What is left without a deadline is what a script that was killed did not get round to remove.
[ ! -e "$switch" ] || disarm
if [ "$waited" = no ] && [ "$(setting_in master "$(minion_config)")" != "$1" ]; then
    echo "bldr: it was not confirmed in time and has put itself back" >&2
    exit 66
fi
echo bldr-answer
echo bldr-end
