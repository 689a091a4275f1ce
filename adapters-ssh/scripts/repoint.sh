#!/bin/sh
# Makes the minion take orders from another master. May be killed anywhere and run again.
#
# Input:  ADDRESS BYTES; the new master's public key on standard input, BYTES long.
# Output: bldr-answer / change made | change none / bldr-end
# Exit:   0; 65 the key came in short; 66 a setting that wins over this one stands in the way, said on standard error:
#         nothing was changed in both cases. Else it was interrupted in between, and is completed by running it again.
# Needs:  salt-settings.sh placing.sh minion-unit.sh

address=$1
config=/etc/salt/minion
[ ! -L "$config" ] || config=$(readlink -f -- "$config")
trusted=$(pki_dir minion)/minion_master.pub
work=$(mktemp -d)
stopped=
finish() {
    # A minion that went wrong half way is better up than down.
    [ -z "$stopped" ] || minion start 2>/dev/null || true
    rm -rf -- "$work"
}
trap finish EXIT
trap 'exit 129' HUP INT TERM

take_input "$work/key" "$2"

# Only the top-level "master:" and the list items below it are replaced; every other line stays, to the byte.
repointed() {
    tail=1
    [ -z "$(tail -c 1 -- "$1" | tr -d '\n')" ] || tail=0
    awk -v address="$address" -v tail="$tail" '
        function emit(text) { if (held) printf "%s\n", line; line = text; held = 1; last = NR }
        {
            bare = $0
            sub(/\r+$/, "", bare)
            if (bare ~ /^master:([ \t]|$)/) {
                dropping = 1
                if (!done) emit("master: " address substr($0, length(bare) + 1))
                done = 1
            } else if (!(dropping && (bare ~ /^[ \t]+[^ \t]/ || bare ~ /^- / || bare == "-"))) {
                dropping = 0
                emit($0)
            }
        }
        END {
            if (held) printf "%s", line
            if (held && (last < NR || tail + 0)) printf "\n"
            if (!done) {
                if (held && last == NR && !(tail + 0)) printf "\n"
                printf "master: %s\n", address
            }
        }' "$1"
}

key_body() {
    { grep -v '^-----' "$1" || true; } | tr -d ' \t\r\n'
}

for file in /etc/salt/minion.d/*.conf; do
    [ -f "$file" ] || continue
    other=$(setting_in master "$file")
    if [ "$other" != "$address" ] && grep -q '^master:' "$file"; then
        echo "bldr: $file sets 'master:' too, and wins over /etc/salt/minion; take that line out" >&2
        exit 66
    fi
done
if [ -n "$(salt_setting minion master_finger '')" ]; then
    echo "bldr: the minion's configuration pins a key with 'master_finger:'; take that line out, the key itself is placed" >&2
    exit 66
fi

same_master() { [ -f "$config" ] && [ "$(setting_in master "$config")" = "$address" ]; }
same_key() { [ -f "$trusted" ] && [ "$(key_body "$trusted")" = "$(key_body "$work/key")" ]; }
answer() {
    printf 'bldr-answer\nchange %s\nbldr-end\n' "$1"
}

# That mark, still there, may be all that tells of a minion that was stopped and never started again.
if same_master && same_key && ! marked repointing; then
    answer none
    exit 0
fi

mark repointing "$address"
# Marked first: killed anywhere after this, the node says that its highstate is due.
mark highstate-due "$address"
stopped=yes
minion stop
same_master || keep_backup "$config"
same_key || keep_backup "$trusted"

ensure_folder "$(dirname -- "$config")" 0755
new=$(beside "$config")
if [ -f "$config" ]; then
    repointed "$config" >"$new"
    chmod --reference="$config" -- "$new"
    chown --reference="$config" -- "$new"
else
    printf 'master: %s\n' "$address" >"$new"
    chmod 0644 -- "$new"
fi
same_master || settle "$config"
rm -f -- "$new"

ensure_folder "$(dirname -- "$trusted")" 0700
new=$(beside "$trusted")
cat -- "$work/key" >"$new"
chmod 0644 -- "$new"
chown root:root -- "$new"
settle "$trusted"

minion start
stopped=
unmark repointing
answer made
