#!/bin/sh
# Puts a file in its place in one step.
#
# Input:  PATH MODE OWNER:GROUP BYTES HOW; the content on standard input, BYTES long. HOW is one of
#           backup   an old file is kept in /var/lib/bldr/backup first, for root alone
#           keep     an old file's mode and owner stay
#           new      there must be no old file
# Output: bldr-answer / bldr-end
# Exit:   0 it is there; 65 the content came in short, 66 there is no such folder or a folder is there, 67 there is an old file:
#         nothing was changed; else nothing was changed either.
# Needs:  placing.sh fence.sh

path=$(readlink -f -- "$1") || {
    echo "bldr: there is no folder $(dirname -- "$1")" >&2
    exit 66
}
[ ! -d "$path" ] || {
    echo "bldr: $path is a folder" >&2
    exit 66
}
taken() {
    echo "bldr: there is a file $path already" >&2
    exit 67
}
[ "$5" != new ] || [ ! -e "$path" ] || taken
new=$(beside "$path")
trap 'rm -f -- "$new"' EXIT
trap 'exit 129' HUP INT TERM
rm -f -- "$new"
take_input "$new" "$4"
[ "$5" != backup ] || keep_backup "$path"
if [ "$5" = keep ] && [ -e "$path" ]; then
    chown --reference="$path" -- "$new"
    chmod --reference="$path" -- "$new"
else
    chown "$3" -- "$new"
    chmod "$2" -- "$new"
fi
if [ "$5" = new ]; then
    # Unlike a rename, a link never takes the place of what came in between.
    sync -- "$new"
    ln -T -- "$new" "$path" || {
        [ ! -e "$path" ] || taken
        echo "bldr: it cannot be placed: there are no links in $(dirname -- "$path")" >&2
        exit 1
    }
    sync -- "$(dirname -- "$path")"
else
    settle "$path"
fi
echo bldr-answer
echo bldr-end
