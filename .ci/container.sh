#!/usr/bin/env bash
# Builds the Dockerfile's `runtime` target around a binary, and runs the image as its own configuration says: its user, its
# command, a root that cannot be written, no capabilities, one volume. Its health check must be green at work, while slots are
# decided, and red when the node stands still. Its page is reached on this machine's 127.0.0.1, where a container's port is published, and
# its metrics are scraped under the node's name with the token; without the token there is neither. It adds at most 60 MB to its base.
#
# Usage: container.sh SENTINEL CACHE      (SENTINEL: built with the profile `dist`, as the Dockerfile does it; CACHE: a directory
# that may keep the base system between runs)
#
# Needs root, debootstrap, buildah, jq, procps, curl and util-linux. There is no registry and no daemon in it: the base is Debian's
# own, built by debootstrap and given the name that the Dockerfile asks for. It brings the certificates that the Dockerfile
# would install, so that the build itself asks no network. buildah's chroot isolation has neither a read-only
# root nor a process id to signal, so the image is mounted and entered with unshare.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/waiting.sh

readonly binary=$1 cache=$2
readonly base_tar=$cache/bookworm-minbase-certificates.tar
readonly dockerfile=deploy/docker/Dockerfile image=localhost/sentinel added_mb_max=60
# The container has this machine's network, so the port that the node listens on is the one that is published.
readonly port=$((20000 + RANDOM % 10000))

