#!/bin/sh
# What would the highstate do under another master? Asked from a configuration of its own: the minion here, its keys and its
# cache stay as they are.
#
# Input:  ADDRESS SECONDS BYTES; that master's public key on standard input, BYTES long. The master must have accepted the
#         minion's key.
# Output: as highstate.sh.
# Exit:   0 whatever salt-call ended with.
# Needs:  salt-settings.sh placing.sh salt-answer.sh

address=$1
seconds=$2
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/key" "$3"

folder=$work/salt
mkdir -p "$folder/minion.d" "$folder/pki" "$folder/cache" "$folder/run"
# Whatever else is set there decides what the states look like.
[ ! -f /etc/salt/minion ] || grep -v '^master_finger:' /etc/salt/minion >"$folder/minion" || true
for file in /etc/salt/minion.d/*.conf; do
    [ ! -f "$file" ] || cp -- "$file" "$folder/minion.d/"
done
[ ! -f /etc/salt/grains ] || cp -- /etc/salt/grains "$folder/grains"
cp -- "$(pki_dir minion)"/minion.pem "$(pki_dir minion)"/minion.pub "$folder/pki/"
cp -- "$work/key" "$folder/pki/minion_master.pub"
# The last file wins.
cat >"$folder/minion.d/zzz-bldr.conf" <<CONF
master: $address
master_type: str
id: $(minion_id)
pki_dir: $folder/pki
cachedir: $folder/cache
sock_dir: $folder/run
pidfile: $folder/run/pid
log_file: $folder/log
master_tries: 1
auth_tries: 1
auth_timeout: 5
CONF
salt_answer "$work" "$seconds" -c "$folder" --out=json --retcode-passthrough state.highstate test=True
