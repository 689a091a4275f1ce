#!/bin/sh
# Which of these minions answer the salt-master here?
#
# Input:  SECONDS ID[,ID...]
# Output: bldr-answer / exit CODE / stdout is BASE64, an object of JSON with an id and true for each that answered / bldr-end
# Exit:   0 whatever salt ended with.
# Needs:  salt-settings.sh

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
# Whoever does not answer in time is asked by Salt whether it is still at work; by default that takes ten seconds more.
mkdir -p "$work/salt/master.d"
[ ! -f /etc/salt/master ] || cp -- /etc/salt/master "$work/salt/master"
for file in /etc/salt/master.d/*.conf; do
    [ ! -f "$file" ] || cp -- "$file" "$work/salt/master.d/"
done
echo 'gather_job_timeout: 1' >"$work/salt/master.d/zzz-bldr.conf"
code=0
timeout --kill-after=5 $(($1 + 30)) salt --config-dir="$work/salt" --timeout="$1" --out=json --static -L "$2" test.ping \
    </dev/null >"$work/out" 2>"$work/err" || code=$?
printf 'bldr-answer\nexit %s\nstdout is %s\nbldr-end\n' "$code" "$(base64 -w 0 <"$work/out")"
