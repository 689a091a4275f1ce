#!/bin/sh
# How is salt-call run, and what is told of it, then and meanwhile? Put in front of the scripts that run it.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
set -eu

# salt_answer FOLDER SECONDS ARGUMENT...: runs salt-call with these arguments, for so long; its output is left in
# FOLDER/out and FOLDER/err, its exit code in $code, and all of it is told. Meanwhile, what it logs of each state that begins.
salt_answer() {
    answer=$1
    limit=$2
    most=8388608
    shift 2
    code=0
    : >"$answer/err"
    # salt-call waits for ever for a master that does not answer, or that shows another key than the one it trusts.
    timeout --kill-after=20 "$limit" salt-call "$@" </dev/null >"$answer/out" 2>>"$answer/err" &
    call=$!
    # It writes to files, and goes on whatever becomes of who listens.
    tail -n +1 -s 0.05 --pid="$call" -f "$answer/err" 2>/dev/null | grep -a --line-buffered '^\[INFO *\] Executing state ' || :
    wait "$call" || code=$?
    {
        read -r size _
        read -r errors _
    } <<SIZES
$(wc -c "$answer/out" "$answer/err")
SIZES
    if [ "$size" -le "$most" ]; then
        printf 'bldr-answer\nexit %s\nstdout is ' "$code"
        base64 -w 0 <"$answer/out"
    else
        printf 'bldr-answer\nexit %s\ncut %s\nstdout is ' "$code" "$size"
        head -c "$most" <"$answer/out" | base64 -w 0
    fi
    if [ "$errors" -le 4096 ]; then
        errors=$(base64 -w 0 <"$answer/err")
    else
        errors=$(tail -c 4096 <"$answer/err" | base64 -w 0)
    fi
    printf '\nstderr is %s\nbldr-end\n' "$errors"
}
