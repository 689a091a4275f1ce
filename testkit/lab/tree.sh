#!/usr/bin/env bash
# Where is the Debian, with Salt, that booted hosts start from? Makes it once (BLDR_TREE, or .build/tree at the top), prints
# its folder on stdout. Needs root and mmdebstrap.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$here/../.." && pwd -P)
tree=${BLDR_TREE:-$top/.build/tree}

# What makes it: this script and its data.
made_of() { (cd "$here" && find tree.sh tree -type f | LC_ALL=C sort | xargs sha256sum) | sha256sum | cut -d' ' -f1; }
wanted=$(made_of)
is_there() { [[ -f $tree/made-of.sha256 && $(<"$tree/made-of.sha256") == "$wanted" ]]; }

if is_there; then
    echo "$tree"
    exit
fi
if [[ ${BLDR_TREE_NAMESPACE:-} != own ]]; then
    for program in mmdebstrap:mmdebstrap unshare:util-linux; do
        if ! command -v "${program%%:*}" >/dev/null; then
            echo "tree.sh: ${program%%:*} is missing; with apt: apt-get install ${program#*:}" >&2
            exit 1
        fi
    done
    if [[ $EUID != 0 ]]; then
        echo "tree.sh: only root can make a Debian" >&2
        exit 1
    fi
    # Mounts and processes end with this one, however it ends.
    BLDR_TREE_NAMESPACE=own exec unshare --mount --pid --fork --kill-child --mount-proc "${BASH_SOURCE[0]}"
fi

mkdir -p "$(dirname "$tree")"
# Several test runs may come here at the same time; the later ones find it made.
exec 9>"$tree.lock"
flock 9
if is_there; then
    echo "$tree"
    exit
fi
echo "tree.sh: making $tree, which takes a minute or two" >&2
new=$tree.new
root=$new/root
# What an interrupted run has left.
rm -rf "$new"
mkdir -p "$new"

# Beside what every cloud image has: python3-venv, to make Salt's own.
packages=systemd,systemd-sysv,dbus,openssh-server,sudo,python3,python3-venv,iproute2,git,cron,procps,ca-certificates
keep=()
for folder in doc man locale info lintian bash-completion; do keep+=(--dpkgopt="path-exclude=/usr/share/$folder/*"); done
mmdebstrap --quiet --mode=root --variant=apt --include="$packages" "${keep[@]}" --dpkgopt=force-unsafe-io \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' bookworm "$root" >&2

inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"; }

mount -t proc proc "$root/proc"
# Salt, by the Debian's own Python. The way to PyPI, its certificates included, is this machine's.
mkdir -p "$root/tmp/way"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp "$here/tree/requirements.txt" "$root/tmp/way"
way=()
for setting in PIP_INDEX_URL PIP_EXTRA_INDEX_URL http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [[ -z ${!setting:-} ]] || way+=("$setting=${!setting}")
done
certificates=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
if [[ -f $certificates ]]; then
    cp -L "$certificates" "$root/tmp/way/certificates.crt"
    way+=(PIP_CERT=/tmp/way/certificates.crt)
fi
salt=/opt/saltstack/salt
mkdir -p "$root/opt/saltstack"
inside python3 -m venv --without-pip "$salt"
pip=$(cd "$root" && echo usr/share/python-wheels/pip-*.whl)
# The wheels stay: a host without a way out installs Salt from them.
wheels=/opt/wheels
inside "${way[@]}" PYTHONPATH="/$pip" "$salt/bin/python3" -m pip wheel --quiet --disable-pip-version-check --no-cache-dir --no-deps \
    --wheel-dir "$wheels" -r /tmp/way/requirements.txt >&2
inside PYTHONPATH="/$pip" "$salt/bin/python3" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
    --no-cache-dir --no-compile --no-deps --no-index --find-links "$wheels" -r /tmp/way/requirements.txt >&2
# What requirements.txt leaves out, and Salt names as a dependency all the same: a name without content.
inside python3 - "$wheels" <<'PYTHON'
import sys, zipfile
info = "timelib-0.3.0.dist-info"
with zipfile.ZipFile(f"{sys.argv[1]}/timelib-0.3.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: timelib\nVersion: 0.3.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: bldr\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
PYTHON
inside "$salt/bin/python3" -m compileall -q -j 0 "$salt/lib" >&2 || true # some files are templates, or for other Pythons
# Commands as the packages have them.
for command in salt:salt_main salt-call:salt_call salt-key:salt_key salt-master:salt_master salt-minion:salt_minion salt-run:salt_run; do
    printf '#!%s/bin/python3\nimport sys\nfrom salt.scripts import %s\nif __name__ == "__main__":\n    sys.exit(%s())\n' \
        "$salt" "${command#*:}" "${command#*:}" >"$root/usr/bin/${command%%:*}"
    chmod 755 "$root/usr/bin/${command%%:*}"
    inside "${command%%:*}" --version >&2
done

mkdir -p "$root"/etc/salt/{minion.d,master.d} "$root"/srv/salt "$root"/var/{log,cache}/salt
install -d -m 700 "$root"/etc/salt/pki{,/minion,/master,/master/minions}

# The user of a cloud image, whose key each lab adds. `*` is no password and not locked.
inside useradd --create-home --shell /bin/bash --uid 1000 --password '*' ubuntu
inside install -d -m 700 -o ubuntu -g ubuntu /home/ubuntu/.ssh

cp -R --no-preserve=ownership "$here/tree/root/." "$root"
chmod 440 "$root/etc/sudoers.d/90-cloud-init-users"
inside systemctl --quiet enable lab-up.service salt-minion.service salt-master.service
# What phones home, wants a terminal, or looks after a disk that lives for minutes.
inside systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    getty.target console-getty.service

# What each host has of its own. A name server that does not answer costs Salt minutes; here everybody has an address.
rm -rf "$root/tmp/way" "$root"/etc/ssh/ssh_host_* "$root/etc/hostname"
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"

umount "$root/proc"

echo "$wanted" >"$new/made-of.sha256"
rm -rf "$tree"
mv "$new" "$tree"
echo "$tree"
