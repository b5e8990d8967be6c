#!/usr/bin/env bash
# Makes the Debian package with `cargo deb` around the program that the profile `dist` has built, and lives with it in a fresh Debian: it is
# installed, a node is configured, armed and started on it, upgraded while it trades, removed, installed again and purged. The upgrade and
# the removal must lose no order, no arm and no line that the operator has written.
#
# Usage: debian.sh TARGET CARGO_DEB      (TARGET: cargo's target directory, with dist/sentinel in it; it also keeps the base system between
# runs. CARGO_DEB: the program cargo-deb)
#
# Needs root, debootstrap, dpkg-dev, lintian, git and util-linux. No systemd runs in it: a script in its place is told by the package what to
# restart and to stop, and does that with the unit's own command and user. Everything runs in namespaces that end with this script, so
# that no process and no mount is left.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $1 != inside ]]; then
    # Left by runs that were killed.
    find "$1" -mindepth 1 -maxdepth 1 -name 'debian.*' -mmin +60 -exec rm -rf {} +
    work=$(mktemp -d -p "$1" debian.XXXXXX)
    trap 'rm -rf --one-file-system "$work"' EXIT
    unshare --mount --pid --fork --kill-child --mount-proc --propagation private bash .ci/debian.sh inside "$work" "$@"
    exit
fi
source .ci/waiting.sh

readonly work=$2 target=$3 cargo_deb=$4
readonly root=$work/root
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
readonly base_tar=$target/$suite-minbase-sysusers.tar
readonly hub_port=$((20000 + RANDOM % 5000)) gateway_port=$((25000 + RANDOM % 5000))
readonly state=/var/lib/sentinel config=/etc/sentinel/sentinel.toml

# Byte for byte the same when it is made twice.
make_package() {
    local number
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
    export SOURCE_DATE_EPOCH
    for number in 1 2; do
        CARGO_TARGET_DIR=$target "$cargo_deb" --fast --quiet --no-build --locked --output "$work/made-$number.deb" >"$work/log" 2>&1 ||
            fail "cargo deb failed"
    done
    cmp "$work/made-1.deb" "$work/made-2.deb" || fail "the package is another one each time"
    version=$(dpkg-deb --field "$work/made-1.deb" Version)
    mv "$work/made-1.deb" "$work/sentinel.deb"
    [[ $(dpkg-parsechangelog --file deploy/debian/changelog --show-field Version) == "$version" ]] ||
        fail "deploy/debian/changelog does not begin with the version $version"
    echo "sentinel $version, $(($(stat -c %s "$work/sentinel.deb") / 1000)) kB: $(dpkg-deb --field "$work/sentinel.deb" Depends)"
}

judge_package() {
    lintian --fail-on error "$work/sentinel.deb" 2>"$work/log" || fail "lintian refuses the package"
}

# A package of a higher version, with another program (a byte more, which no program looks at) and another commented configuration.
make_next_package() {
    dpkg-deb --raw-extract "$work/sentinel.deb" "$work/next"
    sed -i 's/^Version: .*/Version: 99.0.0-1/' "$work/next/DEBIAN/control"
    echo >>"$work/next/usr/bin/sentinel"
    echo "# A key of the next version." >>"$work/next$config"
    dpkg-deb --root-owner-group -Znone --build "$work/next" "$work/next.deb" >/dev/null
}

make_root() {
    if [[ ! -f $base_tar ]]; then
        debootstrap --variant=minbase --include=systemd-standalone-sysusers "$suite" "$root" >"$work/log" 2>&1 || fail "debootstrap failed"
        tar -C "$root" -cf "$base_tar.part" .
        mv "$base_tar.part" "$base_tar"
    else
        mkdir "$root"
        tar -C "$root" -xf "$base_tar"
    fi
    mount -t proc proc "$root/proc"
    mkdir -p "$root/run/systemd/system" "$root/packages"
    mv "$work/sentinel.deb" "$work/next.deb" "$root/packages"
    install -m 0755 "$work/manager" "$root/usr/local/bin/systemctl"
}

