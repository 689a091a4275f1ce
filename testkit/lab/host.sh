#!/bin/sh
# First process of a light host's own network, mount, uts and pid namespaces.
# Arguments: the lab's folder, the host's name, its port on the bridge, its private address, its public address or nothing.
# Writes `ready` to standard output as soon as sshd listens; everything else goes to the host's log.
set -eu
dir=$1
name=$2
port=$3
private=$4
public=$5
disk=$dir/fs/hosts/$name
root=$disk/root
exec 3>&1 >"$dir/hosts/$name/log" 2>&1 </dev/null

hostname "$name"
ip -batch - <<IP
link set lo up
link add eth0 type veth peer name $port netns $dir/fs/net
addr add $private/16 dev eth0
link set eth0 up
route add default via 10.77.0.1
${public:+addr add $public/32 dev eth0}
IP
nsenter --net="$dir/fs/net" ip link set "$port" master br0 up

mkdir -p "$disk/upper" "$disk/work" "$disk/usr-upper" "$disk/usr-work" "$root"
mount -t overlay -o "lowerdir=$dir/fs/image,upperdir=$disk/upper,workdir=$disk/work" overlay "$root"
mount -t overlay -o "lowerdir=$dir/fs/usr:/usr,upperdir=$disk/usr-upper,workdir=$disk/usr-work" overlay "$root/usr"
mount --rbind "$dir/fs/dev" "$root/dev"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
# Unpacked by tar, which leaves the modes of folders that are there already alone.
[ ! -d "$dir/hosts/$name/files" ] || tar -C "$dir/hosts/$name/files" -c --owner=0 --group=0 . | tar -C "$root" -x --no-overwrite-dir
cd "$root"
pivot_root . old
umount -l /old

mkdir -p /run/sshd /run/lock
echo "$name" >/etc/hostname
printf '127.0.0.1 localhost\n%s %s\n' "$private" "$name" >/etc/hosts
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f /etc/ssh/ssh_host_ed25519_key
for daemon in minion master; do
  [ ! -e "/etc/salt/$daemon" ] || LAB_BOOT=1 systemctl start "salt-$daemon"
done

# sshd tells by its log when it listens. Opened for both, a fifo never ends: it outlives an sshd that is restarted.
mkfifo -m 600 /run/sshd.log
exec 4<>/run/sshd.log
while IFS= read -r line <&4; do
  printf '%s\n' "$line" >>/var/log/auth.log
  case $line in "Server listening on "*)
    echo ready >&3
    exec 3>&-
    ;;
  esac
done 2>/dev/null &
exec 3>&- 4>&-
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /usr/sbin/sshd -D -E /run/sshd.log &
# Reaps whatever lost its parent, until the last of the two above is gone.
wait
