#!/bin/sh
# What burdens this master? Asked every few seconds while minions come to it: it looks at two files and a folder.
#
# Input:  none.
# Output: bldr-answer / load N (hundredths of a processor, for each it has, over the last minute) / pending N (keys that wait to be
#         accepted) / bldr-end
# Exit:   0
# Needs:  salt-settings.sh

waiting=$(pki_dir master)/minions_pre
processors=$(nproc)
echo bldr-answer
awk -v processors="$processors" '{ printf "load %d\n", $1 * 100 / processors }' /proc/loadavg
if [ -d "$waiting" ]; then
    printf 'pending %s\n' "$(find "$waiting" -maxdepth 1 -type f ! -name '.*' | wc -l)"
else
    echo 'pending 0'
fi
echo bldr-end
