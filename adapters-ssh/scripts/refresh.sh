#!/bin/sh
# Brings a master's library up to date, now and every hour from now on: leaves the program that does so (library.sh) and what it needs on
# the machine, has cron run it, and runs it once.
#
# Input:  LIBRARY PROGRAM RENDER, how many bytes each is long; on standard input, one after the other: the library as library.sh reads
#         it; library.sh with what it needs in front; render-master.py.
# Output: that of library.sh
# Exit:   0; 65 the input came in short; 66 there is no salt-master or no git; 75 another refresh does not end. Else it was interrupted
#         in between, and is completed by running it again.
# Needs:  placing.sh fence.sh salt-settings.sh
# shellcheck disable=SC2154 # some are set by what stands in front

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/input" $(($1 + $2 + $3))
decline() {
    echo "bldr: $1" >&2
    exit 66
}
command -v salt-master >/dev/null || decline "there is no salt-master on it; install Salt first"
if ! command -v git >/dev/null; then
    # Not every image has it.
    command -v apt-get >/dev/null || decline "there is no git on it; install it first"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    {
        apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends git || {
            apt-get -q update
            apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends git
        }
    } >"$work/apt" 2>&1 </dev/null || decline "there is no git on it, and it cannot be installed: $(tail -n 1 "$work/apt")"
fi

inputs=$state/refresh
ensure_folder "$state" 0755
ensure_folder "$inputs" 0700
exec 8>"$inputs/lock"
flock -w 900 8 || {
    echo "bldr: another refresh is under way for 15 minutes; see /var/log/bldr-refresh.log there" >&2
    exit 75
}
# Somebody else's may have been the one that was waited for.
fence

# keep PATH MODE: the content on standard input; one that is the same already stays untouched.
keep() {
    cat >"$work/kept"
    if [ -f "$1" ] && cmp -s "$work/kept" "$1"; then return; fi
    cp -- "$work/kept" "$(beside "$1")"
    chmod "$2" -- "$(beside "$1")"
    settle "$1"
}
program=/usr/local/sbin/bldr-refresh
log=/var/log/bldr-refresh.log
ensure_folder "$(dirname "$program")" 0755
# Addresses may have tokens in them: for root alone.
head -c "$1" <"$work/input" | keep "$inputs/library" 0600
tail -c +$(($1 + 1)) <"$work/input" | head -c "$2" | keep "$program" 0755
tail -c +$(($1 + $2 + 1)) <"$work/input" | keep "$inputs/render-master.py" 0600
sed -n 's/^known-host //p' <"$inputs/library" | keep /etc/ssh/bldr_known_hosts 0644

cron=/etc/cron.d/bldr-refresh
unscheduled='cron is not installed'
if [ -d /etc/cron.d ] && { command -v cron || command -v crond; } >/dev/null; then
    unscheduled=
    # Masters that do it at the same minute would all come to the git host at once.
    minute=$(awk '/bldr-refresh/ && $1 ~ /^[0-9]+$/ { print $1; exit }' "$cron" 2>/dev/null || true)
    [ -n "$minute" ] || minute=$(($(od -A n -N 2 -t u2 /dev/urandom) % 60))
    keep "$cron" 0644 <<CRON
# Written by bldr: brings the repositories of this salt-master up to date.
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
$minute * * * * root flock -n -o $inputs/lock $program hourly >>$log 2>&1
CRON
fi
[ -e "$log" ] || (umask 027 && : >"$log")
[ ! -d /etc/logrotate.d ] || keep /etc/logrotate.d/bldr-refresh 0644 <<LOG
$log {
    monthly
    rotate 6
    missingok
    notifempty
    compress
}
LOG

# The lock is this shell's: what git leaves behind must not hold it.
"$program" now "$unscheduled" 8>&- </dev/null
