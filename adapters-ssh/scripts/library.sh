#!/bin/sh
# Brings a master's repositories up to date, side by side, then its configuration. Kept on the machine as /usr/local/sbin/bldr-refresh;
# whoever runs it holds the lock /var/lib/bldr/refresh/lock.
#
# Input:  hourly | now UNSCHEDULED, why cron does not run it, or nothing. What to bring is in /var/lib/bldr/refresh/library, lines of
#         `repository FOLDER URL`, `file-root FOLDER`, `pillar-root FOLDER`, `known-host LINE`.
# Output: hourly: what was done, as lines of a log. now: bldr-answer / NAME absent | NAME is BASE64, a line each for renewed and unread
#         (lines of NUMBER [WHY], the number that of the repository, from 1 on), unconfigured, unscheduled / configured yes|no /
#         restarted yes|no / bldr-end
# Exit:   0; else it was interrupted in between, and is completed by running it again.
# Needs:  salt-settings.sh placing.sh git-words.sh master-link.sh
# shellcheck disable=SC2154 # some are set by what stands in front

how=$1
unscheduled=${2:-}
inputs=$state/refresh
library=$inputs/library
log=/var/log/bldr-refresh.log
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM

tell() {
    if [ "$how" = hourly ]; then
        echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $1"
    else
        echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $1" >>"$log"
    fi
}

# as_root GIT-ARGUMENT...: whoever owns the folder, nothing of it is run.
as_root() {
    git -c safe.directory='*' -c core.hooksPath=/dev/null -c gc.autoDetach=false -c advice.detachedHead=false "$@"
}

# address FOLDER URL: makes the repository there fetch from this address, which is no argument of any program: it may have a token.
address() {
    config=$1/.git/config
    [ "$(git config --file "$config" --get remote.origin.url 2>/dev/null)" != "$2" ] || return 0
    cp -p -- "$config" "$(beside "$config")"
    git config --file "$(beside "$config")" --remove-section remote.origin 2>/dev/null || true
    printf '[remote "origin"]\n\turl = "%s"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n' \
        "$(printf '%s\n' "$2" | sed 's/[\\"]/\\&/g')" >>"$(beside "$config")"
    settle "$config"
}

# bring NUMBER FOLDER URL: leaves what came of it in result.NUMBER: NUMBER same | NUMBER new | NUMBER no WHY.
bring() {
    said=$work/said.$1
    # Its own folder, not one above it.
    at=$2
    if [ "$(as_root -C "$2" rev-parse --git-dir 2>/dev/null)" != .git ]; then
        at=$(beside "$2")
        rm -rf -- "$at"
        mkdir -p -- "$(dirname -- "$2")"
        as_root init --quiet -- "$at" 2>"$said" || return 1
    fi
    # A run that was killed in the middle of it leaves git's locks.
    [ ! -e "$at/.git/bldr-busy" ] || find "$at/.git" -name '*.lock' -exec rm -f -- {} +
    : >"$at/.git/bldr-busy"
    address "$at" "$3" 2>"$said" || return 1

    timeout 60 git -c safe.directory='*' -C "$at" ls-remote --symref origin HEAD >"$work/head.$1" 2>"$said" </dev/null || {
        [ $? -ne 124 ] || echo "it does not answer within 60 s" >"$said"
        return 1
    }
    tip=$(awk '$2 == "HEAD" && $1 != "ref:" { print $1; exit }' "$work/head.$1")
    branch=$(awk '$1 == "ref:" && $3 == "HEAD" { sub("^refs/heads/", "", $2); print $2; exit }' "$work/head.$1")
    [ -n "$tip" ] || {
        echo "it is empty" >"$said"
        return 1
    }
    before=$(as_root -C "$at" rev-parse --quiet --verify HEAD 2>/dev/null || true)
    if [ "$before" != "$tip" ] || ! as_root -C "$at" cat-file -e "$tip" 2>/dev/null; then
        from=HEAD
        to=refs/bldr/head
        [ -z "$branch" ] || from=refs/heads/$branch to=refs/remotes/origin/$branch
        # A repository that has its history keeps it.
        depth=--depth=1
        [ "$at" != "$2" ] || [ "$(as_root -C "$at" rev-parse --is-shallow-repository)" = true ] || depth=--no-tags
        fetch() { timeout 900 git -c safe.directory='*' -c gc.autoDetach=false -c core.hooksPath=/dev/null -C "$at" fetch --quiet --no-tags "$@" origin "+$from:$to" </dev/null; }
        # Not every server knows shallow ones.
        fetch "$depth" 2>"$said" || fetch --no-tags 2>"$said" || return 1
        tip=$(as_root -C "$at" rev-parse --verify "$to^{commit}" 2>"$said") || return 1
    fi
    if [ -n "$branch" ]; then
        as_root -C "$at" symbolic-ref refs/remotes/origin/HEAD "refs/remotes/origin/$branch"
        as_root -C "$at" symbolic-ref HEAD "refs/heads/$branch"
    fi
    as_root -C "$at" reset --quiet --hard "$tip" >/dev/null 2>"$said" || return 1
    as_root -C "$at" clean -ffdq >/dev/null 2>"$said" || return 1
    rm -f -- "$at/.git/bldr-busy"
    if [ "$at" != "$2" ]; then
        # What stood there and was no repository is somebody's.
        if [ -e "$2" ] || [ -L "$2" ]; then
            ensure_folder "$state/aside" 0700
            mv -T -- "$2" "$state/aside/$(basename -- "$2").$(date -u +%Y%m%dT%H%M%S.%N)"
        fi
        case $2 in /opt/builder-*) chmod 0700 -- "$at" ;; esac
        mv -T -- "$at" "$2"
    fi
    outcome=same
    [ "$before" = "$tip" ] || outcome=new
    echo "$1 $outcome" >"$work/result.$1"
}

