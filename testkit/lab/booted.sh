# shellcheck shell=sh disable=SC2154 # part of host.sh, and its names
# A booted host: a whole Debian with systemd as its first process, in a machine of systemd-nspawn.

mount_disk() {
  mount -t overlay -o "lowerdir=$tree/root,upperdir=$disk/upper,workdir=$disk/work" overlay "$root"
  [ -e "$disk/made" ] || tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
}

# Runs a command in a control group of its own. Two systemds in one would end each other's services.
in_own_cgroup() {
  # shellcheck disable=SC2016 # for the inner shell
  sh -ec '
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
      [ -e "$hierarchy/cgroup.procs" ] || continue
      mkdir -p "$hierarchy/$1"
      echo $$ >"$hierarchy/$1/cgroup.procs"
    done
    shift
    exec "$@"' cgroup "$(basename "$dir")/$name" "$@"
}

boot() {
  # The hub's counts other processes.
  mount -t proc proc /proc
  # nspawn leaves locks and folders in /run; here they end with the host.
  mount -t tmpfs -o mode=755 run /run
  # Opened for both, a fifo never ends: each start writes a line.
  mkfifo -m 600 /run/lab-up
  exec 4<>/run/lab-up
  cat <&4 >&3 &
  exec 3>&- 4>&-
  # 133 is a wish to be started again.
  code=133
  while [ "$code" = 133 ]; do
    code=0
    in_own_cgroup systemd-nspawn --quiet --boot --directory="$root" --machine="$name" --register=no --keep-unit \
      --network-namespace-path=/proc/self/ns/net --capability=CAP_NET_ADMIN --bind=/run/lab-up \
      --resolv-conf=off --timezone=off --link-journal=no --console=read-only || code=$?
  done
}
