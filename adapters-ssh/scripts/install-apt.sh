#!/bin/sh
# How does Salt come from Debian packages? Put in front of install-salt.sh, which has the functions it needs.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   66 where the packages are not to be had.
# shellcheck disable=SC2154 # some are set by what stands around it
set -eu

apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any "$@" >>"$work/log" 2>&1 </dev/null
}

# put PATH: the content on standard input, readable for all.
put() {
    ensure_folder "$(dirname -- "$1")" 0755
    cat >"$(beside "$1")"
    chmod 0644 -- "$(beside "$1")"
    settle "$1"
}

install_apt() {
    list=/etc/apt/sources.list.d/bldr-salt.list
    keyring=/etc/apt/keyrings/bldr-salt.asc
    pin=/etc/apt/preferences.d/bldr-salt
    command -v apt-get >/dev/null || decline "there is no apt-get on it"
    if [ -s "$work/second" ]; then
        put "$keyring" <"$work/second"
        sed "s#^\(deb[^ ]*\) *#\1 [signed-by=$keyring] #" <"$work/first" >"$work/line"
    else
        cat <"$work/first" >"$work/line"
    fi
    echo >>"$work/line"
    put "$list" <"$work/line"
    : >"$work/log"
    apt -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 update ||
        decline "its packages cannot be read: $(words "$work/log")"

    # As Debian writes it: with what was done to it for the packages.
    apt-cache madison salt-minion 2>/dev/null | awk -F '|' '{ gsub(/ /, "", $2); print $2 }' >"$work/versions"
    exact=$(awk -v wanted="$version" '{
        bare = $0
        sub(/^[0-9]+:/, "", bare)
        rest = substr(bare, length(wanted) + 1)
        if (index(bare, wanted) == 1 && (rest == "" || rest ~ /^[-+~]/)) { print; exit }
    }' "$work/versions")
    [ -n "$exact" ] || decline "there is no salt-minion $version among the packages, but: $(sort -u "$work/versions" | head -n 8 | paste -s -d ' ' -)"

    # Nothing moves it past that version, and all parts of Salt are the same. What was pinned before is so again if it fails.
    [ ! -f "$pin" ] || cp -- "$pin" "$work/pin"
    printf 'Explanation: written by bldr\nPackage: salt-*\nPin: version %s\nPin-Priority: 1001\n' "$exact" | put "$pin"
    set -- "salt-minion=$exact"
    [ "$role" != master ] || set -- "$@" "salt-master=$exact"
    forbid_starts
    : >"$work/log"
    with='install -y --no-install-recommends --allow-downgrades -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold'
    # What it depends on may be in lists that a new machine has not read yet; and a run that was killed leaves half of a package.
    # shellcheck disable=SC2086 # several words
    apt $with "$@" || {
        dpkg --configure -a >>"$work/log" 2>&1 </dev/null || true
        apt update || true
        : >"$work/log"
        apt $with "$@"
    } || {
        said=$(words "$work/log")
        if [ -f "$work/pin" ]; then put "$pin" <"$work/pin"; else rm -f -- "$pin"; fi
        decline "apt-get does not install it: $said"
    }
}
