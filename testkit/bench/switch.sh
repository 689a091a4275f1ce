#!/bin/sh
# What moves a minion, typed by somebody who knows what to do? Sent as one command by those that bldr is measured beside; no apostrophe.
#
#   switch.sh ADDRESS VARS KEY    the new master, the new build vars, and the public key of that master
set -eu
printf %s "$2" >/etc/build-vars.json.b64
systemctl stop salt-minion
sed -i "s/^master:.*/master: $1/" /etc/salt/minion
printf "%s\n" "$3" >/etc/salt/pki/minion/minion_master.pub
systemctl start salt-minion
tries=0
until ss -Htn state established "( dport = :4505 )" | grep -qF " $1:4505"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "it is not connected to $1" >&2; exit 1; }
    sleep 0.2
done
