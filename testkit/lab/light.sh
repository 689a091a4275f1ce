# shellcheck shell=sh disable=SC2154 # part of host.sh, and its names
# A light host: this machine's /usr, and stand-ins for systemctl and Salt.

mount_disk() {
  mkdir -p "$disk/usr-upper" "$disk/usr-work"
  # Nothing of a former start runs any more.
  rm -rf "$disk/upper/run"
  mount -t overlay -o "lowerdir=$dir/fs/image,upperdir=$disk/upper,workdir=$disk/work" overlay "$root"
  mount -t overlay -o "lowerdir=$dir/fs/usr:/usr,upperdir=$disk/usr-upper,workdir=$disk/usr-work" overlay "$root/usr"
  mount --rbind "$dir/fs/dev" "$root/dev"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
  mount -t proc proc "$root/proc"
  # The kernel counts the load of the whole machine, which is that of all hosts.
  [ -e "$disk/loadavg" ] || echo '0.00 0.00 0.00 1/10 100' >"$disk/loadavg"
  mount --bind "$disk/loadavg" "$root/proc/loadavg"
  mount -t sysfs -o ro sysfs "$root/sys"
}

boot() {
  cd "$root" || exit
  pivot_root . old
  umount -l /old
  mkdir -p /run/sshd /run/lock
  # What cloud-init.service does on a booted host.
  [ ! -e /var/lib/cloud/instance ] || env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin cloud-init run 3>&- || true
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
}
