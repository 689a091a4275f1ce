#!/bin/sh
# Removes keys of minions, all in one go: Salt makes all minions take new session keys each time it is told to forget one.
#
# Input:  BYTES; lines of ID SHA256 on standard input, the checksum that of the key's body.
# Output: bldr-answer / removed absent | removed is BASE64, the ids that were removed, one a line / bldr-end
# Exit:   0; 65 the input came in short: nothing was changed. What is removed is kept first, in /var/lib/bldr/quarantine, in folders
#         of the names that Salt's have.
# Needs:  placing.sh fence.sh salt-settings.sh held-keys.sh
# shellcheck disable=SC2154 # some are set by what stands in front

pki=$(pki_dir master)
quarantine=$state/quarantine
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/keys" "$1"
: >"$work/removed"
ensure_folder "$state" 0755
ensure_folder "$quarantine" 0700

: >"$work/found"
cut -d ' ' -f 1 <"$work/keys" | sort -u >"$work/ids"
while read -r id; do
    # Salt takes what it is told for a pattern.
    plain_id "$id" || continue
    found=
    foreign=
    for folder in $folders; do
        [ -f "$pki/$folder/$id" ] || continue
        if grep -qxF -- "$id $(sum_of "$pki/$folder/$id")" "$work/keys"; then
            found="$found $folder"
        else
            foreign=yes
        fi
    done
    # Salt removes by id: where another key is held under it too, none is touched.
    if [ -z "$found" ] || [ -n "$foreign" ]; then continue; fi
    for folder in $found; do
        kept=$quarantine/$folder/$id
        ensure_folder "$quarantine/$folder" 0700
        # What was removed before stays, for root to look at.
        if [ -f "$kept" ] && ! cmp -s -- "$kept" "$pki/$folder/$id"; then
            mv -f -- "$kept" "$quarantine/$folder/.$id.$(date -u +%Y%m%dT%H%M%S.%N)"
        fi
        cp -- "$pki/$folder/$id" "$(beside "$kept")"
        settle "$kept"
    done
    printf '%s\n' "$id" >>"$work/found"
done <"$work/ids"
# An argument may have 128 KiB, and a name 255 bytes.
xargs -r -n 400 <"$work/found" | tr ' ' ',' >"$work/batches"
while read -r ids; do
    timeout 120 salt-key --yes --delete="$ids" </dev/null >"$work/out" 2>&1 || {
        echo "bldr: salt-key could not remove them: $(tail -n 1 "$work/out")" >&2
        exit 1
    }
done <"$work/batches"
# salt-key ends with 0 also where it could not.
while read -r id; do
    set -- "$pki"/minions*/"$id"
    [ ! -e "$1" ] || continue
    printf '%s\n' "$id" >>"$work/removed"
done <"$work/found"
echo bldr-answer
say removed "$(cat -- "$work/removed")"
echo bldr-end
