#!/bin/sh
# The minion's public key. Makes the pair where there is none, as Salt would.
#
# Input:  none.
# Output: bldr-answer / key is BASE64 / bldr-end
# Exit:   0; else it was interrupted in between, and is completed by running it again.
# Needs:  placing.sh fence.sh salt-settings.sh

ensure_folder /etc/salt 0755
pki=$(pki_dir minion)
ensure_folder "$pki" 0700
pem=$pki/minion.pem
pub=$pki/minion.pub
if [ ! -s "$pem" ]; then
    # A public half without its private one is nobody's.
    rm -f -- "$pub" "$(beside "$pem")" "$(beside "$pem").pub"
    ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -C '' -f "$(beside "$pem")" </dev/null >&2
    rm -f -- "$(beside "$pem").pub"
    chmod 0400 -- "$(beside "$pem")"
    settle "$pem"
fi
if [ ! -s "$pub" ]; then
    ssh-keygen -e -m PKCS8 -f "$pem" </dev/null >"$(beside "$pub")"
    chmod 0644 -- "$(beside "$pub")"
    settle "$pub"
fi
echo bldr-answer
say key "$(cat -- "$pub")"
echo bldr-end
