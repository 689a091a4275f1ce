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
if [ ! -e "$path" ]; then
    printf 'bldr-answer\npart absent\nbldr-end\n'
    exit 0
fi
# Opened once: what is told of it is told of what is read, whatever takes its name meanwhile.
exec 3<"$path" 5>&1
echo bldr-answer
stat -L -c 'size %s
identity %d:%i' /proc/self/fd/3
printf 'part is '
# Nothing is kept on a disk that may be full; what `tail` ends with goes past the pipe, where it would be lost.
code=$({ { tail -c +$(($2 + 1)) <&3 || echo "$?" >&4; } | head -c "$3" | base64 -w 0 >&5; } 4>&1)
echo
# 141: `head` had enough, and closed the pipe.
case $code in
'' | 141) ;;
*)
    echo "bldr: $path could not be read to the end" >&2
    exit 1
    ;;
esac
echo bldr-end
