#!/bin/sh
# Runs the highstate.
#
# Input:  apply|test SECONDS
# Output: bldr-answer / exit CODE / cut BYTES, where more was printed than is sent / stdout is BASE64 /
#         stderr is BASE64 (its end) / bldr-end
# Exit:   0 whatever salt-call ended with. The mark "highstate due" is gone if the highstate was applied, at least one
#         state ran and none failed; or if salt-call ended well and printed something that is no JSON.
# Needs:  salt-settings.sh placing.sh minion-unit.sh

mode=$1
seconds=$2
most=8388608
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# A re-pointing that was killed before it started the minion again.
if marked repointing; then
    minion restart
    unmark repointing
fi

set -- --out=json --retcode-passthrough state.highstate
[ "$mode" != test ] || set -- "$@" test=True
code=0
# salt-call waits for ever for a master that does not answer, or that shows another key than the one it trusts.
timeout --kill-after=20 "$seconds" salt-call "$@" </dev/null >"$work/out" 2>"$work/err" || code=$?

says() { grep -Eq "$1" "$work/out"; }
if [ "$mode" = apply ] && [ "$code" -eq 0 ] && ! says '"result":[[:space:]]*false' &&
    { says '"result":[[:space:]]*(true|null)' || { says '[^[:space:]]' && ! says '^[[:space:]]*[{]'; }; }; then
    unmark highstate-due
fi

echo bldr-answer
printf 'exit %s\n' "$code"
size=$(wc -c <"$work/out")
[ "$size" -le "$most" ] || printf 'cut %s\n' "$size"
printf 'stdout is %s\n' "$(head -c "$most" <"$work/out" | base64 -w 0)"
printf 'stderr is %s\n' "$(tail -c 4096 <"$work/err" | base64 -w 0)"
echo bldr-end
