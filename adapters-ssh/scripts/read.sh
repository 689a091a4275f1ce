#!/bin/sh
# What does this node say of its master? Everything in one go.
#
# Input:  none.
# Output: bldr-answer / NAME absent | NAME is BASE64, a line each for build-vars, minion-config, trusted-key,
#         highstate-due and repointing / bldr-end
# Exit:   0; anything else where something is there and cannot be read.
# Needs:  salt-settings.sh

tell() {
    if [ -e "$2" ]; then
        text=$(base64 -w 0 <"$2")
        printf '%s is %s\n' "$1" "$text"
    else
        printf '%s absent\n' "$1"
    fi
}

pki=$(pki_dir minion)
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
echo bldr-end
