#!/bin/sh
# Makes the minion take orders from another master, until further notice: a watchdog puts everything back unless confirm.sh
# is run in time. May be killed anywhere and run again.
#
# Input:  ADDRESS SECONDS KEY SCRIPT BYTES; the seconds are the watchdog's patience, KEY is the text of the new master's public key,
#         SCRIPT that of what puts everything back. On standard input the new build vars, BYTES long, and a line break; none to leave
#         them alone.
# Output: bldr-answer / change made | change none / bldr-end
# Exit:   0; 65 the input came in short: nothing was changed. Else it was interrupted in between, and is completed by
#         running it again, or put back by the watchdog.
# Needs:  placing.sh fence.sh salt-settings.sh minion-unit.sh watchdog.sh minion-config.sh master-link.sh
# shellcheck disable=SC2034,SC2154 # some are set or read by what stands in front

address=$1
patience=$2
key=$3
revert=$4
vars=$(cat)
[ "${#vars}" -eq "$5" ] || cut_short
read_key <<KEY
$key
KEY
wanted_body=$body
locate

# What is there already. A text ends in a dot where it is to be the same to the last line break, which a shell takes off.
same_master() {
    [ -f "$config" ] || return 1
    wanted=$(repointed "$config" "$address" && echo .)
    [ "$wanted" = "$(cat -- "$config" && echo .)" ]
}
same_key() {
    [ -f "$trusted" ] || return 1
    read_key <"$trusted"
    [ "$body" = "$wanted_body" ]
}
same_vars() { [ -z "$vars" ] || [ "$vars." = "$(cat -- "$build_vars" 2>/dev/null && echo .)" ]; }
answer() {
    printf 'bldr-answer\nchange %s\nbldr-end\n' "$1"
}

take_turn
# That mark, still there, may be all that tells of a minion that was stopped and never started again.
if ! marked repointing && same_key && same_vars && same_master && connected_only "$address"; then
    ! armed || arm "$patience" "$revert"
    answer none
    exit 0
fi

arm "$patience" "$revert"
# Marked first: killed anywhere after this, the node says that its highstate is due.
marks repointing highstate-due
stopped=yes
minion stop

# As it is now that nothing writes to it any more. All are kept before any is replaced, and replaced together.
set --
same_vars || set -- "$@" "$build_vars"
wanted="master: $address
."
same_master || set -- "$@" "$config"
same_key || set -- "$@" "$trusted"
draft_backups "$@"
ensure_folder "${config%/*}" 0755
ensure_folder "${trusted%/*}" 0700
for file in "$@"; do
    case $file in
    "$build_vars")
        draft_for_all "$file"
        printf '%s' "$vars" >"$draft"
        ;;
    "$config")
        draft "$file"
        printf '%s' "${wanted%.}" >"$draft"
        ;;
    *)
        # Replaced in one step: a minion without a key trusts whoever answers first.
        draft "$file"
        printf '%s' "$key" >"$draft"
        ;;
    esac
done
settle_drafted "$@"

minion start
stopped=
unmark repointing
answer made
