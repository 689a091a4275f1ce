#!/bin/sh
# How does Salt come from Python packages? Put in front of install-salt.sh, which has the functions it needs.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   66 where the packages are not to be had.
#
# Such an environment knows its own folder and cannot be moved: each version has one, and /opt/saltstack/salt leads to the one that
# counts.
# shellcheck disable=SC2154 # some are set by what stands around it
set -eu
salt=/opt/saltstack/salt

# put PATH MODE: the content on standard input.
put_program() {
    cat >"$(beside "$1")"
    chmod "$2" -- "$(beside "$1")"
    settle "$1"
}

# can_make_one: whether this Python makes environments with pip in them; Debian leaves that to another package.
can_make_one() {
    python3 -c 'import venv, ensurepip' 2>/dev/null </dev/null
}

install_pip() {
    own=$salt-$version
    : >"$work/log"
    if ! can_make_one; then
        command -v apt-get >/dev/null || decline "its python3 cannot make a virtual environment"
        forbid_starts
        for _ in 1 2; do
            ! DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3-venv \
                >"$work/log" 2>&1 </dev/null || break
            DEBIAN_FRONTEND=noninteractive apt-get -q update >/dev/null 2>&1 </dev/null || true
        done
        can_make_one || decline "its python3 cannot make a virtual environment: $(words "$work/log")"
    fi
    umask 022
    mkdir -p -- "$(dirname -- "$salt")"
    if [ ! -e "$own/bldr-complete" ]; then
        rm -rf -- "$own"
        python3 -m venv -- "$own" >"$work/log" 2>&1 </dev/null || decline "its python3 cannot make a virtual environment: $(words "$work/log")"
        packages=$(cat <"$work/first")
        # By the environment: an address may have a token in it, and arguments are for all to see.
        case $packages in
        '') set -- ;;
        */simple | */simple/)
            PIP_INDEX_URL=$packages
            export PIP_INDEX_URL
            set --
            ;;
        *)
            case $packages in /*) [ -d "$packages" ] || decline "there is no folder $packages on it" ;; esac
            PIP_FIND_LINKS=$packages
            export PIP_FIND_LINKS
            set -- --no-index
            ;;
        esac
        timeout 1500 "$own/bin/python3" -m pip install --quiet --disable-pip-version-check --no-input --no-cache-dir "$@" \
            "salt==$version" >"$work/log" 2>&1 </dev/null || {
            said=$(words "$work/log")
            rm -rf -- "$own"
            decline "pip does not install it: $said"
        }
        sync
        : >"$own/bldr-complete"
    fi

    # One that was made in that place, by whomever, makes room; it is gone once the new one is there.
    if [ -d "$salt" ] && [ ! -L "$salt" ]; then
        rm -rf -- "$salt.before-bldr"
        mv -T -- "$salt" "$salt.before-bldr"
    fi
    ln -s -f -T -- "salt-$version" "$(beside "$salt")"
    mv -f -T -- "$(beside "$salt")" "$salt"
    sync -- "$(dirname -- "$salt")"
    for program in $programs; do
        name=$(printf '%s\n' "$program" | tr - _)
        [ "$name" != salt ] || name=salt_main
        case $name in salt_*) ;; *) name=salt_$name ;; esac
        printf '#!%s/bin/python3\nimport sys\nfrom salt.scripts import %s\nif __name__ == "__main__":\n    sys.exit(%s())\n' \
            "$salt" "$name" "$name" | put_program "/usr/bin/$program" 0755
    done
    for folder in /etc/salt /etc/salt/minion.d /etc/salt/master.d /var/log/salt /var/cache/salt; do
        ensure_folder "$folder" 0755
    done
    for folder in /etc/salt/pki /etc/salt/pki/minion /etc/salt/pki/master; do
        [ "$role" = master ] || [ "$folder" != /etc/salt/pki/master ] || continue
        ensure_folder "$folder" 0700
    done
    [ ! -d /run/systemd/system ] || units
    umask 077
}

# tidy_pip: without the environments that no daemon is of any more.
tidy_pip() {
    rm -rf -- "$salt.before-bldr"
    for other in "$salt"-[0-9]*; do
        [ "$other" = "$salt-$version" ] || rm -rf -- "$other"
    done
}

# units: what systemd needs to know of daemons that it knows nothing of, as Salt's own packages have it.
units() {
    for daemon in $daemons; do
        ! systemctl cat "$daemon.service" >/dev/null 2>&1 || continue
        limit=8192
        kill='KillMode=process
'
        if [ "$daemon" = salt-master ]; then limit=100000 kill=; fi
        put_program "/etc/systemd/system/$daemon.service" 0644 <<UNIT
[Unit]
Description=Salt's $daemon
After=network.target

[Service]
Type=notify
NotifyAccess=all
LimitNOFILE=$limit
${kill}ExecStart=/usr/bin/$daemon

[Install]
WantedBy=multi-user.target
UNIT
    done
    systemctl daemon-reload >&2
}
