#!/usr/bin/env bash
# Instructions of whole processes, which are the same on a busy machine: start-up, a pass without a change, 10 converged.
#
#   benches/instructions.sh [FILES…]        500 5000 if not told otherwise
#
# Counted by callgrind (Debian package valgrind); says so and does nothing where that is not installed. Calls that
# callgrind does not know fail under it, so that packfleet goes the longer ways that it has for old kernels: compare
# counts with counts. Works in a temporary directory that it removes. $PACKFLEET and $LIMIT may name
# binaries instead of those that it would build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

if ! command -v valgrind >/dev/null; then
    echo "instructions.sh: valgrind is not installed (Debian package valgrind): nothing is counted"
    exit 0
fi
packfleet=${PACKFLEET:-} limit=${LIMIT:-}
if [[ -z $packfleet || -z $limit ]]; then
    built=$(cargo build --quiet --locked --release --bin packfleet --bench limit --message-format=json)
    executable() {
        sed -n "s/.*\"name\":\"$1\".*\"executable\":\"\([^\"]*\)\".*/\1/p" <<<"$built" | tail -n 1
    }
    packfleet=${packfleet:-$(executable packfleet)}
    limit=${limit:-$(executable limit)}
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/packfleet-instructions.XXXXXX")
trap 'rm -rf "$work"' EXIT
export HOME=$work/home XDG_CACHE_HOME=$work/cache GIT_CONFIG_NOSYSTEM=1
mkdir "$HOME"
git config --global user.name count
git config --global user.email count@example.org

# count TITLE ARGUMENT…
count() {
    local title=$1 counted
    shift
    if ! valgrind --tool=callgrind --callgrind-out-file=/dev/null "$packfleet" "$@" >"$work/said" 2>"$work/counted"; then
        cat "$work/said" "$work/counted" >&2
        echo "instructions.sh: $title failed" >&2
        exit 1
    fi
    counted=$(sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p' "$work/counted")
    printf '%-36s %13d instructions\n' "$title" "$counted"
}

(($# > 0)) || set -- 500 5000
count "start-up" --version
for files in "$@"; do
    at=$work/$files
    mkdir -p "$at/root"
    "$limit" generate "${files}x$(((files + 49) / 50))" "$at/repository/pack"
    git init -q "$at/repository"
    git -C "$at/repository" add .
    git -C "$at/repository" commit -qm one
    git -C "$at/repository" tag v1.0.0
    cat >"$at/fleet.toml" <<END
[fleet]
name = "count"
edits = { changed = "revert" }
[sources.s]
url = "$at/repository"
[packs.p]
source = "s"
dir = "pack"
target = "p"
[deployments.d]
host = "local"
root = "$at/root"
packs.p = { version = "1" }
END
    "$packfleet" -f "$at/fleet.toml" apply --yes >/dev/null
    sleep 0.1
    count "$files files, no change" -f "$at/fleet.toml" apply --yes
    count "$files files, every byte" -f "$at/fleet.toml" apply --yes --full-rehash
    "$limit" touch 10 $((files / 10)) "$at/root/p"
    count "$files files, converge 10" -f "$at/fleet.toml" apply --yes
    rm -rf "$at"
done
