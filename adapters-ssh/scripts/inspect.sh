#!/bin/sh
# What has the salt-master here to work with? Its repositories, its files, a pillar it renders, its disk, its clock.
#
# Input:  SAMPLE BYTES: the id of a minion to render the pillar for, or nothing; addresses of git repositories on standard input, one a
#         line.
# Output: bldr-answer / now SECONDS / threads N / processors N / NAME absent | NAME is BASE64, lines each, for
#           disks         MOUNT FREE-KIB USED-PERCENT
#           roots         PATH files | PATH empty | PATH missing; of all environments
#           repositories  NUMBER yes | NUMBER no WHY, the number that of the line it came in, from 1 on
#         and pillar rendered | errors | failed | unasked / bldr-end
# Exit:   0; 65 the input came in short; anything else where something is there and cannot be read.
# Needs:  salt-settings.sh placing.sh git-words.sh
# shellcheck disable=SC2154 # some are set by what stands in front

sample=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP INT TERM
take_input "$work/urls" "$2"

# readable NUMBER: whether the repository of that line can be read, and has anything in it.
readable() {
    url=$(sed -n "$1p" "$work/urls")
    code=0
    timeout 30 git ls-remote --quiet --exit-code -- "$url" HEAD >/dev/null 2>"$work/said.$1" </dev/null || code=$?
    case $code in
    0) echo "$1 yes" ;;
    2) echo "$1 no it is empty" ;;
    124) echo "$1 no it does not answer within 30 s" ;;
    127) echo "$1 no there is no git here" ;;
    *) echo "$1 no $(reason "$work/said.$1")" ;;
    esac >"$work/repository.$1"
}

count=$(grep -c '' "$work/urls" || true)
number=0
while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    readable "$number" &
    # A few at a time: most of it is waiting.
    [ $((number % 8)) -ne 0 ] || wait
done

# runner FILE ARGUMENT...: what Salt itself makes of its configuration, defaults included. It ends with 0 also where it could not
# say, and prints a sentence then.
runner() {
    out=$1
    shift
    timeout 60 salt-run --out=json "$@" </dev/null >"$out" 2>/dev/null || return 1
    [ "$(head -c 1 "$out")" = '{' ]
}
runner "$work/roots.json" config.get file_roots || : >"$work/roots.json"
pillar=unasked
if plain_id "$sample"; then
    pillar=failed
    # What a pillar holds is secret: only whether it has errors is told.
    ! runner "$work/pillar" pillar.show_pillar "$sample" || pillar=rendered
    ! grep -q '^ \{0,8\}"_errors":' "$work/pillar" || pillar=errors
fi
grep -o '"/[^"]*"' "$work/roots.json" | tr -d '"' | sort -u | while IFS= read -r root; do
    if [ ! -d "$root" ]; then
        echo "$root missing"
    elif [ -n "$(find -L "$root" -type f ! -path '*/.git/*' -print -quit 2>/dev/null)" ]; then
        echo "$root files"
    else
        echo "$root empty"
    fi
done >"$work/roots"
wait

echo bldr-answer
printf 'now %s\n' "$(date +%s)"
printf 'threads %s\n' "$(salt_setting master worker_threads 5)"
printf 'processors %s\n' "$(nproc)"
say disks "$(for place in / /srv /var/cache/salt; do [ ! -d "$place" ] || df -Pk "$place" | awk 'NR == 2 { sub(/%/, "", $5); print $6, $4, $5 }'; done | sort -u)"
say roots "$(cat "$work/roots")"
say repositories "$(cat "$work"/repository.* 2>/dev/null | sort -n)"
printf 'pillar %s\n' "$pillar"
echo bldr-end