# What is fetched is for Salt to read, which need not be root; what is secret of it has a closed folder around it.
umask 022
number=0
private=
while read -r kind folder url; do
    [ "$kind" = repository ] || continue
    number=$((number + 1))
    [ "$folder" != /opt/builder-private ] || private=$number
    printf '%s\n' "$folder" >"$work/folder.$number"
    (
        set +e
        trap - EXIT
        bring "$number" "$folder" "$url"
        [ -e "$work/result.$number" ] || {
            rm -rf -- "$(beside "$folder")"
            echo "$number no $(reason "$work/said.$number")" >"$work/result.$number"
        }
    ) &
    # A few at a time: most of it is waiting.
    [ $((number % 8)) -ne 0 ] || wait
done <"$library"
wait
umask 077

# result NUMBER WORD: what stands behind that word in the result of that repository; nothing where it is another.
result() { sed -n "s/^$1 $2 *//p" "$work/result.$1"; }
renewed=
unread=
at=0
while [ "$at" -lt "$number" ]; do
    at=$((at + 1))
    case $(cat "$work/result.$at") in
    *' new')
        renewed="$renewed$at
"
        tell "$(cat "$work/folder.$at"): brought up to date"
        ;;
    *' same') ;;
    *)
        unread="$unread$at $(result "$at" no)
"
        tell "$(cat "$work/folder.$at"): $(result "$at" no)"
        ;;
    esac
done

for place in salt pillar; do
    target=/opt/builder-private/$place
    if [ -d "$target" ] && [ ! -e "/srv/$place" ] && [ ! -L "/srv/$place" ]; then ln -s -- "$target" "/srv/$place"; fi
done

config=/etc/salt/master
template=/opt/builder-private/etc-salt-master
# A master that does not run as root reads what is secret as well.
reader=
[ ! -f "$template" ] || reader=$(setting_in user "$template")
if [ "${reader:-root}" != root ] && group=$(id -g -- "$reader" 2>/dev/null); then
    for folder in /opt/builder-private /opt/builder-configuration; do
        [ "$(stat -c %a:%u "$folder" 2>/dev/null)" != 700:0 ] || { chgrp -- "$group" "$folder" && chmod 0750 -- "$folder"; }
    done
fi
old=$inputs/master.before
rejected=$inputs/master.rejected
unconfigured=
configured=no

