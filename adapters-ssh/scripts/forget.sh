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
# One at a time: what is kept is made ready in one place.
exec 8>"$quarantine/.turn"
flock 8

# The bodies of all keys under these ids, each in a file, and then their checksums: one process for all, and not some for each.
# Salt takes what it is told for a pattern: what is no plain id is left alone.
for folder in $folders; do
    mkdir -p "$work/bodies/$folder"
done
awk -v pki="$pki" -v work="$work" -v folders="$folders" '
    BEGIN { count = split(folders, folder, " ") }
    $1 !~ /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/ || seen[$1]++ { next }
    {
        for (i = 1; i <= count; i++) {
            file = pki "/" folder[i] "/" $1
            if ((more = (getline line <file)) < 0) continue
            body = ""
            for (; more > 0; more = (getline line <file)) if (line !~ /^-----/) { gsub(/[ \t\r]/, "", line); body = body line }
            close(file)
            copy = work "/bodies/" folder[i] "/" $1
            printf "%s", body >copy
            close(copy)
        }
    }' "$work/keys"
(cd "$work/bodies" && find . -type f -exec sha256sum -- {} +) >"$work/sums"
# Salt removes by id: where another key is held under it too, none is touched.
awk '
    NR == FNR { wanted[$0]; next }
    {
        split($2, part, "/")
        if ((part[3] " " $1) in wanted) found[part[3]] = found[part[3]] part[2] " "; else foreign[part[3]]
    }
    END {
        for (id in found) if (!(id in foreign)) {
            count = split(found[id], folders, " ")
            for (i = 1; i <= count; i++) print folders[i], id
        }
    }' "$work/keys" "$work/sums" | sort >"$work/found"

# below FOLDER PLACE: where those of the keys that are in FOLDER would be in PLACE.
below() { awk -v folder="$1" -v place="$2" '$1 == folder { print place "/" $2 }' "$work/found"; }

for folder in $(cut -d ' ' -f 1 <"$work/found" | uniq); do
    new=$quarantine/$folder/.new
    ensure_folder "$quarantine/$folder" 0700
    rm -rf -- "$new"
    mkdir -m 0700 -- "$new"
    below "$folder" "$quarantine/$folder" >"$work/kept"
    # What was removed before stays, for root to look at.
    while IFS= read -r kept; do
        id=${kept##*/}
        if [ -f "$kept" ] && ! cmp -s -- "$kept" "$pki/$folder/$id"; then
            mv -f -- "$kept" "$quarantine/$folder/.$id.$(date -u +%Y%m%dT%H%M%S.%N)"
        fi
    done <"$work/kept"
    below "$folder" "$pki/$folder" | xargs -d '\n' cp -t "$new" --
    below "$folder" "$new" | xargs -d '\n' sync -- "$new"
    below "$folder" "$new" | xargs -d '\n' mv -f -t "$quarantine/$folder" --
    rmdir -- "$new"
    sync -- "$quarantine/$folder"
done

cut -d ' ' -f 2 <"$work/found" | sort -u >"$work/ids"
# An argument may have 128 KiB, and a name 255 bytes.
xargs -r -n 400 <"$work/ids" | tr ' ' ',' >"$work/batches"
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
done <"$work/ids"
echo bldr-answer
say removed "$(cat -- "$work/removed")"
echo bldr-end
