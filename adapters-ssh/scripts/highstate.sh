#!/bin/sh
# Runs the highstate.
#
# Input:  apply|test SECONDS
# Output: what salt-call logs of each state that begins, then bldr-answer / exit CODE / cut BYTES, where more was printed than is sent / stdout is BASE64 /
#         stderr is BASE64 (its end) / bldr-end
# Exit:   68 as fence.sh says; else 0 whatever salt-call ended with. The mark "highstate due" is gone if the highstate was applied, at least one
#         state ran and none failed; or if salt-call ended well and printed something that is no JSON.
# Needs:  placing.sh fence.sh salt-settings.sh minion-unit.sh salt-answer.sh
# shellcheck disable=SC2154 # some are set by what stands in front

mode=$1
seconds=$2
work=$(mktemp -d)

# A re-pointing that was killed before it started the minion again.
if marked repointing; then
    minion restart
    unmark repointing
fi

set -- --out=json --log-level=info --retcode-passthrough state.highstate
[ "$mode" != test ] || set -- "$@" test=True
salt_answer "$work" "$seconds" "$@"

# What is judged: states that went well, or text that is no JSON; and no state that failed. What a state changed may say anything, and
# Salt indents that further than the state's own result. What is too long to be sent is judged by nobody.
went_well() {
    awk '
        /"result":[ \t]*(true|null)/ { well = 1 }
        /[^ \t]/ { said = 1 }
        /^[ \t]*[{]/ { json = 1 }
        /"result":[ \t]*false/ && substr($0, 1, 16) !~ /^ +$/ { failed = 1 }
        END { exit failed || !(well || (said && !json)) }' "$work/out"
}
if [ "$mode" = apply ] && [ "$code" -eq 0 ] && [ "$size" -le "$most" ] && went_well; then
    # Whoever has pointed it elsewhere since has left a mark of their own.
    fence 'the highstate has run, and is due still'
    unmark highstate-due
fi
