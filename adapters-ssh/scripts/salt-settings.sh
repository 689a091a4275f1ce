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

# settings_in KEYS FILE...: the last value of each of these keys in these files, without quotes and comments, a line each. A file that
# says nothing of a key leaves what one before it said.
settings_in() {
    keys=$1
    shift
    awk -v keys="$keys" '
        BEGIN { count = split(keys, key, " ") }
        FNR == 1 { for (i = 1; i <= count; i++) { if (value[i] != "") found[i] = value[i]; value[i] = "" } }
        {
            for (i = 1; i <= count; i++) {
                if (index($0, key[i] ":") != 1) continue
                rest = substr($0, length(key[i]) + 2)
                sub(/[ \t\r]+$/, "", rest)
                if (rest != "" && rest !~ /^[ \t]/) continue
                sub(/^[ \t]+/, "", rest)
                quote = substr(rest, 1, 1)
                if (quote == "\"" || quote == "\047") {
                    inner = substr(rest, 2)
                    if (index(inner, quote)) { value[i] = substr(inner, 1, index(inner, quote) - 1); continue }
                }
                if (quote == "#") rest = ""
                if (index(rest, " #")) rest = substr(rest, 1, index(rest, " #") - 1)
                sub(/[ \t]+$/, "", rest)
                value[i] = rest
            }
        }
        END { for (i = 1; i <= count; i++) print value[i] != "" ? value[i] : found[i] }' /dev/null "$@"
}

# setting_in KEY FILE: the last value of KEY in a file.
setting_in() {
    settings_in "$1" "$2"
}

# salt_settings ROLE KEYS: what the configuration of salt-ROLE says, a line a key, empty where it says nothing.
salt_settings() {
    role=$1
    set -- "$2"
    for file in "/etc/salt/$role" "/etc/salt/$role.d"/*.conf; do
        [ ! -f "$file" ] || set -- "$@" "$file"
    done
    settings_in "$@"
}

# salt_setting ROLE KEY DEFAULT
salt_setting() {
    found=$(salt_settings "$1" "$2")
    printf '%s\n' "${found:-$3}"
}

# minion_id [SAID]: what the minion here shows its master; SAID is what its configuration says, if that is known.
minion_id() {
    found=${1-$(salt_setting minion id '')}
    [ -n "$found" ] || [ ! -s /etc/salt/minion_id ] || IFS= read -r found </etc/salt/minion_id || :
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
            IFS= read -r installed <"$library/salt/_version.txt" || :
            printf '%s\n' "$installed"
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
    framed "$1" "$2"
    printf '%s\n' "$frame"
}

# framed NAME TEXT: leaves it in $frame. What is told in one go is one packet on its way, and not many.
framed() {
    case $2 in
    '') frame="$1 absent" ;;
    *[!\ -~]*) frame="$1 is $(printf '%s\n' "$2" | base64 -w 0)" ;;
    # One plain line goes as it is: most answers are short, and a process takes longer than all else about them.
    *) frame="$1 says $2" ;;
    esac
}

# read_key: the text of a public key on standard input; $body is then what it has in common with any other text of the same key.
read_key() {
    body=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in -----*) ;; *) body=$body$line ;; esac
    done
    case $body in *[!!-~]*) body=$(printf '%s' "$body" | tr -d ' \t\r') ;; esac
}

# key_body FILE: the body of the key in it.
key_body() {
    read_key <"$1"
    printf '%s' "$body"
}

# pki_dir ROLE [SAID]: where salt-ROLE keeps its keys; SAID is what its configuration says, if that is known.
pki_dir() {
    folder=${2-$(salt_setting "$1" pki_dir '')}
    case ${folder:=/etc/salt/pki/$1} in
    /*) printf '%s\n' "$folder" ;;
    *) printf '/%s\n' "$folder" ;;
    esac
}
