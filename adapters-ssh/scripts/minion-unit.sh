#!/bin/sh
# How is the minion stopped and started? Put in front of the scripts that do so; needs placing.sh.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
#
# The mark "repointing" stands from before the minion is stopped until it has been started with its new configuration:
# whoever finds it knows that a script was killed in between, and starts the minion.
set -eu

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
