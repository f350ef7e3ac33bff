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
trap 'printf "%s: error: %s failed in line %s\n" "$speaker" "$0" "$LINENO" >&2' ERR

# Who talks; a script elsewhere that sources this file sets its own name first.
speaker=${speaker:-vendor}

say() { printf '%s\n' "$speaker: $*"; }

# die MESSAGE REMEDY: what happened, then what to do about it.
die() {
    printf '\n%s: error: %s\n' "$speaker" "$1" >&2
    [ $# -gt 1 ] && printf '%s: what to do: %s\n' "$speaker" "$2" >&2
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
            if [ -t 1 ]; then printf '\r\033[K%s' "$speaker: ${text:0:$((${COLUMNS:-100} - 10))}"; else say "$text"; fi
        fi
        sleep 0.2
    done
    [ -t 1 ] && printf '\r\033[K'
    wait "$pid"
}

# The machine's own Debian mirror, so that proxies and local mirrors are honoured.
debian_mirror() {
    # shellcheck disable=SC2016 # apt expands these, not the shell
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 2>/dev/null |
        awk '$1 !~ /security/ && ($2 == "Debian" || $2 == "") { print $1; exit }'
}

# private_apt DIR TOOL ARGUMENT…: apt with DIR/sources.list and its state in DIR: needs no root and changes nothing
# on the machine.
private_apt() {
    local dir=$1 tool=$2
    shift 2
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    "$tool" -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=2 "$@"
}
