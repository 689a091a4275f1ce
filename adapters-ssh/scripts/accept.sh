#!/bin/sh
# Lets minions in, each by its id and its key. Many in one go: what they have in common is done once.
#
# Input:  BYTES; on standard input, BYTES long, of each minion a line with its id, one with a number, and so many lines of its public key.
# Output: bldr-answer / N made | N none | N taken WHY | N strange WHY, a line each, N the place in the list, from 1 on / bldr-end
#         taken: another key is held under that id, or this one was rejected; strange: the id is no file name. Nothing was changed for
#         those two.
# Exit:   0; 65 the input came in short: nothing was changed.
# Needs:  placing.sh fence.sh salt-settings.sh held-keys.sh
# shellcheck disable=SC2154 # some are set by what stands in front

pki=$(pki_dir master)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/minions" "$1"

# object: sets $said to what there is to say of the minion that was read; nothing where it may come in.
object() {
    said=
    plain_id "$id" || {
        said="strange '$id' is no minion id"
        return 0
    }
    for folder in $folders; do
        if [ -f "$pki/$folder/$id" ] && [ "$(key_body "$pki/$folder/$id")" != "$wanted" ]; then
            said="taken it holds another key under the id '$id' ($pki/$folder/$id)"
            return 0
        fi
    done
    [ ! -f "$pki/minions_rejected/$id" ] || said="taken it has rejected the key of '$id'; \`salt-key -d $id\` on it forgets that"
}

# The files that come, and those that go.
set --
gone=
answers=
place=0
while IFS= read -r id && IFS= read -r lines; do
    place=$((place + 1))
    key=
    while [ "$lines" -gt 0 ]; do
        IFS= read -r line
        key="$key$line
"
        lines=$((lines - 1))
    done
    read_key <<KEY
$key
KEY
    wanted=$body
    object
    # Who comes twice at once is known by then.
    case "
$gone" in *"
$id
"*) said="taken it lets another minion in under the id '$id' at this moment" ;; esac
    if [ -z "$said" ]; then
        said=none
        gone="$gone$id
"
        if [ ! -f "$pki/minions/$id" ]; then
            said=made
            ensure_folder "$pki/minions" 0700
            draft_for_all "$pki/minions/$id"
            printf '%s' "$key" >"$draft"
            set -- "$@" "$pki/minions/$id"
        fi
    fi
    answers="$answers$place $said
"
done <"$work/minions"

if [ $# -gt 0 ]; then
    hand_over "$pki/minions" "$@"
    settle "$@"
fi
# They do not wait any more. An id that may come in is a plain name.
set --
for id in $gone; do
    for folder in minions_pre minions_denied; do
        [ ! -e "$pki/$folder/$id" ] || set -- "$@" "$pki/$folder/$id"
    done
done
[ $# -eq 0 ] || rm -f -- "$@"
printf 'bldr-answer\n%sbldr-end\n' "$answers"
