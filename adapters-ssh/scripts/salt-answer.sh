#!/bin/sh
# How is salt-call run, and what is told of it? Put in front of the scripts that run it.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
set -eu

# salt_answer FOLDER SECONDS ARGUMENT...: runs salt-call with these arguments, for so long; its output is left in
# FOLDER/out and FOLDER/err, its exit code in $code, and all of it is told.
salt_answer() {
    answer=$1
    limit=$2
    most=8388608
    shift 2
    code=0
    # salt-call waits for ever for a master that does not answer, or that shows another key than the one it trusts.
    timeout --kill-after=20 "$limit" salt-call "$@" </dev/null >"$answer/out" 2>"$answer/err" || code=$?
    echo bldr-answer
    printf 'exit %s\n' "$code"
    size=$(wc -c <"$answer/out")
    [ "$size" -le "$most" ] || printf 'cut %s\n' "$size"
    printf 'stdout is %s\n' "$(head -c "$most" <"$answer/out" | base64 -w 0)"
    printf 'stderr is %s\n' "$(tail -c 4096 <"$answer/err" | base64 -w 0)"
    echo bldr-end
}
