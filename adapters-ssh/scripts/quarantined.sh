#!/bin/sh
# Which keys of minions were removed here, and can be put back?
#
# Input:  none.
# Output: bldr-answer / keys absent | keys is BASE64, lines of STATE ID BODY: what Salt made of them when they were removed / bldr-end
# Exit:   0; anything else where something is there and cannot be read.
# Needs:  salt-settings.sh held-keys.sh

keys=$(held_keys /var/lib/bldr/quarantine)
echo bldr-answer
say keys "$keys"
echo bldr-end
