#!/bin/sh
# Makes the minion take orders from a master under an id, from now on. May be killed anywhere and run again.
#
# Input:  ADDRESS ID BYTES; the master's public key on standard input, BYTES long.
# Output: bldr-answer / change made | change none / bldr-end
# Exit:   0; 65 the key came in short; 66 there is no minion, or something wins over what would be written; 67 a switch waits to be
#         confirmed: nothing was changed. Else it was interrupted in between, and is completed by running it again.
# Needs:  placing.sh fence.sh salt-settings.sh minion-unit.sh watchdog.sh minion-config.sh
# shellcheck disable=SC2034,SC2154 # some are set or read by what stands in front

address=$1
id=$2
locate
work=$(mktemp -d)
take_input "$work/key" "$3"

decline() {
    echo "bldr: $1" >&2
    exit 66
}
plain_id "$id" || decline "'$id' is no minion id"
command -v salt-minion >/dev/null || decline "there is no salt-minion on it; install Salt first"
take_turn
if armed; then
    echo "bldr: a switch of its minion to another master waits to be confirmed" >&2
    exit 67
fi
# Files in minion.d are read after the main one, and win over it.
for file in /etc/salt/minion.d/*.conf; do
    [ -f "$file" ] || continue
    if grep -q '^master:' "$file" && [ "$(setting_in master "$file")" != "$address" ]; then
        decline "$file sets 'master:' too, and wins over /etc/salt/minion; take that line out"
    fi
    said=$(setting_in id "$file")
    [ -z "$said" ] || [ "$said" = "$id" ] || decline "$file sets 'id:' too, and wins over /etc/salt/minion; take that line out"
    [ -z "$(setting_in master_finger "$file")" ] ||
        decline "$file pins a key with 'master_finger:'; take that line out, the key itself is placed"
done
kind=$(salt_setting minion master_type str)
[ "$kind" = str ] || decline "its configuration says 'master_type: $kind', and bldr has minions with one plain master; take that line out"

: >"$work/old"
[ ! -f "$config" ] || cat -- "$config" >"$work/old"
if [ -s "$work/old" ]; then
    repointed "$work/old" "$address" >"$work/repointed"
else
    printf 'master: %s\n' "$address" >"$work/repointed"
fi
identified "$work/repointed" "$id" >"$work/config"
# An id that the configuration says is in force; else that of the file is.
by_file=
[ -n "$(setting_in id "$work/config")" ] || [ -n "$(salt_setting minion id '')" ] || by_file=yes
same_config() { [ -f "$config" ] && cmp -s "$work/config" "$config"; }
same_id() { [ -z "$by_file" ] || [ "$(cat /etc/salt/minion_id 2>/dev/null)" = "$id" ]; }
same_key() { [ -f "$trusted" ] && [ "$(key_body "$trusted")" = "$(key_body "$work/key")" ]; }
stands() { command -v systemctl >/dev/null || return 0; systemctl "$1" --quiet salt-minion.service; }
change=none

# That mark, still there, may be all that tells of a minion that was stopped and never started again.
if ! same_config || ! same_id || ! same_key || marked repointing || ! stands is-active; then
    change=made
    marks repointing
    stopped=yes
    minion stop
    if ! same_config; then
        keep_backup "$config"
        ensure_folder "${config%/*}" 0755
        place "$config" <"$work/config"
    fi
    same_id || printf '%s\n' "$id" | place /etc/salt/minion_id
    if ! same_key; then
        keep_backup "$trusted"
        ensure_folder "${trusted%/*}" 0700
        # Replaced in one step: a minion without a key trusts whoever answers first.
        place "$trusted" <"$work/key"
    fi
    minion start
    stopped=
    unmark repointing
fi
if ! stands is-enabled; then
    change=made
    minion enable
fi
printf 'bldr-answer\nchange %s\nbldr-end\n' "$change"