mkdir -p "$cache"
# Left by runs that were killed.
find "$cache" -mindepth 1 -maxdepth 1 -name 'container.*' -mmin +60 -exec rm -rf {} +
work=$(mktemp -d -p "$cache" container.XXXXXX)
node=0 job=0
buildah_() { buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"; }
clean_up() {
    ((node == 0)) || kill -KILL "$node" 2>/dev/null || true
    ((job == 0)) || wait "$job" 2>/dev/null || true
    buildah_ umount --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT

import_base() {
    if [[ ! -f $base_tar ]]; then
        debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" >"$work/debootstrap.log" 2>&1 || {
            tail -n 20 "$work/debootstrap.log" >&2
            return 1
        }
        tar -C "$work/base" -cf "$base_tar.part" .
        mv "$base_tar.part" "$base_tar"
        rm -rf "$work/base"
    fi
    local name container
    name=$(sed -n 's/^ARG BASE=//p' "$dockerfile")
    container=$(buildah_ from scratch)
    buildah_ add --quiet "$container" "$base_tar" / >/dev/null
    buildah_ commit --quiet --rm "$container" "$name" >/dev/null
}

build_image() {
    local container
    install -m 0755 "$binary" "$work/sentinel"
    container=$(buildah_ from scratch)
    buildah_ copy --quiet "$container" "$work/sentinel" /sentinel >/dev/null
    buildah_ commit --quiet --rm "$container" localhost/sentinel-binary >/dev/null
    buildah_ build --quiet --target runtime --isolation chroot --format docker --pull-never \
        --build-arg BINARY=localhost/sentinel-binary --file "$dockerfile" --tag "$image" . >/dev/null
    buildah_ inspect --type image "$image" | jq .Docker.config >"$work/config.json"
}

# bytes IMAGE: of all its files.
bytes() {
    local container root
    container=$(buildah_ from --pull-never "$1")
    root=$(buildah_ mount "$container")
    du --summarize --apparent-size --block-size=1 "$root" | cut -f1
    buildah_ rm "$container" >/dev/null
}

# The certificates, which the base brings here and Debian's own image does not, count as added.
measure_image() {
    local base added certificates
    base=$(bytes "$(sed -n 's/^ARG BASE=//p' "$dockerfile")")
    added=$((($(bytes "$image") - base) / 1000000))
    mkdir "$work/dpkg"
    tar -C "$work/dpkg" -xf "$base_tar" ./var/lib/dpkg
    certificates=$(dpkg-query --admindir="$work/dpkg/var/lib/dpkg" --show --showformat='${Installed-Size}\n' ca-certificates openssl libssl3 |
        awk '{ kib += $1 } END { print int(kib * 1024 / 1000000) }')
    echo "the image adds $added MB to its base, and $certificates MB of certificates with what they need"
    ((added + certificates < added_mb_max)) || fail "that is not below $added_mb_max MB"
}

configured() { jq -r "$1" "$work/config.json"; }

# What an operator mounts at /etc/sentinel: a local model and a replay that goes on for minutes.
write_configuration() {
    mkdir "$work/etc"
    cp config/demo/{eurusd_1h_2017.csv,model.onnx,model.json} "$work/etc"
    sed 's/^speed = "max"/speed = 20/' tests/data/local.toml >"$work/etc/sentinel.toml"
    grep -q '^speed = 20$' "$work/etc/sentinel.toml" || fail "the speed of tests/data/local.toml is written otherwise"
    chmod -R a+rX "$work/etc"
    printf '\n[http]\nlisten = "0.0.0.0:%s"\nhosts = ["localhost", "127.0.0.1", "sentinel"]\ntoken_file = "http.token"\n' "$port" \
        >>"$work/etc/sentinel.toml"
    (umask 077 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$work/etc/http.token")
    chown 10001:10001 "$work/etc/http.token"
}

# answers CODE ADDRESS CURL...: what is asked for on this machine's loopback is answered with this code.
answers() {
    local code=$1 path=$2 got
    shift 2
    got=$(curl --silent --max-time 10 --output "$work/answer" --write-out '%{http_code}' "$@" "http://127.0.0.1:$port$path" || true)
    [[ $got == "$code" ]] || {
        echo "$path: $got in place of $code: $(head -c 300 "$work/answer" 2>/dev/null)" >&2
        return 1
    }
}

# As a browser on the host asks for the page, and as a scraper beside the container asks for metrics.
look_at_page() {
    local token
    token=$(<"$work/etc/http.token")
    printf 'user = "operator:%s"\n' "$token" >"$work/browser"
    printf 'header = "Authorization: Bearer %s"\nheader = "Host: sentinel:9464"\n' "$token" >"$work/scraper"
    answers 401 /
    answers 200 / --config "$work/browser"
    grep -q '<html' "$work/answer" || fail "it shows no page"
    answers 200 /api/v1/status --config "$work/browser"
    grep -q '"verdict"' "$work/answer" || fail "it shows no verdict"
    answers 401 /metrics --header "Host: sentinel:9464"
    answers 200 /metrics --config "$work/scraper"
    grep -q '^sentinel_build_info' "$work/answer" || fail "there are no metrics"
    answers 200 /livez --config "$work/scraper"
    answers 404 / --config "$work/scraper"
    answers 421 /livez --header "Host: evil.example"
    if grep -qF "$token" "$work/log"; then fail "the token is in the log"; fi
}

# Runs inside fresh namespaces: mounts the image read-only, with its volume, and becomes the configured command.
enter='
    set -e
    root=$1 state=$2 etc=$3 volume=$4
    shift 4
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount --bind "$state" "$root$volume"
    mount --bind "$etc" "$root/etc/sentinel"
    mount -o remount,bind,ro "$root/etc/sentinel"
    mount -t tmpfs -o size=16m,mode=1777 tmpfs "$root/tmp"
    mount -t proc proc "$root/proc"
    exec chroot "$root" "$@"
'

# as_configured COMMAND...: how the image wants a command to be run, without any privilege; one word a line.
as_configured() {
    local user
    user=$(configured .User)
    printf '%s\n' setpriv "--reuid=${user%:*}" "--regid=${user#*:}" --clear-groups --no-new-privs --bounding-set=-all \
        --inh-caps=-all -- env -i "--chdir=$(configured .WorkingDir)"
    configured '.Env[]'
    printf '%s\n' "$@"
}

start() {
    local container root volume words
    container=$(buildah_ from --pull-never "$image")
    root=$(buildah_ mount "$container")
    volume=$(configured '.Volumes | keys[0]')
    # A new volume takes content and owner from the image.
    cp -a "$root$volume" "$work/state"
    mapfile -t words < <(configured '.Entrypoint[], .Cmd[]')
    mapfile -t words < <(as_configured "${words[@]}")
    unshare --mount --pid --fork --kill-child --propagation private \
        bash -c "$enter" enter "$root" "$work/state" "$work/etc" "$volume" "${words[@]}" >"$work/log" 2>&1 </dev/null &
    job=$!
    until_ok 10 "process" find_node
}

find_node() {
    kill -0 "$job" 2>/dev/null || fail "the container ended at once"
    node=$(pgrep -P "$job") && [[ $(readlink "/proc/$node/exe") == */sentinel ]]
}

# inside COMMAND...: runs a command in the container, as its user.
inside() {
    local words
    mapfile -t words < <(as_configured "$@")
    nsenter --target "$node" --mount --pid --root -- "${words[@]}"
}

is_healthy() {
    local check
    mapfile -t check < <(configured '.Healthcheck.Test[1:][]')
    inside "${check[@]}" >"$work/health" 2>&1
}
is_unhealthy() { ! is_healthy; }

# Green is worth nothing beside slots that nobody could decide.
has_decided() {
    inside /usr/local/bin/sentinel journal cycles --state "$(configured '.Volumes | keys[0]')" --last 20 --format json \
        >"$work/cycles" 2>&1 && grep -qE '"outcome":[[:space:]]*"(acted|no_action)"' "$work/cycles"
}

import_base
build_image
measure_image
[[ $(configured .User) == 10001:10001 ]] || fail "the image's user is $(configured .User)"
[[ $(configured .StopSignal) == SIGTERM ]] || fail "the image stops with $(configured .StopSignal)"
write_configuration
start
[[ $(inside id -u) == 10001 ]] || fail "it does not run as its user"
grep -q '^CapBnd:[[:space:]]*0*$' "/proc/$node/status" || fail "it has capabilities"
if inside touch /written 2>/dev/null; then fail "its root can be written"; fi

until_ok 60 "decided slot" has_decided
until_ok 60 "healthy node" is_healthy
echo "green: $(<"$work/health")"
look_at_page
echo "page and metrics are answered on 127.0.0.1 with the token, and not without"
kill -STOP "$node"
until_ok 60 "unhealthy node" is_unhealthy
echo "red:   $(<"$work/health")"
kill -CONT "$node"
until_ok 60 "healthy node again" is_healthy

kill -TERM "$node"
began=$SECONDS
wait "$job" || fail "it did not end in order: $?"
job=0 node=0
((SECONDS - began < 20)) || fail "it took $((SECONDS - began)) s to end"
echo "ended in order; the image runs as $(configured .User), read-only, without capabilities"
