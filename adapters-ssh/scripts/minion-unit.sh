#!/bin/sh
# How is the minion stopped and started? Put in front of the scripts that do so; needs placing.sh.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself; but it ends a script that is hung up on with 129, by way of the EXIT trap.
#
# The mark "repointing" stands from before the minion is stopped until it has been started with its new configuration:
# whoever finds it knows that a script was killed in between, and starts the minion.
set -eu

# What a script leaves when it ends, however it does. `work` is its own folder, `stopped` stands from before it stops the
# minion until it has started it again: one that went wrong half way is better up than down.
work=
stopped=
finish() {
    [ -z "$stopped" ] || minion start 2>/dev/null || true
    [ -z "$work" ] || rm -rf -- "$work"
}
trap finish EXIT
trap 'exit 129' HUP INT TERM

# minion VERB: asks systemd. A machine without systemd, or without that unit, has nothing to stop or start.
minion() {
    command -v systemctl >/dev/null || return 0
    systemctl "$1" salt-minion.service >&2 9>&- || {
        code=$?
        # 5: there is no such unit.
        [ "$code" -eq 5 ] || {
            echo "bldr: systemctl $1 salt-minion failed (exit $code)" >&2
            return "$code"
        }
    }
}