# What stands in for systemd. It runs the one node; `restart` starts it also when it was down, as systemd does.
cat >"$work/manager" <<'MANAGER'
#!/bin/bash
echo "$*" >>/run/asked
pid() { [[ -f /run/node.pid ]] && kill -0 "$(</run/node.pid)" 2>/dev/null && cat /run/node.pid; }
stop() {
    local node
    node=$(pid) || return 0
    kill -TERM "$node"
    while kill -0 "$node" 2>/dev/null; do sleep 0.1; done
}
start() {
    local unit=/usr/lib/systemd/system/sentinel.service user words
    user=$(sed -n 's/^User=//p' "$unit")
    read -r -a words < <(sed -n 's/^ExecStart=//p' "$unit")
    cd "$(sed -n 's/^WorkingDirectory=-//p' "$unit")" || exit 1
    setsid setpriv --reuid="$user" --regid="$user" --init-groups env -i PATH="$PATH" RTEN_NUM_THREADS=1 "${words[@]}" --live \
        >>/run/node.log 2>&1 </dev/null &
    echo $! >/run/node.pid
}
for word; do [[ $word == -* ]] || break; done
case $word in
start | restart) stop; start ;;
try-restart) if pid >/dev/null; then stop; start; fi ;;
stop) stop ;;
esac
MANAGER

inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}
as_sentinel() { inside setpriv --reuid=sentinel --regid=sentinel --init-groups env --chdir=/ "$@"; }
# dpkg_ ARGUMENTS...: nobody is there to answer a question, so files that the operator has changed are kept.
dpkg_() { inside dpkg --force-confdef --force-confold "$@" >>"$work/log" 2>&1 </dev/null || fail "dpkg $* failed"; }
asked() { grep -qxF -- "$1" "$root/run/asked"; }
digest() { sha256sum "$root$1" | cut -d' ' -f1; }
node() { cat "$root/run/node.pid"; }
runs() { kill -0 "$(node)" 2>/dev/null; }
intents() { as_sentinel sentinel journal intents --state "$state" --format json 2>/dev/null | grep -o '"key":"[a-z0-9]*"' | sort; }
# more_intents_than NUMBER
more_intents_than() { (($(intents | wc -l) > $1)); }

# What an operator prepares: a configuration in place of the packaged one, with the files that it names, a hub and a paper gateway.
configure() {
    local file
    mkdir "$root/etc/sentinel/demo"
    cp config/demo/{eurusd_1h_2017.csv,model.onnx,model.json} "$root/etc/sentinel/demo"
    chmod -R a+rX "$root/etc/sentinel/demo"
    sed -e 's/^speed = 10$/speed = 20/' -e 's/^threshold = 0.6 /threshold = 0.45 /' -e "s/^port = 5001 /port = $hub_port /" \
        -e "s/^port = 5555 /port = $gateway_port /" config/local.toml >"$root$config"
    for file in 'speed = 20' 'threshold = 0.45' "port = $hub_port" "port = $gateway_port"; do
        grep -q "^$file" "$root$config" || fail "config/local.toml is written otherwise: there is no '$file'"
    done
    as_sentinel sentinel hub --model /etc/sentinel/demo/model.onnx --port "$hub_port" >"$work/hub" 2>&1 &
    as_sentinel sentinel gateway --paper --bars EURUSD=/etc/sentinel/demo/eurusd_1h_2017.csv --clock "EURUSD=$state/replay/eurusd.time" \
        --ledger /tmp/ledger.db --port "$gateway_port" >"$work/gateway" 2>&1 &
    until_ok 60 "hub" grep -q 'listening on' "$work/hub"
    until_ok 60 "gateway" grep -q 'listening on' "$work/gateway"
}

arm() {
    local identity
    # It ends with 1, because nothing is typed.
    as_sentinel sentinel arm --config "$config" --state "$state" >"$work/log" 2>&1 </dev/null || true
    identity=$(sed -n 's/.*Type \([a-z0-9-]*\) to arm.*/\1/p' "$work/log")
    as_sentinel sentinel arm --config "$config" --state "$state" --yes "$identity" >"$work/log" 2>&1 || fail "it cannot be armed"
}

