#!/usr/bin/env bash
# Does everything still work? Installs what the tests need, then runs all of them. Ends with 0 only if all passed.
#
#   ./test.sh                 everything
#   ./test.sh --without-lab   less the lab, which needs root and network namespaces
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

lab=yes
for arg in "$@"; do
    case $arg in
        --without-lab) lab=no ;;
        *)
            sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
    esac
done

say() { printf '\n== %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null; }

# Never in the way of the operator's own: snapshots are compared and not rewritten, nobody's AWS, agent or settings are used.
export INSTA_UPDATE=no
unset BLDR_HOME SSH_AUTH_SOCK AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_ENDPOINT_URL
export PATH="$PATH:/usr/sbin:/sbin"

install_packages() {
    local missing=() row program package
    local programs=(cc:build-essential pkg-config:pkg-config git:git shellcheck:shellcheck ssh:openssh-client python3:python3 script:bsdutils)
    if [[ $lab == yes ]]; then
        programs+=(sshd:openssh-server sudo:sudo ip:iproute2 unshare:util-linux pkill:procps)
        programs+=(systemd-nspawn:systemd-container mmdebstrap:mmdebstrap faketime:faketime)
        [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
    fi
    for row in "${programs[@]}"; do
        program=${row%%:*} package=${row#*:}
        has "$program" || missing+=("$package")
    done
    # Both are linked by the SSH library.
    for package in libsodium libssl; do
        has pkg-config && pkg-config --exists "$package" || missing+=("$package-dev")
    done
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    ((${#missing[@]})) || return 0

    if ! has apt-get || [[ $EUID != 0 ]]; then
        echo "test.sh: missing: ${missing[*]}; install them (as root: apt-get install ${missing[*]}) and run this again" >&2
        exit 1
    fi
    say "installing ${missing[*]}"
    # Packages with daemons would start them; the tests start their own, elsewhere.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    rm -f "$policy"
    trap - EXIT
}

# A minimal toolchain has neither.
if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    rustup component add rustfmt clippy
fi

# Of what is compiled for the first time nothing is kept for a second time: that would be gigabytes, and takes longer.
[[ -e ${CARGO_TARGET_DIR:-target}/debug ]] || export CARGO_INCREMENTAL=0

failed=()
# Runs all of them: who fixes one wants to know of the others.
part() {
    local title=$1
    shift
    say "$title"
    "$@" || failed+=("$title")
}

shell_scripts() {
    local scripts
    mapfile -t scripts < <(git ls-files -- '*.sh' bldr .ci/run testkit/lab/systemctl testkit/lab/salt-call testkit/lab/cloud/cloud-init)
    shellcheck --external-sources "${scripts[@]}"
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --quiet
}

# What is still there of a command that has ended: processes, in a process namespace that is only for that (zombies do not
# count), and files, in a folder that is.
nothing_is_left() {
    TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/bldr-test.XXXXXX")
    export TMPDIR
    "$@"
    local code=$? process args left
    # What was just killed takes a moment to be gone.
    for _ in {1..25}; do
        left=()
        for process in /proc/[0-9]*; do
            [[ $process != /proc/1 ]] || continue
            { mapfile -d '' -t args <"$process/cmdline"; } 2>/dev/null || continue
            ((${#args[@]} == 0)) || left+=("${args[*]}")
        done
        mapfile -t -O "${#left[@]}" left < <(ls -A "$TMPDIR")
        ((${#left[@]})) || break
        sleep 0.2
    done
    rm -rf "$TMPDIR"
    ((${#left[@]})) || return "$code"
    printf 'left behind: %s\n' "${left[@]}" >&2
    return 1
}
export -f nothing_is_left

# Runs a command where whatever it leaves behind is seen, and ends with it; that needs root.
contained() {
    if unshare --mount --pid --fork --mount-proc true 2>/dev/null; then
        unshare --mount --pid --fork --kill-child --mount-proc bash -c 'nothing_is_left "$@"' contained "$@"
    else
        "$@"
    fi
}

install_packages
if ! has cargo; then
    echo "test.sh: cargo is missing; install Rust from https://rustup.rs and run this again" >&2
    exit 1
fi
if ! has cargo-nextest; then
    say "installing cargo-nextest"
    cargo install --locked cargo-nextest
    PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
fi
say "the Python of the tests"
BLDR_VENV=$(testkit/python/venv.sh)
export BLDR_VENV

if [[ $lab == yes ]] && ! { [[ $EUID == 0 ]] && unshare --net --mount --uts --pid --fork true 2>/dev/null; }; then
    failed+=("the lab: it needs root and namespaces; run this as root, or with --without-lab")
    lab=no
fi
if [[ $lab == yes ]]; then
    say "the Debian of the lab's booted hosts"
    BLDR_TREE=$(testkit/lab/tree.sh)
    export BLDR_TREE
fi
tests=(--workspace --all-features)
[[ $lab == yes ]] || tests+=(-E 'not binary(/^(lab|fleet_on)_/)')

part "format" cargo fmt --all --check
part "shell scripts" shell_scripts
part "lints" cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
part "documentation" documentation
part "tests" contained cargo nextest run "${tests[@]}"
part "examples in the documentation" cargo test --workspace --all-features --doc --quiet
if has cargo-deny; then
    part "dependencies" cargo deny --all-features check
fi

if ((${#failed[@]})); then
    say "FAILED"
    printf '  %s\n' "${failed[@]}" >&2
    exit 1
fi
say "all passed"
