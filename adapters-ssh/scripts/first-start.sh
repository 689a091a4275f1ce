#!/bin/sh
# Waits until the machine has done what it was told at its first start.
#
# Input:  SECONDS, for how long.
# Output: bldr-answer / started yes | started no, where that was not long enough / bldr-end
# Exit:   0; 66 its first start went wrong, with what cloud-init says of it.
set -eu
within=$1

# What stands behind `detail:` and `errors:`, in one line.
detail() {
    timeout 20 cloud-init status --long 2>/dev/null </dev/null | awk '
        /^[a-z_]+:/ { told = /^(detail|errors):/; sub(/^[a-z_]+:[ \t]*/, "") }
        told { gsub(/[[:cntrl:]]/, " "); sub(/^[ \t-]+/, ""); if ($0 != "" && $0 != "[]") print }' |
        head -n 4 | cut -c 1-200 | paste -s -d ';' -
}

started=yes
if command -v cloud-init >/dev/null; then
    code=0
    timeout "$within" cloud-init status --wait >/dev/null 2>&1 </dev/null || code=$?
    case $code in
    # 2: done, with errors that it got over.
    0 | 2) ;;
    124) started=no ;;
    *)
        said=$(detail || true)
        echo "bldr: its first start went wrong: ${said:-cloud-init ended with $code}" >&2
        exit 66
        ;;
    esac
fi
printf 'bldr-answer\nstarted %s\nbldr-end\n' "$started"
