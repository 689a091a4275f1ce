#!/bin/sh
# Lets a minion in, by its id and its key.
#
# Input:  ID BYTES; the minion's public key on standard input, BYTES long.
# Output: bldr-answer / change made | change none / bldr-end
# Exit:   0; 64 the id is no file name; 65 the key came in short; 67 another key is held under that id, or this one was rejected, said on standard
#         error. Nothing was changed then.
# Needs:  placing.sh fence.sh salt-settings.sh held-keys.sh
# shellcheck disable=SC2154 # some are set by what stands in front

id=$1
plain_id "$id" || {
    echo "bldr: '$id' is no minion id" >&2
    exit 64
}
pki=$(pki_dir master)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/key" "$2"
wanted=$(key_body "$work/key")

for folder in $folders; do
    if [ -f "$pki/$folder/$id" ] && [ "$(key_body "$pki/$folder/$id")" != "$wanted" ]; then
        echo "bldr: it holds another key under the id '$id' ($pki/$folder/$id)" >&2
        exit 67
    fi
done
if [ -f "$pki/minions_rejected/$id" ]; then
    echo "bldr: it has rejected the key of '$id'; \`salt-key -d $id\` on it forgets that" >&2
    exit 67
fi
change=none
if [ ! -f "$pki/minions/$id" ]; then
    change=made
    hold_key "$work/key" "$pki/minions/$id"
fi
rm -f -- "$pki/minions_pre/$id" "$pki/minions_denied/$id"
printf 'bldr-answer\nchange %s\nbldr-end\n' "$change"
