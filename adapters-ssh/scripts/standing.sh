#!/bin/sh
# What does the salt-master here say of itself? Its key, its version, whether it answers, and whose keys it holds.
#
# Input:  none.
# Output: bldr-answer / NAME absent | NAME is BASE64, a line each for public-key, version, silent (why it does not answer)
#         and keys (lines of STATE ID BODY, where STATE is accepted, pending, rejected or denied) / bldr-end
# Exit:   0; anything else where something is there and cannot be read.
# Needs:  salt-settings.sh master-link.sh held-keys.sh

pki=$(pki_dir master)

# Where it can be asked from here: it may listen on one address only.
own_address() {
    interface=$(salt_setting master interface 0.0.0.0)
    case $interface in
    0.0.0.0 | ::) echo 127.0.0.1 ;;
    *) printf '%s\n' "$interface" ;;
    esac
}

silent() {
    at=$(own_address)
    [ -n "$(mute "$at" 4505 4506)" ] || return 0
    if ! command -v systemctl >/dev/null || systemctl is-active --quiet salt-master.service; then
        echo "its salt-master does not answer at ports 4505 and 4506 of $at"
    else
        echo "its salt-master does not run (\`systemctl start salt-master\` there starts it)"
    fi
}

keys=$(held_keys "$pki")
echo bldr-answer
if [ -e "$pki/master.pub" ]; then
    text=$(base64 -w 0 <"$pki/master.pub")
    printf 'public-key is %s\n' "$text"
else
    echo 'public-key absent'
fi
say version "$(salt_version salt-master)"
say silent "$(silent)"
say keys "$keys"
echo bldr-end
