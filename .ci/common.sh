# What .ci/run and .ci/nightly share: where artefacts go, and how a step is told and timed. Sourced in the root of the clone.

export PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 CARGO_NET_RETRY=5
readonly cache_gb_max=30

current="the beginning"
began_step=0
report_end() {
    local code=$?
    if ((code == 0)); then
        echo "== all passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
    else
        echo "== FAILED in '$current' after $((SECONDS - began_step)) s, $((SECONDS / 60)) min in all (exit $code)"
    fi
}
trap report_end EXIT

# step NAME COMMAND...: runs it and says how long it took. Never call it in a condition, which would switch off `set -e`.
step() {
    current=$1 began_step=$SECONDS
    shift
    echo
    echo "== $current"
    "$@"
    echo "-- $((SECONDS - began_step)) s: $current"
}

choose_target() {
    local cache="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sentinel-ci"
    if [[ -n ${SENTINEL_CI_TARGET:-} ]]; then
        export CARGO_TARGET_DIR=$SENTINEL_CI_TARGET
    elif mkdir -p "$cache" 2>/dev/null && [[ -w $cache ]]; then
        local gb
        gb=$(du -s --block-size=1G "$cache" | cut -f1)
        if ((gb > cache_gb_max)); then
            echo "the cache has grown to $gb GB and is emptied"
            rm -rf "${cache:?}"/*
        fi
        export CARGO_TARGET_DIR=$cache
    else
        export CARGO_TARGET_DIR=$PWD/target
    fi
    mkdir -p "$CARGO_TARGET_DIR"
    echo "artefacts: $CARGO_TARGET_DIR"
}

# What judges the gateway beside MetaTrader 5. Counted up when a version changes.
readonly gateway_version=1 gateway_packages=(pyzmq==27.3.0 mypy==2.4.1 pytest==9.2.0 ruff==0.17.6)

# install_gateway_venv DIRECTORY: an environment of its own, so that it shares no version with what the node is tested with.
install_gateway_venv() {
    if [[ ! -f $1/complete-$gateway_version ]]; then
        rm -rf "$1"
        python3 -m venv "$1"
        "$1/bin/pip" install --quiet --disable-pip-version-check "${gateway_packages[@]}"
        touch "$1/complete-$gateway_version"
    fi
}
