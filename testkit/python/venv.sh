#!/usr/bin/env bash
# Where is the Python the tests need? Makes it once (BLDR_VENV, or .build/venv at the top), prints its folder on stdout.
#
#   venv.sh [REQUIREMENTS FOLDER]    another one, of these packages, in this folder
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$here/../.." && pwd -P)
requirements=${1:-$here/requirements.txt}
venv=${2:-${BLDR_VENV:-$top/.build/venv}}
wanted=$(sha256sum "$requirements" | cut -d' ' -f1)
stamp=$venv/requirements.sha256

mkdir -p "$(dirname "$venv")"
# Several test runs may come here at the same time.
exec 9>"$venv.lock"
flock 9
if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
    if ! command -v python3 >/dev/null; then
        echo "venv.sh: python3 is missing; with apt: apt-get install python3 python3-venv" >&2
        exit 1
    fi
    echo "venv.sh: making $venv" >&2
    rm -rf "$venv"
    if ! python3 -m venv "$venv" >&2; then
        echo "venv.sh: python3 cannot make a venv; with apt: apt-get install python3-venv" >&2
        exit 1
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements" >&2
    # Last, so that an interrupted run is made anew.
    echo "$wanted" >"$stamp"
fi
echo "$venv"
