#!/usr/bin/env bash
# What does re-mastering 200 hosts cost bldr, beside Ansible, parallel-ssh and ssh? Builds and installs what it takes, runs all of them on
# this machine, and prints a table. As root, on Debian or Ubuntu; it takes a quarter of an hour on two cores that do nothing else.
#
#   testkit/bench/hosts.sh [HOSTS] [ROUNDS] [CONTENDER...]     200 hosts, one round, all contenders
#
# Every host is a namespace with an OpenSSH server of its own, in a lab that ends with this. The versions of Ansible and
# parallel-ssh are in requirements.txt beside this file, `ssh` is the system's; what is installed goes to .build/bench at the top.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$here/../.." && pwd -P)
case ${1:-} in
    -h | --help)
        sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit
        ;;
esac
hosts=${1:-200}
rounds=${2:-1}
shift $(($# < 2 ? $# : 2))

cd "$top"
tools=$(testkit/python/venv.sh "$here/requirements.txt" "$top/.build/bench")
BLDR_VENV=$(testkit/python/venv.sh)
export BLDR_VENV
# As `./bldr` builds it for those who use it.
./bldr --version >&2
cargo build --locked --quiet -p bldr-testkit --features lab --example bench_hosts
exec "${CARGO_TARGET_DIR:-target}/debug/examples/bench_hosts" "${CARGO_TARGET_DIR:-target}/release/bldr" "$tools" "$hosts" "$rounds" "$@"
