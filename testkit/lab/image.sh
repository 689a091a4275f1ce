#!/bin/sh
# What every host of a lab starts from: a root of a few MB and what is laid over the machine's /usr.
# Arguments: the lab's folder, the folder of this script.
set -eu
dir=$1
here=$2
image=$dir/fs/image
usr=$dir/fs/usr

mkdir -p "$image" "$usr/bin" "$dir/fs/hosts"
cd "$image"
mkdir etc var root home srv tmp run proc sys dev mnt opt usr old
mkdir -p var/lib/sudo/lectured var/lib/dpkg var/log/salt var/cache/salt var/spool var/mail var/tmp
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
ln -s ../run var/run
ln -s ../run/lock var/lock
chmod 700 root
chmod 1777 tmp var/tmp

cp -a /etc/. etc/
rm -rf etc/ssh etc/mtab etc/salt
rm -f etc/resolv.conf
ln -s ../proc/self/mounts etc/mtab
mkdir -p etc/ssh etc/sudoers.d etc/salt/pki/minion etc/salt/pki/master etc/salt/minion.d etc/salt/master.d
cp "$here/sshd_config" etc/ssh/sshd_config
# Newer servers shut out an address after failed log-ins; some tests fail on purpose, and all come from one address.
! grep -q -i persourcepenalties /usr/sbin/sshd || echo 'PerSourcePenalties no' >>etc/ssh/sshd_config
# A name server that does not answer costs every look-up seconds; here everybody has an address.
: >etc/resolv.conf

# The number 1000 may be somebody else's on this machine. `*` and not `!`: sshd refuses locked accounts.
sed -i -E '/^([^:]*:[^:]*:1000|ubuntu):/d' etc/passwd
sed -i -E '/^([^:]*:[^:]*:1000|ubuntu):/d' etc/group
sed -i -E '/^ubuntu:/d' etc/shadow
echo 'ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash' >>etc/passwd
echo 'ubuntu:x:1000:' >>etc/group
echo 'ubuntu:*:19000:0:99999:7:::' >>etc/shadow
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' >etc/sudoers.d/90-cloud-init-users
chmod 440 etc/sudoers.d/90-cloud-init-users
mkdir -m 750 home/ubuntu
mkdir -m 700 home/ubuntu/.ssh
chown -R 1000:1000 home/ubuntu

install -m 755 "$here/systemctl" "$usr/bin/systemctl"
install -m 755 "$here/salt-call" "$usr/bin/salt-call"
install -m 755 "$here/salt-standin" "$usr/bin/salt-standin"
# Where Salt's own packages write it down. Another one is a host's own /etc/salt/stub-version.
library=$image/opt/saltstack/salt/lib/python3.11/site-packages/salt
mkdir -p "$library"
echo 3008.3 >"$image/etc/salt/stub-version"
ln -s /etc/salt/stub-version "$library/_version.txt"
for program in salt-minion salt-master salt salt-key salt-run; do ln -s salt-standin "$usr/bin/$program"; done
