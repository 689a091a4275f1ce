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
tell minion-config /etc/salt/minion
tell trusted-key "$pki/minion_master.pub"
tell highstate-due /var/lib/bldr/highstate-due
tell repointing /var/lib/bldr/repointing
echo bldr-end
