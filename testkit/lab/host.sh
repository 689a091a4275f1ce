#!/bin/sh
# First process of a host's own network, mount, uts and pid namespaces; light.sh and booted.sh have what is different.
# Arguments: the lab's folder, the host's name, its kind, its port on the bridge, its private address, its public address
# or nothing, the tree that booted hosts start from.
#
# Writes `ready` to standard output each time that sshd listens after a start; everything else goes to the host's log.
# Started again after its end, the host has the disk that it had.
set -eu
dir=$1
name=$2
kind=$3
port=$4
private=$5
public=$6
# shellcheck disable=SC2034 # for booted.sh
tree=$7
disk=$dir/fs/hosts/$name
root=$disk/root
exec 3>&1 >>"$dir/hosts/$name/log" 2>&1 </dev/null

# The hardware address is the host's for life, as EC2 has it: who knows it need not ask again after a new start.
mac=$(echo "$private" | { IFS=. read -r _ _ c d && printf '02:4d:0a:4d:%02x:%02x' "$c" "$d"; })
hostname "$name"
# So is the hub's (hub.sh), which nobody asks for either: the kernel keeps a thousand answers for all hosts together.
ip -batch - <<IP
link set lo up
link add eth0 address $mac type veth peer name $port netns $dir/fs/net
addr add $private/16 dev eth0
link set eth0 up
neigh replace 10.77.0.1 lladdr 02:4d:0a:4d:00:01 nud permanent dev eth0
route add default via 10.77.0.1
${public:+addr add $public/32 dev eth0}
IP
nsenter --net="$dir/fs/net" ip link set "$port" master br0 up
# A public address may have been another host's before.
[ -z "$public" ] || nsenter --net="$dir/fs/net" ip neigh flush dev br0 to "$public"

# shellcheck source=testkit/lab/light.sh
. "$(dirname "$0")/$kind.sh"
mkdir -p "$disk/upper" "$disk/work" "$root"
mount_disk
if [ ! -e "$disk/made" ]; then
  while IFS= read -r path; do rm -rf "$root/${path:?}"; done <"$dir/hosts/$name/without"
  # Unpacked by tar, which leaves the modes of folders that are there already alone.
  [ ! -d "$dir/hosts/$name/files" ] || tar -C "$dir/hosts/$name/files" -c --owner=0 --group=0 . | tar -C "$root" -x --no-overwrite-dir
  echo "$name" >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n%s %s\n' "$private" "$name" >"$root/etc/hosts"
  # Beside the key that it may have been given.
  cat "$dir/key.pub" >>"$root/home/ubuntu/.ssh/authorized_keys"
  chown 1000:1000 "$root/home/ubuntu/.ssh/authorized_keys"
  chmod 600 "$root/home/ubuntu/.ssh/authorized_keys"
  [ -e "$root/etc/ssh/ssh_host_ed25519_key" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$root/etc/ssh/ssh_host_ed25519_key"
  : >"$disk/made"
fi
boot
