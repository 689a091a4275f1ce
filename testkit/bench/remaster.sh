#!/bin/sh
# How does a fleet come under another master by ssh? Each program is typed into a shell on the host, xargs starts one ssh for each.
#
#   remaster.sh HOME AT_ONCE    HOME is the folder that bench_hosts has made; more options for ssh are in OPTIONS
set -eu
home=$1
at_once=$2
export home
connect="ssh -F /dev/null -i $home/key -o UserKnownHostsFile=$home/known_hosts -o StrictHostKeyChecking=yes -o BatchMode=yes -o LogLevel=ERROR \
-o ConnectTimeout=60 ${OPTIONS:-} -l ubuntu"

# everywhere GROUP NAME PROGRAM: has that program run on all hosts of a group; @ stands for the host's address.
everywhere() {
    xargs -P "$at_once" -I@ sh -c "$connect @ 'sudo sh' <'$home/programs/$3' >'$home/said/@.$2'" <"$home/$1"
}

for stage in ci prod; do everywhere "$stage" read read; done
everywhere new accept accept
for stage in ci prod; do
    everywhere "$stage" switch switch/@
    everywhere new "ping-$stage" "ping-$stage"
    everywhere "$stage" highstate highstate
done
everywhere old forget forget
