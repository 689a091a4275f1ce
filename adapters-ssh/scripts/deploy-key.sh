#!/bin/sh
# The public half of the key that this machine shows to git hosts. Makes the pair where there is none.
#
# Input:  none.
# Output: bldr-answer / key is BASE64 / bldr-end
# Exit:   0; else it was interrupted in between, and is completed by running it again.
# Needs:  placing.sh fence.sh salt-settings.sh

key=/root/.ssh/id_rsa
ensure_folder /root/.ssh 0700
if [ ! -s "$key" ]; then
    rm -f -- "$key.pub" "$(beside "$key")" "$(beside "$key").pub"
    ssh-keygen -q -t rsa -b 4096 -N '' -C "root@$(hostname)" -f "$(beside "$key")" </dev/null >&2
    rm -f -- "$(beside "$key").pub"
    settle "$key"
fi
if [ ! -s "$key.pub" ]; then
    # The remark is in the private half, where that is in OpenSSH's own format.
    ssh-keygen -y -P '' -f "$key" </dev/null >"$(beside "$key.pub")"
    chmod 0644 -- "$(beside "$key.pub")"
    settle "$key.pub"
fi
echo bldr-answer
say key "$(head -n 1 -- "$key.pub")"
echo bldr-end
