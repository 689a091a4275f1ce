#!/bin/sh
# Installs Salt, in exactly this version. Starts nothing; a minion or master that ran before runs again. May be killed anywhere and run
# again.
#
# Input:  VERSION minion|master apt|pip|script FIRST SECOND, how many bytes of standard input belong to
#           apt     the line of sources.list; the key that signs it, or nothing
#           pip     the folder or the page that has the packages, or nothing; nothing
#           script  the program; nothing
# Output: bldr-answer / change made | change none / bldr-end
# Exit:   0; 65 the input came in short: nothing was changed; 66 it is not to be had, with the installer's last words.
# Needs:  placing.sh fence.sh salt-settings.sh install-apt.sh install-pip.sh
# shellcheck disable=SC2034,SC2154 # some are set or read by what stands in front

version=$1
role=$2
method=$3
work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
trap 'restore_policy; rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/input" $(($4 + $5))
head -c "$4" <"$work/input" >"$work/first"
tail -c +$(($4 + 1)) <"$work/input" >"$work/second"

decline() {
    echo "bldr: $1" >&2
    exit 66
}

# words FILE: the last of an installer's that say something; what stands in front of a host in an address may be a secret.
words() {
    sed -e 's/\x1b\[[0-9;]*m//g' -e 's/[[:cntrl:]]//g' -e 's#://[^/@ ]*@#://#g' -e '/^ *$/d' -e '/\[notice\]/d' <"$1" >"$work/words"
    said=$(grep -E '^(E:|ERROR:|error:|fatal:|dpkg: error)' "$work/words" | tail -n 1) || said=$(tail -n 1 "$work/words")
    printf '%s\n' "${said:-it said nothing}" | cut -c 1-300
}

# Packages start what they bring, unless this forbids it. It goes again however this ends: whoever comes next knows it by its second
# line.
forbid_starts() {
    restore_policy
    [ ! -e "$policy" ] || mv -f -T -- "$policy" "$policy.before-bldr"
    printf '#!/bin/sh\n# bldr: while Salt is installed\nexit 101\n' >"$(beside "$policy")"
    chmod 0755 -- "$(beside "$policy")"
    settle "$policy"
}
restore_policy() {
    [ "$(sed -n 2p "$policy" 2>/dev/null)" != '# bldr: while Salt is installed' ] || rm -f -- "$policy"
    [ ! -e "$policy.before-bldr" ] || [ -e "$policy" ] || mv -T -- "$policy.before-bldr" "$policy"
}

programs='salt-call salt-minion'
daemons=salt-minion
if [ "$role" = master ]; then
    programs="$programs salt-master salt-key salt-run salt"
    daemons="$daemons salt-master"
fi
# bare TEXT: the version in it, its first word that begins with a digit.
bare() { printf '%s\n' "$1" | tr -s ' \t' '\n' | sed 's/^v//' | grep -m 1 '^[0-9]' || true; }
whole() {
    for program in $programs; do
        command -v "$program" >/dev/null || return 1
    done
    for program in salt-call $daemons; do
        [ "$(bare "$(salt_version "$program")")" = "$version" ] || return 1
    done
}
answer() {
    printf 'bldr-answer\nchange %s\nbldr-end\n' "$1"
}
runs() { command -v systemctl >/dev/null && systemctl is-active --quiet "$1.service"; }

restore_policy
# That mark, still there, may be all that tells of a daemon that was stopped and never started again.
if whole && ! marked installing; then
    answer none
    exit 0
fi
ran=
for daemon in salt-minion salt-master; do
    if runs "$daemon"; then ran="$ran $daemon"; fi
done
[ -e "$state/installing" ] || mark installing "$ran"
ran=$(cat "$state/installing")

if ! whole; then
    case $method in
    apt) install_apt ;;
    pip) install_pip ;;
    script)
        forbid_starts
        # /tmp may be a place where nothing is run.
        program=$state/installer
        cp -- "$work/first" "$(beside "$program")"
        chmod 0700 -- "$(beside "$program")"
        settle "$program"
        code=0
        timeout 1500 "$program" "$version" "$role" >"$work/log" 2>&1 </dev/null || code=$?
        rm -f -- "$program"
        [ "$code" -eq 0 ] || decline "the program that installs Salt ended with $code: $(words "$work/log")"
        ;;
    esac
    restore_policy
    hash -r
    there=$(bare "$(timeout 60 salt-call --version 2>/dev/null </dev/null || true)")
    [ "$there" = "$version" ] || decline "after the installation there is ${there:-no salt-call} instead of Salt $version"
    whole || decline "after the installation of Salt $version not all of it is there: it takes $programs"
fi

for daemon in salt-minion salt-master; do
    case " $ran " in
    *" $daemon "*) systemctl restart "$daemon.service" >&2 ;;
    # Some installers start what they bring all the same.
    *) ! runs "$daemon" || systemctl stop "$daemon.service" >&2 ;;
    esac
done
[ "$method" != pip ] || tidy_pip
unmark installing
answer made
