# shellcheck shell=bash
# Shared by the scripts of this folder: where things are, and how they talk to a person.

vendor=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=vendor/manifest
. "$vendor/manifest"

# shellcheck disable=SC2034 # used by the scripts that source this file
{
    downloads=$vendor/download
    tree=$vendor/spdk
}

# What is not foreseen is at least not silent.
set -E
trap 'printf "vendor: error: %s failed in line %s\n" "$0" "$LINENO" >&2' ERR

say() { printf '%s\n' "vendor: $*"; }

# die MESSAGE REMEDY: what happened, then what to do about it.
die() {
    printf '\nvendor: error: %s\n' "$1" >&2
    [ $# -gt 1 ] && printf 'vendor: what to do: %s\n' "$2" >&2
    exit 1
}

free_megabytes() { df --output=avail -BM "$1" | tail -n 1 | tr -dc 0-9; }

# need_space DIR MEGABYTES: stops before a step that the disk cannot hold.
need_space() {
    local free
    free=$(free_megabytes "$1")
    [ "$free" -ge "$2" ] || die "$1 has $free MB free, this step needs $2 MB." \
        "free some space there, or move the checkout to a larger disk, and run the same command again."
}

# watch_step LABEL PID PROBE…: a progress line every second while PID runs (every ten seconds where
# nobody watches); PROBE prints what there is to say. Returns PID's exit status.
watch_step() {
    local label=$1 pid=$2 start=$SECONDS every=10 last=-10 text
    shift 2
    [ -t 1 ] && every=1
    while kill -0 "$pid" 2>/dev/null; do
        if [ $((SECONDS - last)) -ge "$every" ]; then
            last=$SECONDS
            text="$label: $((SECONDS - start)) s, $("$@" "$pid" 2>/dev/null || true)"
            if [ -t 1 ]; then printf '\r\033[K%s' "vendor: ${text:0:$((${COLUMNS:-100} - 10))}"; else say "$text"; fi
        fi
        sleep 0.2
    done
    [ -t 1 ] && printf '\r\033[K'
    wait "$pid"
}