check_installation() {
    [[ $(inside sentinel --version) == "sentinel ${version%-*} ("* ]] || fail "it is $(inside sentinel --version)"
    [[ $(inside stat -c '%U %G %a' "$state") == "sentinel sentinel 700" ]] || fail "the state is $(inside stat -c '%U %G %a' "$state")"
    inside dpkg-query --show --showformat '${Conffiles}' sentinel | grep -q " $config " || fail "$config is no conffile"
    [[ $(<"$root/run/asked") == "--system daemon-reload" ]] || fail "the installation has asked for more: $(<"$root/run/asked")"
    local code=0
    as_sentinel sentinel run --config "$config" --state "$state" >"$work/log" 2>&1 || code=$?
    ((code == 78)) || fail "a node starts without an operator: $code"
    inside bash -c 'source /usr/share/bash-completion/completions/sentinel && complete -p sentinel' >/dev/null || fail "bash completes nothing"
}

# kept WHEN: the operator's files and every order are as they were.
kept() {
    [[ $(digest "$config") == "$config_before" ]] || fail "$1 has changed the configuration"
    [[ $(digest "$state/arm.json") == "$arm_before" ]] || fail "$1 has changed the arm"
    [[ -f $root/etc/sentinel/demo/model.onnx ]] || fail "$1 has taken the operator's model"
    inside id sentinel >/dev/null || fail "$1 has taken the user"
}

upgrade_while_it_trades() {
    local first before lost
    first=$(node)
    before=$(intents)
    config_before=$(digest "$config") arm_before=$(digest "$state/arm.json")
    dpkg_ --install /packages/next.deb
    asked "try-restart sentinel.service sentinel@*.service" || fail "the upgrade restarts nothing: $(<"$root/run/asked")"
    [[ $(node) != "$first" ]] && runs || fail "the upgrade has not restarted the node: $(tail -n 5 "$root/run/node.log")"
    cmp "/proc/$(node)/exe" "$work/next/usr/bin/sentinel" || fail "the node runs an old program"
    kept "the upgrade"
    [[ -f $root$config.dpkg-dist ]] || fail "the new configuration is not beside the operator's"
    until_ok 60 "order after the upgrade" more_intents_than "$(wc -l <<<"$before")"
    lost=$(comm -23 <(echo "$before") <(intents))
    [[ -z $lost ]] || fail "the upgrade has lost $lost"
    echo "upgraded to $(inside dpkg-query --show --showformat '${Version}' sentinel) while it traded, and it went on: $(intents | wc -l) orders"
}

stays_down() {
    inside systemctl stop sentinel.service
    dpkg_ --install /packages/next.deb
    if runs; then fail "an upgrade starts a node that was stopped"; fi
}

proves() {
    as_sentinel sentinel prove --state "$state" --ledger /tmp/ledger.db >"$work/log" 2>&1 || fail "$1: journal and ledger disagree"
}

remove() {
    inside systemctl start sentinel.service
    until_ok 60 "node" as_sentinel sentinel health --live --state "$state" >/dev/null 2>&1
    dpkg_ --remove sentinel
    if runs; then fail "the node runs without its package"; fi
    for file in /usr/bin/sentinel /usr/lib/systemd/system/sentinel.service /usr/share/bash-completion/completions/sentinel; do
        [[ ! -e $root$file ]] || fail "the removal has left $file"
    done
    kept "the removal"
    dpkg_ --install /packages/next.deb
    proves "after removal and installation"
}

purge() {
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s /usr/lib/systemd/system/sentinel@.service "$root/etc/systemd/system/multi-user.target.wants/sentinel@fx.service"
    dpkg_ --purge sentinel
    [[ ! -e $root$config ]] || fail "the purge has left $config"
    [[ ! -L $root/etc/systemd/system/multi-user.target.wants/sentinel@fx.service ]] || fail "the purge has left a link to a unit"
    [[ -f $root$state/journal.db && $(digest "$state/arm.json") == "$arm_before" ]] || fail "the purge has taken the state"
    inside id sentinel >/dev/null || fail "the purge has taken the owner of the state"
    grep -q "$state is left" "$work/log" || fail "the purge does not say what it leaves"
}

make_package
judge_package
make_next_package
make_root
dpkg_ --install /packages/sentinel.deb
check_installation
configure
arm
inside systemctl start sentinel.service
until_ok 90 "order" more_intents_than 2
upgrade_while_it_trades
stays_down
proves "after the upgrade"
remove
purge
echo "installed, upgraded, removed, installed again and purged: no order, no arm and no line of the operator is lost"
