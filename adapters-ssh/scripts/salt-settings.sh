#!/bin/sh
# Where do Salt's settings stand, and what do they say? Put in front of the scripts that need to know.
#
# Input:  nothing; this file only defines functions.
# Output: nothing.
# Exit:   never by itself.
#
# /etc/salt/MINION-OR-MASTER is YAML, and *.conf files in the folder beside it win over it, the last one most. Only
# top-level keys with a value on their line are read: that is how these settings are written.
set -eu
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/saltstack/salt
export LC_ALL PATH

# setting_in KEY FILE...: the last value of KEY in these files, without quotes and comments.
setting_in() {
    key=$1
    shift
    awk -v key="$key" '
        index($0, key ":") == 1 {
            rest = substr($0, length(key) + 2)
            sub(/[ \t\r]+$/, "", rest)
            if (rest != "" && rest !~ /^[ \t]/) next
            sub(/^[ \t]+/, "", rest)
            quote = substr(rest, 1, 1)
            if (quote == "\"" || quote == "\047") {
                inner = substr(rest, 2)
                if (index(inner, quote)) { value = substr(inner, 1, index(inner, quote) - 1); next }
            }
            if (quote == "#") rest = ""
            if (index(rest, " #")) rest = substr(rest, 1, index(rest, " #") - 1)
            sub(/[ \t]+$/, "", rest)
            value = rest
        }
        END { print value }' /dev/null "$@"
}

# salt_files ROLE: the files that make up the configuration of salt-ROLE, one a line, in the order they are read.
salt_files() {
    for file in "/etc/salt/$1" "/etc/salt/$1.d"/*.conf; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done
}

# salt_setting ROLE KEY DEFAULT
salt_setting() {
    found=
    # The names of Salt's configuration files are Salt's own or a package's; a line break in one is not supported.
    while IFS= read -r file; do
        said=$(setting_in "$2" "$file")
        [ -z "$said" ] || found=$said
    done <<FILES
$(salt_files "$1")
FILES
    printf '%s\n' "${found:-$3}"
}

# minion_id: what the minion here shows its master.
minion_id() {
    found=$(salt_setting minion id '')
    [ -n "$found" ] || [ ! -s /etc/salt/minion_id ] || found=$(head -n 1 /etc/salt/minion_id)
    [ -n "$found" ] || found=$(hostname -f 2>/dev/null || hostname)
    printf '%s\n' "$found"
}

# plain_id ID: whether it is a name and nothing else: not a path, not a pattern, not a list.
plain_id() {
    case $1 in
    '' | .* | *[!A-Za-z0-9._-]*) return 1 ;;
    esac
}

# salt_version PROGRAM: what PROGRAM --version says; nothing where there is no such program.
salt_version() {
    # Where Salt writes it down, that is read: starting Salt takes a second of processor time.
    for library in /opt/saltstack/salt/lib/python3*/site-packages; do
        if [ -s "$library/salt/_version.txt" ]; then
            head -n 1 "$library/salt/_version.txt"
            return
        fi
        for installed in "$library"/salt-[0-9]*.dist-info; do
            [ -d "$installed" ] || continue
            installed=${installed##*/salt-}
            printf '%s\n' "${installed%.dist-info}"
            return
        done
    done
    timeout 20 "$1" --version 2>/dev/null </dev/null || true
}

# say NAME TEXT: a frame of an answer; absent where there is no text.
say() {
    if [ -n "$2" ]; then
        printf '%s is %s\n' "$1" "$(printf '%s\n' "$2" | base64 -w 0)"
    else
        printf '%s absent\n' "$1"
    fi
}

# key_body FILE: what two files of the same public key have in common.
key_body() {
    { grep -v '^-----' "$1" || true; } | tr -d ' \t\r\n'
}

# pki_dir ROLE: where salt-ROLE keeps its keys.
pki_dir() {
    folder=$(salt_setting "$1" pki_dir "/etc/salt/pki/$1")
    case $folder in
    /*) printf '%s\n' "$folder" ;;
    *) printf '/%s\n' "$folder" ;;
    esac
}
