#!/bin/sh
# Makes the minion take orders from another master, until further notice: a watchdog puts everything back unless confirm.sh
# is run in time. May be killed anywhere and run again.
#
# Input:  ADDRESS SECONDS KEY VARS SCRIPT; the seconds are the watchdog's patience. On standard input, one after the other
#         and as many bytes long: the new master's public key; the new build vars, 0 bytes to leave them alone; the script
#         that puts everything back.
# Output: bldr-answer / change made | change none / bldr-end
# Exit:   0; 65 the input came in short: nothing was changed. Else it was interrupted in between, and is completed by
#         running it again, or put back by the watchdog.
# Needs:  placing.sh fence.sh salt-settings.sh minion-unit.sh watchdog.sh minion-config.sh master-link.sh
# shellcheck disable=SC2034,SC2154 # some are set or read by what stands in front

address=$1
patience=$2
config=$(minion_config)
trusted=$(trusted_key)
work=$(mktemp -d)
take_input "$work/input" $(($3 + $4 + $5))
head -c "$3" <"$work/input" >"$work/key"
tail -c +$(($3 + 1)) <"$work/input" | head -c "$4" >"$work/vars"
tail -c +$(($3 + $4 + 1)) <"$work/input" >"$work/revert.sh"

same_master() { [ -f "$config" ] && repointed "$config" "$address" | cmp -s - "$config"; }
same_key() { [ -f "$trusted" ] && [ "$(key_body "$trusted")" = "$(key_body "$work/key")" ]; }
same_vars() { [ ! -s "$work/vars" ] || cmp -s "$work/vars" "$build_vars"; }
answer() {
    printf 'bldr-answer\nchange %s\nbldr-end\n' "$1"
}

take_turn
# That mark, still there, may be all that tells of a minion that was stopped and never started again.
if same_master && same_key && same_vars && ! marked repointing && connected_only "$address"; then
    ! armed || arm "$patience" "$work/revert.sh"
    answer none
    exit 0
fi

arm "$patience" "$work/revert.sh"
mark repointing "$address"
# Marked first: killed anywhere after this, the node says that its highstate is due.
mark highstate-due "$address"
stopped=yes
minion stop
same_master || keep_backup "$config"
same_key || keep_backup "$trusted"

if ! same_vars; then
    keep_backup "$build_vars"
    place "$build_vars" <"$work/vars"
    chmod 0644 -- "$build_vars"
    chown root:root -- "$build_vars"
fi
ensure_folder "$(dirname -- "$config")" 0755
if [ ! -f "$config" ]; then
    printf 'master: %s\n' "$address" | place "$config"
elif ! same_master; then
    repointed "$config" "$address" >"$work/config"
    place "$config" <"$work/config"
fi
ensure_folder "$(dirname -- "$trusted")" 0700
# Replaced in one step: a minion without a key trusts whoever answers first.
same_key || place "$trusted" <"$work/key"

minion start
stopped=
unmark repointing
answer made
