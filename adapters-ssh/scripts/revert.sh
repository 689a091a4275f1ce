#!/bin/sh
# Puts back what was there before a switch that waits to be confirmed.
#
# Input:  now | due | watch: at once; if the deadline has passed; when it passes.
# Output: bldr-answer / change made | change none, where no switch waits / bldr-end
# Exit:   0; else it was interrupted in between, and is completed by running it again.
# Needs:  placing.sh fence.sh salt-settings.sh minion-unit.sh watchdog.sh
# shellcheck disable=SC2154 # some are set by what stands in front

# left: sets $left, the seconds to the deadline.
left() {
    deadline=0
    { read -r deadline <"$switch/deadline"; } 2>/dev/null || :
    left=$((${deadline:-0} - $(date +%s)))
}

if_due() {
    take_turn
    change=none
    left
    if armed && { [ "$1" = now ] || [ "$left" -le 0 ]; }; then
        put_back
        change=made
    fi
}

# What fails is tried again: nobody else comes. (The service of systemd is started again by systemd.)
while [ "$1" = watch ] && armed; do
    left
    [ "$left" -le 0 ] || sleep "$left"
    set +e
    (
        set -e
        # A shell below this one begins without its traps.
        trap finish EXIT
        trap 'exit 129' HUP INT TERM
        if_due due
    )
    code=$?
    set -e
    [ "$code" -eq 0 ] || sleep 10
done
if_due "$1"
printf 'bldr-answer\nchange %s\nbldr-end\n' "$change"
