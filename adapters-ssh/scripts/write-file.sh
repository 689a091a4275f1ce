#!/bin/sh
# Replaces a file in one step.
#
# Input:  PATH MODE OWNER:GROUP BYTES [backup]; the content on standard input, BYTES long. With "backup" the old file is
#         kept in /var/lib/bldr/backup first, for root alone.
# Output: bldr-answer / bldr-end
# Exit:   0 replaced; 65 the content came in short, nothing was changed; else nothing was changed either.
# Needs:  placing.sh

path=$(readlink -f -- "$1")
new=$(beside "$path")
trap 'rm -f -- "$new"' EXIT
rm -f -- "$new"
take_input "$new" "$4"
[ -z "${5:-}" ] || keep_backup "$path"
chmod "$2" -- "$new"
chown "$3" -- "$new"
settle "$path"
echo bldr-answer
echo bldr-end
