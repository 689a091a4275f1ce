#!/bin/sh
# How is git asked, and what of its words is worth telling? Put in front of the scripts that read repositories.
#
# Input:  nothing; this file only defines functions, and what git finds in its environment.
# Output: nothing.
# Exit:   never by itself.
set -eu

# Never asks anybody for anything, and takes no host key on trust. Beside the hosts that root knows there are those that this machine
# was told of.
bldr_known_hosts=/etc/ssh/bldr_known_hosts
GIT_TERMINAL_PROMPT=0
GIT_ASKPASS=true
GIT_SSH_COMMAND='ssh -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=yes'
# shellcheck disable=SC2089 # git gives it to a shell
[ ! -e "$bldr_known_hosts" ] ||
    GIT_SSH_COMMAND="$GIT_SSH_COMMAND -o 'UserKnownHostsFile=~/.ssh/known_hosts ~/.ssh/known_hosts2 $bldr_known_hosts'"
# shellcheck disable=SC2090
export GIT_TERMINAL_PROMPT GIT_ASKPASS GIT_SSH_COMMAND

# reason FILE: what git says first and last is what is wrong; between that, and on lines of their own, is advice. What stands in
# front of the host in an address may be a secret.
reason() {
    sed -e 's/[[:cntrl:]]//g' -e 's#://[^/@ ]*@#://#g' -e '/^Warning: /d' -e '/^No .* host key is known for/d' -e '/^hint: /d' \
        -e '/^remote:[ =]*$/d' -e '/^ *$/d' -e '/^Please make sure/d' -e '/^and the repository exists/d' <"$1" |
        sed -n '1p;1!{$p;}' | cut -c 1-300 | paste -s -d ';' -
}
