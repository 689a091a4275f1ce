#!/bin/sh
# What does this node say of its master? Everything in one go, and nothing is changed.
#
# Input:  [ADDRESS], that of a master the node may be moved to.
# Output: bldr-answer / NAME absent | NAME is BASE64 | NAME says TEXT | NAME raw BYTES, a line each for build-vars, minion-config, trusted-key,
#         highstate-due, repointing, minion-id, minion-key, connected (an address a line), unconfirmed, and what an unconfirmed
#         switch would put back: kept-config, kept-key; with ADDRESS also version, and obstacles (a sentence a line) /
#         bldr-raw / what is raw, one after the other / bldr-end
# Exit:   0; anything else where something is there and cannot be read.
# Needs:  salt-settings.sh master-link.sh
# shellcheck disable=SC2154 # some are set by what stands in front

toward=${1:-}

# What would win over what bldr writes, or keep it from working, a sentence a line.
obstacles() {
    for file in /etc/salt/minion.d/*.conf; do
        [ -f "$file" ] || continue
        if grep -q '^master:' "$file" && [ "$(setting_in master "$file")" != "$toward" ]; then
            echo "$file sets 'master:' too, and wins over /etc/salt/minion; take that line out"
        fi
        if [ -n "$(setting_in master_finger "$file")" ]; then
            echo "$file pins a key with 'master_finger:'; take that line out, the key itself is placed"
        fi
    done
    [ "${kind:=str}" = str ] || echo "its configuration says 'master_type: $kind', and bldr moves minions with one plain master; take that line out"
    command -v ss >/dev/null || echo "there is no 'ss' on it, which tells whom the minion is connected to; install iproute2"
    for port in $(mute "$toward" 4505 4506); do
        echo "$toward does not answer it at port $port"
    done
}

{
    IFS= read -r pki || :
    IFS= read -r id || :
    IFS= read -r kind || :
} <<SETTINGS
$(salt_settings minion 'pki_dir id master_type')
SETTINGS
pki=$(pki_dir minion "$pki")
frames=bldr-answer
# tell NAME TEXT: one frame more.
tell() {
    framed "$1" "$2"
    frames="$frames
$frame"
}
# Files in minion.d are read after the main one, and win over it.
config=/etc/salt/minion
override=
for file in /etc/salt/minion.d/*.conf; do
    if [ -f "$file" ] && grep -q '^master:' "$file"; then override=$file; fi
done
if [ -n "$override" ] && [ -e "$config" ]; then
    text=$({
        cat "$config"
        echo
        cat "$override"
    } | base64 -w 0)
    frames="$frames
minion-config is $text"
    config=
elif [ -n "$override" ]; then
    config=$override
fi

# read_later NAME NUMBER FILE: what is in that file is sent at the end. It is held by that file descriptor from here on: who renames
# another one into its place does not change what is read.
names=
held=
read_later() {
    if [ -d "$3" ]; then
        echo "bldr: $3 is a folder" >&2
        exit 1
    elif { eval "command exec $2<\"\$3\""; } 2>/dev/null; then
        names="$names $1"
        held="$held /proc/self/fd/$2"
    elif [ -e "$3" ]; then
        echo "bldr: $3 cannot be read" >&2
        exit 1
    else
        tell "$1" ''
    fi
}
# there NAME FILE: only whether it is there.
there() {
    if [ -e "$2" ]; then tell "$1" yes; else tell "$1" ''; fi
}

read_later build-vars 3 /etc/build-vars.json.b64
[ -z "$config" ] || read_later minion-config 4 "$config"
read_later trusted-key 5 "$pki/minion_master.pub"
there highstate-due /var/lib/bldr/highstate-due
there repointing /var/lib/bldr/repointing
read_later minion-key 6 "$pki/minion.pub"
there unconfirmed /var/lib/bldr/switch/deadline
read_later kept-config 7 /var/lib/bldr/switch/minion
read_later kept-key 8 /var/lib/bldr/switch/minion_master.pub
tell minion-id "$(minion_id "$id")"
tell connected "$(peers 2>/dev/null || true)"
if [ -n "$toward" ]; then
    tell version "$(salt_version salt-minion)"
    tell obstacles "$(obstacles)"
fi

# All in one go: of each how long it is, and then the files themselves.
if [ -n "$held" ]; then
    # shellcheck disable=SC2086 # words
    sizes=$(wc -c $held)
    for name in $names; do
        read -r size _
        frames="$frames
$name raw $size"
    done <<SIZES
$sizes
SIZES
    printf '%s\nbldr-raw\n' "$frames"
    # shellcheck disable=SC2086 # words
    cat $held
    echo bldr-end
else
    printf '%s\nbldr-end\n' "$frames"
fi
