#!/bin/sh
# How does one node come under another master by ssh? Three round trips: what it says of its master, the switch, the highstate.
#
#   remaster.sh HOME MASTER ADDRESS    HOME is the folder that bench_hosts has made; more options for ssh are in OPTIONS
set -eu
home=$1
master=$2
address=$3

on() {
    # shellcheck disable=SC2086 # words
    ssh -F /dev/null -i "$home/key" -o UserKnownHostsFile="$home/known_hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes -o LogLevel=ERROR \
        -o ConnectTimeout=60 ${OPTIONS:-} "ubuntu@$address" "$1" </dev/null
}

on 'sudo cat /etc/build-vars.json.b64 /etc/salt/minion /etc/salt/pki/minion/minion_master.pub' >"$home/said/$address"
on "sudo sh -c '$(cat "$(dirname "$0")/switch.sh")' switch $master $(cat "$home/build-vars/$address") '$(cat "$home/master.pub")'"
on 'sudo salt-call state.highstate --out=json --retcode-passthrough' >"$home/said/$address.highstate"
