#!/bin/sh
# Some of a file's bytes.
#
# Input:  PATH FROM BYTES: at most BYTES of them, from byte FROM on; 0 is the first.
# Output: bldr-answer / part absent | part is BASE64 / size N / identity DEVICE:INODE / bldr-end
# Exit:   0; 66 it is a folder; anything else where it is there and cannot be read.
set -eu
path=$1
[ ! -d "$path" ] || {
    echo "bldr: $path is a folder" >&2
    exit 66
}
echo bldr-answer
if [ -e "$path" ]; then
    stat -L -c 'size %s
identity %d:%i' -- "$path"
    part=$(tail -c +$(($2 + 1)) -- "$path" | head -c "$3" | base64 -w 0)
    printf 'part is %s\n' "$part"
else
    echo 'part absent'
fi
echo bldr-end