# The Python of Salt, which can read YAML.
python() {
    own=$(head -n 1 -- "$(readlink -f -- "$(command -v salt-master)")" | sed -n 's/^#! *\([^ ]*python[^ ]*\).*/\1/p')
    for python in "$own" /opt/saltstack/salt/bin/python3 python3; do
        if [ -n "$python" ] && "$python" -c 'import yaml' 2>/dev/null </dev/null; then
            "$python" "$@"
            return
        fi
    done
    echo "bldr: there is no Python with YAML on it" >&2
    return 1
}

# Writes the configuration anew, if it is another.
configure() {
    if [ -z "$private" ]; then
        unconfigured='there is no private repository'
    elif ! grep -q ' \(new\|same\)$' "$work/result.$private"; then
        unconfigured="the private repository cannot be read: $(result "$private" no)"
    elif [ ! -f "$template" ]; then
        unconfigured="the private repository has no 'etc-salt-master'"
    elif ! python "$inputs/render-master.py" "$template" "$library" >"$work/master" 2>"$work/why" </dev/null; then
        unconfigured=$(sed -n 's/^bldr: //p' "$work/why" | tail -n 1)
        [ -n "$unconfigured" ] || unconfigured='the template cannot be filled in'
    elif [ "$how" = hourly ] && cmp -s "$work/master" "$rejected"; then
        unconfigured='the salt-master did not answer with the new one'
    fi
    [ -z "$unconfigured" ] || return 0
    ensure_folder /etc/salt 0755
    cmp -s "$template" /etc/salt/master.template || place /etc/salt/master.template <"$template"
    ! cmp -s "$work/master" "$config" || return 0
    # What is put back if the master does not come up with the new one, and then the mark: killed after it, the master is
    # restarted by whoever comes next.
    if [ ! -e "$state/master-restart" ]; then
        rm -f -- "$old"
        if [ -f "$config" ]; then
            cp -p -- "$config" "$(beside "$old")"
            settle "$old"
        fi
        mark master-restart due
    fi
    keep_backup "$config"
    place "$config" <"$work/master"
    configured=yes
    tell "$config: written anew"
}

master() {
    command -v systemctl >/dev/null || return 0
    systemctl "$1" --quiet salt-master.service >&2
}

answers() {
    interface=$(salt_setting master interface 0.0.0.0)
    case $interface in 0.0.0.0 | ::) interface=127.0.0.1 ;; esac
    [ -z "$(mute "$interface" 4505 4506)" ]
}

# `systemctl start` returns before the master listens.
comes_up() {
    master restart || return 1
    until=$(($(date +%s) + 60))
    until answers; do
        [ "$(date +%s)" -lt "$until" ] || return 1
        ! systemctl is-failed --quiet salt-master.service || return 1
        sleep 0.2
    done
}

configure
restarted=no
if [ -f "$config" ] && { marked master-restart || ! master is-active; }; then
    master is-enabled || master enable
    restarted=yes
    if comes_up; then
        rm -f -- "$old" "$rejected"
    elif marked master-restart && [ -f "$old" ]; then
        cp -- "$config" "$(beside "$rejected")"
        settle "$rejected"
        place "$config" <"$old"
        configured=no
        unconfigured='the salt-master did not answer with the new one within 60 s, and has the old one again'
        comes_up || unconfigured='the salt-master did not answer with the new one within 60 s, nor does it with the old one, which it has again'
    else
        unconfigured=${unconfigured:-'the salt-master does not answer within 60 s'}
    fi
    unmark master-restart
    tell "salt-master: restarted"
fi
[ -z "$unconfigured" ] || tell "$config: as before: $unconfigured"
if [ "$how" = hourly ]; then
    tell "$number repositories, $(printf '%s' "$renewed" | grep -c '' || true) renewed, $(printf '%s' "$unread" | grep -c '' || true) unread"
    exit 0
fi

echo bldr-answer
say renewed "$renewed"
say unread "$unread"
say unconfigured "$unconfigured"
say unscheduled "$unscheduled"
printf 'configured %s\nrestarted %s\n' "$configured" "$restarted"
echo bldr-end
