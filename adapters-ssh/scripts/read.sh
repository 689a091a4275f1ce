#!/bin/sh
# What does this node say of its master? Everything in one go, and nothing is changed.
#
# Input:  [ADDRESS], that of a master the node may be moved to.
# Output: bldr-answer / NAME absent | NAME is BASE64 | NAME says TEXT, a line each for build-vars, minion-config, trusted-key,
#         highstate-due, repointing, minion-id, minion-key, connected (an address a line), unconfirmed, and what an unconfirmed
#         switch would put back: kept-config, kept-key; with ADDRESS also version, and obstacles (a sentence a line) / bldr-end
# Exit:   0; anything else where something is there and cannot be read.
# Needs:  salt-settings.sh master-link.sh

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
echo bldr-answer
tell build-vars /etc/build-vars.json.b64
# Files in minion.d are read after the main one, and win over it.
override=
for file in /etc/salt/minion.d/*.conf; do
    if [ -f "$file" ] && grep -q '^master:' "$file"; then override=$file; fi
done
if [ -n "$override" ] && [ -e /etc/salt/minion ]; then
    text=$({
        cat /etc/salt/minion
        echo
        cat "$override"
    } | base64 -w 0)
    printf 'minion-config is %s\n' "$text"
else
    tell minion-config "${override:-/etc/salt/minion}"
fi
tell trusted-key "$pki/minion_master.pub"
tell highstate-due /var/lib/bldr/highstate-due
tell repointing /var/lib/bldr/repointing
say minion-id "$(minion_id "$id")"
tell minion-key "$pki/minion.pub"
say connected "$(peers 2>/dev/null || true)"
tell unconfirmed /var/lib/bldr/switch/deadline
tell kept-config /var/lib/bldr/switch/minion
tell kept-key /var/lib/bldr/switch/minion_master.pub
if [ -n "$toward" ]; then
    say version "$(salt_version salt-minion)"
    say obstacles "$(obstacles)"
fi
echo bldr-end
