# What the scripts share that try the program in a root of its own: they wait for what has to come, and end when it does not. Sourced; `work`
# is their own directory.

fail() {
    echo "$1" >&2
    [[ ! -f $work/log ]] || tail -n 30 "$work/log" >&2
    exit 1
}

# until_ok SECONDS WHAT COMMAND...: repeats a command until it succeeds.
until_ok() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || fail "no $what in time"
        sleep 0.2
    done
}
