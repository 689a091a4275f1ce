#!/bin/sh
# Puts keys of minions back that were removed: each is again what it was to Salt, accepted or not.
#
# Input:  BYTES; lines of ID SHA256 on standard input, the checksum that of the key's body.
# Output: bldr-answer / restored absent | restored is BASE64, the ids of those that were there, one a line / bldr-end
# Exit:   0; 65 the input came in short, 67 another key is held under one of the ids by now, said on standard error: nothing was
#         changed.
# Needs:  placing.sh fence.sh salt-settings.sh held-keys.sh
# shellcheck disable=SC2154 # some are set by what stands in front

pki=$(pki_dir master)
quarantine=$state/quarantine
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/keys" "$1"
: >"$work/found"
while read -r id sum; do
    plain_id "$id" || continue
    for folder in $folders; do
        kept=$quarantine/$folder/$id
        if [ ! -f "$kept" ] || [ "$(sum_of "$kept")" != "$sum" ]; then continue; fi
        for other in $folders; do
            held=$pki/$other/$id
            [ -f "$held" ] || continue
            if [ "$other" = "$folder" ] && [ "$(sum_of "$held")" = "$sum" ]; then continue; fi
            echo "bldr: it holds a key under the id '$id' by now ($held)" >&2
            exit 67
        done
        printf '%s %s\n' "$folder" "$id" >>"$work/found"
    done
done <"$work/keys"
twice=$(cut -d ' ' -f 2 <"$work/found" | sort | uniq -d | head -n 1)
[ -z "$twice" ] || {
    echo "bldr: of '$twice' several keys were removed ($quarantine); put the right one back by hand" >&2
    exit 67
}
while read -r folder id; do
    hold_key "$quarantine/$folder/$id" "$pki/$folder/$id"
    rm -f -- "$quarantine/$folder/$id"
done <"$work/found"
sync -- "$state"
echo bldr-answer
say restored "$(cut -d ' ' -f 2 <"$work/found" | sort -u)"
echo bldr-end
