#!/bin/sh
# Which public key does the salt-master here show its minions?
#
# Input:  none.
# Output: bldr-answer / public-key absent | public-key is BASE64 / bldr-end
# Exit:   0; anything else where it is there and cannot be read.
# Needs:  salt-settings.sh

file=$(pki_dir master)/master.pub
echo bldr-answer
if [ -e "$file" ]; then
    text=$(base64 -w 0 <"$file")
    printf 'public-key is %s\n' "$text"
else
    echo 'public-key absent'
fi
echo bldr-end
