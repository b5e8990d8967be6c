#!/usr/bin/env bash
# Follows docs/quick-start.md in a fresh Debian, from its first command to a page that answers. The commands and the configuration are taken
# from the guide alone, as they stand there and in their order. One is replaced: `cargo build --profile dist`, by the binary that it would
# build. Then it is looked whether the node is what the guide says: its user, its decisions, its page, and what supervisord does with it.
#
# Usage: guides.sh SENTINEL CACHE     (SENTINEL: built with the profile `dist`; CACHE: a directory that may keep the base system)
#
# Needs root, debootstrap, iproute2 and util-linux. The base system is Debian's smallest with the packages that the guide installs, and it
# is kept in CACHE. Inside there is no network, so that nothing but these packages and the repository can have helped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly binary=$1 cache=$2 guide=docs/quick-start.md
readonly build='cargo build --profile dist'

mkdir -p "$cache"
# Left by runs that were killed.
find "$cache" -mindepth 1 -maxdepth 1 -name 'guides.*' -mmin +60 -exec rm -rf {} +
work=$(mktemp -d -p "$cache" guides.XXXXXX)
trap 'rm -rf "$work"' EXIT
readonly work root=$work/root

fail() {
    echo "$1" >&2
    exit 1
}

# The guide as a script: its sh blocks, and each file that it says to save.
commands() {
    awk '
        /^```/ && kind == "sh" { kind = ""; next }
        /^```/ && kind == "file" { print "END_OF_FILE"; kind = ""; next }
        /^```sh$/ { kind = "sh"; next }
        /^```toml$/ {
            if (place == "") { print "the guide does not say where to save a file" > "/dev/stderr"; exit 1 }
            kind = "file"
            print "cat >" place " <<\"END_OF_FILE\""
            place = ""
            next
        }
        kind != "" { print; next }
        match($0, /^Save this as `[^`]+`:$/) { place = substr($0, 15, RLENGTH - 16) }
    ' "$guide"
}

# A fresh Debian with what the guide installs.
make_root() {
    local packages tar
    packages=$(sed -n 's/^apt-get install --yes //p' "$guide" | tr ' ' ',')
    [[ -n $packages ]] || fail "$guide installs no packages"
    tar=$cache/guides-bookworm-$(cksum <<<"$packages" | cut -d' ' -f1).tar
    if [[ ! -f $tar ]]; then
        debootstrap --variant=minbase --include="$packages" bookworm "$root" >"$work/debootstrap.log" 2>&1 || {
            tail -n 20 "$work/debootstrap.log" >&2
            return 1
        }
        tar -C "$root" -cf "$tar.part" .
        mv "$tar.part" "$tar"
    else
        mkdir "$root"
        tar -C "$root" -xf "$tar"
    fi
    if [[ -e $root/usr/bin/cargo ]]; then fail "the base system brings what the guide does not install"; fi
    mkdir "$root/srv/sentinel"
    git ls-files -z | tar --null --files-from=- -c | tar -x -C "$root/srv/sentinel"
    install -D -m 0755 "$binary" "$root/built/sentinel"
}

write_scripts() {
    commands >"$work/guide"
    grep -qxF "$build" "$work/guide" || fail "$guide does not build with '$build'"
    sed "s|^$build\$|install -D -m 0755 /built/sentinel target/dist/sentinel|" "$work/guide" >"$root/guide"
    cat >"$root/look" <<'LOOK'
# What the guide promises, after its last command.
until_ok() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || { echo "no $what in time" >&2; tail -n 20 /var/log/supervisor/* >&2; exit 1; }
        sleep 0.2
    done
}
pid() { supervisorctl pid sentinel; }
decided() {
    sentinel journal cycles --state /var/lib/sentinel --last 20 --format json | grep -qE '"outcome": ?"(acted|no_action)"'
}
answers() { curl --fail --silent --max-time 5 --output /dev/null http://127.0.0.1:9464/readyz; }
another() { [[ $(pid) != "$1" ]] && answers; }

until_ok 60 "decided slot" decided
until_ok 60 "verdict that it works" answers
curl --fail --silent http://127.0.0.1:9464/ | grep -q '<html' || { echo "it shows no page" >&2; exit 1; }
uid=$(awk '/^Uid:/ { print $2 }' "/proc/$(pid)/status")
[[ $uid == "$(id -u sentinel)" && $uid != 0 ]] || { echo "it runs as user $uid" >&2; exit 1; }
[[ $(stat -c '%U %a' /var/lib/sentinel) == "sentinel 700" ]] || { echo "others can read its state" >&2; exit 1; }
first=$(pid)
kill -KILL "$first"
until_ok 60 "node in the place of the killed one" another "$first"
supervisorctl stop sentinel
until_ok 10 "end in order" grep -q 'event=node_ended .*exit_code=0' /var/log/supervisor/sentinel.err.log
LOOK
}

# In namespaces of its own, so that everything ends with it and nothing is reached but the system itself.
readonly enter='
    set -e
    ip link set lo up
    mount --rbind /dev "$1/dev"
    mount -t proc proc "$1/proc"
    run() { chroot "$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C bash -c "$2"; }
    run "$1" "cd /srv/sentinel && set -euxo pipefail && . /guide" </dev/null
    run "$1" "set -euo pipefail && . /look" </dev/null
'

make_root
write_scripts
unshare --mount --pid --net --fork --kill-child --propagation private bash -c "$enter" enter "$root" >"$work/log" 2>&1 || {
    tail -n 60 "$work/log" >&2
    fail "$guide does not lead to a running service"
}
echo "the commands of $guide lead to a service under supervisord, whose page answers"
