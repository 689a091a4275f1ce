#!/bin/sh
# First process of a lab's own network, mount, uts and pid namespaces. Arguments: the lab's folder, the folder of this script.
#
# Standard input is the lab's life: a pipe whose other end the test process holds and nobody else. However that process
# ends, the kernel closes the pipe, this ends, and with it every process, mount and network device of the lab.
set -eu
dir=$1
here=$2
exec 3<&0 4>&1 >&2

mkdir "$dir/fs"
mount -t tmpfs -o mode=755 lab "$dir/fs"
"$here/image.sh" "$dir" "$here"

# A name for this network namespace that hosts can reach before they leave this mount namespace.
: >"$dir/fs/net"
mount --bind /proc/self/ns/net "$dir/fs/net"

# The machine's device nodes, bound and not made: that is allowed in containers too.
mkdir "$dir/fs/dev" "$dir/fs/dev/pts" "$dir/fs/dev/shm"
for node in null zero full random urandom tty; do
  : >"$dir/fs/dev/$node"
  mount --bind "/dev/$node" "$dir/fs/dev/$node"
done
ln -s pts/ptmx "$dir/fs/dev/ptmx"
ln -s /proc/self/fd "$dir/fs/dev/fd"
ln -s fd/0 "$dir/fs/dev/stdin"
ln -s fd/1 "$dir/fs/dev/stdout"
ln -s fd/2 "$dir/fs/dev/stderr"

# The default route makes every address that a host carries reachable, the public ones included. The hardware address is what
# hosts take it for: otherwise it would change with the ports of the bridge.
ip -batch - <<'IP'
link set lo up
link add br0 address 02:4d:0a:4d:00:01 type bridge
addr add 10.77.0.1/16 dev br0
link set br0 up
route add default dev br0
IP
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects
echo 0 >/proc/sys/net/ipv4/conf/br0/send_redirects

# `wait` also reaps whatever lost its parent, which reading the pipe here would not.
cat <&3 >/dev/null 4>&- &
life=$!
echo up >&4
exec 3<&- 4>&-
while kill -0 "$life" 2>/dev/null; do wait "$life" || true; done

kill -9 -1 2>/dev/null || true
# Control groups belong to no namespace and outlive their processes. Nothing tells when the last of those is gone.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
  groups=$hierarchy/$(basename "$dir")
  tries=0
  while [ -d "$groups" ] && [ $tries -lt 500 ]; do
    find "$groups" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    tries=$((tries + 1))
    sleep 0.01
  done
done
umount -l "$dir/fs"
rm -rf "$dir"
