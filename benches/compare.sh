#!/usr/bin/env bash
# Whole processes: packfleet against what the kernel alone costs, and against its peers, as ratios.
#
#   benches/compare.sh [--quick | --smoke] [ROW…]      W2 of 100,000 files, of 10,000, of 200; rows: w1 w2 w3 w4 growth start
#
# Builds packfleet, `benches/limit.rs` (the limit, and the trees) and `benches/race.rs` (the clock), makes the workloads in
# a temporary directory (below $TMPDIR; about 8 GB without --quick), runs what belongs together interleaved with a warm
# cache, takes the median of $ROUNDS rounds (5), prints a table, and removes the directory. Installs nothing: a peer that
# is not there is named with its Debian package. $PACKFLEET, $LIMIT and $RACE may name binaries instead of those that it would build.
# Times are milliseconds; a goal stands in brackets, and `!` behind what misses it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

scale=full
rows=()
for word in "$@"; do
    case $word in
        --quick) scale=quick ;;
        --smoke) scale=smoke ;;
        w1 | w2 | w3 | w4 | growth | start) rows+=("$word") ;;
        *)
            echo "compare.sh: $word is neither --quick, --smoke nor a row: see its head" >&2
            exit 64
            ;;
    esac
done
((${#rows[@]} > 0)) || rows=(start w1 w2 w3 w4 growth)
case $scale in
    full) w2=w2 w2_files=100000 w3=w3 hosts=100 rounds=5 many=1000 growth=(1000x20 10000x200 100000x2000) ;;
    quick) w2=10000x200 w2_files=10000 w3=16x1x8388608 hosts=20 rounds=5 many=1000 growth=(1000x20 10000x200) ;;
    smoke) w2=200x10 w2_files=200 w3=2x1x1048576 hosts=4 rounds=1 many=50 growth=(200x10) ;;
esac
rounds=${ROUNDS:-$rounds}

# Programs of our own. A smoke test takes what `cargo test` has built.
packfleet=${PACKFLEET:-} limit=${LIMIT:-} race=${RACE:-}
if [[ -z $packfleet || -z $limit || -z $race ]]; then
    profile=(--release)
    [[ $scale != smoke ]] || profile=()
    built=$(cargo build --quiet --locked "${profile[@]}" --bin packfleet --bench limit --bench race --message-format=json)
    executable() {
        sed -n "s/.*\"name\":\"$1\".*\"executable\":\"\([^\"]*\)\".*/\1/p" <<<"$built" | tail -n 1
    }
    packfleet=${packfleet:-$(executable packfleet)}
    limit=${limit:-$(executable limit)}
    race=${race:-$(executable race)}
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/packfleet-compare.XXXXXX")
shm=
trap 'rm -rf "$work" ${shm:+"$shm"}' EXIT
# Nobody's settings count, and nobody's cache is filled.
export HOME=$work/home XDG_CACHE_HOME=$work/cache GIT_CONFIG_NOSYSTEM=1 TMPDIR=$work
mkdir "$HOME"
git config --global user.name compare
git config --global user.email compare@example.org
git config --global init.defaultBranch main
git config --global gc.auto 0

say() {
    printf '%s\n' "compare.sh: $*" >&2
}

missing=()
have() {
    command -v "$1" >/dev/null && return
    [[ " ${missing[*]-} " == *" $1 "* ]] || missing+=("$1")
    return 1
}

# A group of commands that run interleaved, and one line of the table.
begin() {
    title=$1 limit_goal=$2 memory_goal=$3
    : >"$work/commands"
    declare -gA goals=()
}
# contender NAME GOAL CODES BEFORE PROGRAM [ARGUMENT…]
contender() {
    goals[$1]=$2
    (IFS=$'\t' && printf '%s\n' "$1"$'\t'"$3"$'\t'"$4"$'\t'"${*:5}") >>"$work/commands"
}
finish() {
    local name median memory pairs=()
    "$race" "$rounds" <"$work/commands" >"$work/times"
    say "$title"
    sed 's/^/    /' "$work/times" >&2
    while IFS=$'\t' read -r name median _ _ memory; do
        pairs+=("$name" "$median" "$memory" "${goals[$name]}")
    done <"$work/times"
    awk -v title="$title" -v limit_goal="$limit_goal" -v memory_goal="$memory_goal" -v count="${#pairs[@]}" '
        function ratio(value, goal) {
            shown = sprintf(value < 0.095 ? "%.3f" : "%.2f", value)
            return goal == "" ? shown : shown (value > goal + 0.005 * goal ? "!" : "") " (" goal ")"
        }
        BEGIN {
            for (at = 1; at < count; at += 4) {
                name = ARGV[at]
                time[name] = ARGV[at + 1]
                if (at == 1) { own = name; memory = ARGV[at + 2] / 1024 }
                else if (name == "limit") goal[name] = limit_goal
                else { peers[++number] = name; goal[name] = ARGV[at + 3] }
            }
            against = ("limit" in time) ? ratio(time[own] / time["limit"], limit_goal) : ""
            for (at = 1; at <= number; at++) {
                name = peers[at]
                list = list (at > 1 ? ", " : "") name " " sprintf("%.1f", time[name]) ": " ratio(time[own] / time[name], goal[name])
            }
            kept = memory_goal == "" ? "" : (memory > memory_goal ? "!" : "") " (" memory_goal ")"
            printf "| %s | %.1f | %s | %s | %s | %.0f%s |\n", title, time[own], \
                ("limit" in time) ? sprintf("%.1f", time["limit"]) : "", against, list, memory, kept
        }' "${pairs[@]}" >>"$work/table"
}

# A repository with the tree as its pack, tagged; fleets are to take it from there.
repository() {
    git init -q "$1"
    cp -a "$2" "$1/pack"
    git -C "$1" -c core.compression=0 -c core.looseCompression=0 add .
    git -C "$1" commit -qm one
    git -C "$1" tag v1.0.0
}
# fleet FILE REPOSITORY CHANGED DEPLOYMENTS…: each line of what follows is one deployment's name and root
fleet() {
    local file=$1 repository=$2 changed=$3 name root
    {
        printf '[fleet]\nname = "compare"\nedits = { changed = "%s" }\n' "$changed"
        printf '[limits]\nbytes = "8GiB"\nentries = 1_000_000\n[budget]\nmax_change = "100%%"\nmax_delete = "100%%"\n'
        printf '[sources.s]\nurl = "%s"\n[packs.p]\nsource = "s"\ndir = "pack"\ntarget = "p"\n' "$repository"
        while read -r name root; do
            printf '[deployments."%s"]\nhost = "local"\nroot = "%s"\npacks.p = { version = "1" }\n' "$name" "$root"
        done
    } >"$file"
}
apply() {
    "$packfleet" -f "$1" apply --yes >/dev/null
}
# What was fast must be right as well.
holds() {
    diff -rq "$1" "$2" >&2 || {
        say "packfleet left something else than the pack"
        exit 1
    }
}

start_up() {
    begin "start-up (\`--version\`)" "" ""
    contender packfleet "" 0 "" "$packfleet" --version
    contender "a program that does nothing" "" 0 "" "$limit"
    contender "git --version" "" 0 "" git --version
    finish
}

w1() {
    local at=$work/w1
    "$limit" generate w1 "$at/gen"
    cp -a "$at/gen" "$at/copy"
    repository "$at/repository" "$at/gen"
    mkdir -p "$at/root"
    fleet "$at/fleet.toml" "$at/repository" merge <<<"d $at/root"
    apply "$at/fleet.toml"
    begin "W1, every byte" 1.8 ""
    contender packfleet "" 0 "" "$packfleet" -f "$at/fleet.toml" apply --yes --full-rehash
    contender limit "" 0 "" "$limit" hash "$at/copy"
    contender "diff -rq" "" 0 "" diff -rq "$at/gen" "$at/copy"
    contender "git status" "" 0 "" git -C "$at/repository" status --porcelain
    if have b3sum; then
        (cd "$at/copy" && find . -type f -print0 | xargs -0 b3sum) >"$at/sums"
        contender "b3sum --check" "" 0 "" env -C "$at/copy" b3sum --quiet --check "$at/sums"
    fi
    if have mtree; then
        mtree -c -k type,size,sha256,mode -p "$at/copy" >"$at/mtree"
        contender mtree 1.0 0 "" mtree -f "$at/mtree" -p "$at/copy"
    fi
    if have rsync; then
        contender "rsync -nc" "" 0 "" rsync -anc --delete "$at/gen/" "$at/copy/"
    fi
    finish
    rm -rf "$at"
}

w2() {
    local at=$work/w2 number step
    "$limit" generate "$w2" "$at/gen"
    cp -a "$at/gen" "$at/copy"
    repository "$at/plain" "$at/gen"
    git clone -q --no-hardlinks "$at/plain" "$at/tuned"
    git -C "$at/tuned" config feature.manyFiles true
    git -C "$at/tuned" config core.untrackedCache true
    git -C "$at/tuned" update-index --untracked-cache --index-version 4 2>/dev/null || say "git has no untracked cache here"
    git -C "$at/tuned" status --porcelain
    mkdir -p "$at/root"
    fleet "$at/fleet.toml" "$at/plain" revert <<<"d $at/root"
    apply "$at/fleet.toml"
    sync
    # Inodes that are older than a clock tick are believed.
    sleep 0.1
    local pass=("$packfleet" -f "$at/fleet.toml" apply --yes)

    begin "W2 no change, stat cache" 1.1 25
    contender packfleet "" 0 "" "${pass[@]}"
    contender limit "" 0 "" "$limit" stat "$at/copy"
    contender "git status tuned" 1.0 0 "" git -C "$at/tuned" status --porcelain
    contender "git status" "" 0 "" git -C "$at/plain" status --porcelain
    if have rsync; then
        contender "rsync -n" "" 0 "" rsync -an --delete "$at/gen/" "$at/copy/"
    fi
    finish

    begin "W2 every byte" 1.35 ""
    contender packfleet "" 0 "" "${pass[@]}" --full-rehash
    contender limit "" 0 "" "$limit" hash "$at/copy"
    if have b3sum; then
        (cd "$at/copy" && find . -type f -print0 | xargs -0 b3sum) >"$at/sums"
        contender "b3sum --check" 0.6 0 "" env -C "$at/copy" b3sum --quiet --check "$at/sums"
    fi
    if have rsync; then
        contender "rsync -nc" 0.4 0 "" rsync -anc --delete "$at/gen/" "$at/copy/"
    fi
    contender "diff -rq" "" 0 "" diff -rq "$at/gen" "$at/copy"
    finish

    for number in 10 "$many"; do
        step=$((w2_files / number))
        local touch="'$limit' touch $number $step"
        if ((number == 10)); then begin "W2 converge 10, durable" 1.4 64; else begin "W2 converge $number, durable" 2.3 64; fi
        contender packfleet "" 0 "rm -rf '$at/root/.packfleet/edits'; $touch '$at/root/p'" "${pass[@]}"
        contender limit "" 0 "" "$limit" converge "$number" "$at/copy"
        contender "git reset tuned" "$( ((number == 10)) && echo 0.5 || echo 0.6)" 0 "$touch '$at/tuned/pack'" \
            git -C "$at/tuned" reset -q --hard
        contender "git reset" "" 0 "$touch '$at/plain/pack'" git -C "$at/plain" reset -q --hard
        if have rsync; then
            contender rsync "" 0 "$touch '$at/copy'" rsync -a --delete "$at/gen/" "$at/copy/"
            contender "rsync --fsync" "$( ((number == 10)) || echo 0.2)" 0 "$touch '$at/copy'" \
                rsync -a --delete --fsync "$at/gen/" "$at/copy/"
        fi
        finish
        holds "$at/gen" "$at/root/p"
    done

    local need
    need=$(($(du -sk "$at/gen" | cut -f1) * 3))
    if [[ $(stat -f -c %T /dev/shm 2>/dev/null) == tmpfs ]] && (($(df --output=avail -k /dev/shm | tail -1) > need)); then
        shm=$(mktemp -d /dev/shm/packfleet-compare.XXXXXX)
        fleet "$at/shm.toml" "$at/plain" merge <<<"d $shm/root"
        begin "W2 install, tmpfs" 1.4 ""
        contender packfleet "" 0 "rm -rf '$shm/root' && mkdir '$shm/root'" "$packfleet" -f "$at/shm.toml" apply --yes
        contender limit "" 0 "rm -rf '$shm/limit' && mkdir '$shm/limit'" "$limit" install "$at/gen" "$shm/limit"
        if have rsync; then
            contender rsync 0.5 0 "rm -rf '$shm/rsync'" rsync -a "$at/gen/" "$shm/rsync/"
        fi
        contender "git checkout" "" 0 "rm -rf '$shm/git' && mkdir '$shm/git' && rm -f '$at/index'" \
            env GIT_INDEX_FILE="$at/index" git --git-dir="$at/plain/.git" --work-tree="$shm/git" checkout -q -f main -- .
        contender "cp -a" "" 0 "rm -rf '$shm/cp'" cp -a "$at/gen" "$shm/cp"
        finish
        holds "$at/gen" "$shm/root/p"
        rm -rf "$shm"
    else
        say "W2 install: /dev/shm is no tmpfs with room enough"
        notes+=("W2 install, tmpfs: no tmpfs with room enough")
    fi
    rm -rf "$at"
}

w3() {
    local at=$work/w3
    "$limit" generate "$w3" "$at/gen"
    repository "$at/repository" "$at/gen"
    mkdir -p "$at/root"
    fleet "$at/fleet.toml" "$at/repository" merge <<<"d $at/root"
    apply "$at/fleet.toml"
    begin "W3, every byte" 1.2 25
    contender packfleet "" 0 "" "$packfleet" -f "$at/fleet.toml" apply --yes --full-rehash
    contender limit "" 0 "" "$limit" hash "$at/gen"
    if have b3sum; then
        (cd "$at/gen" && find . -type f -print0 | xargs -0 b3sum) >"$at/sums"
        contender "b3sum --check" 1.15 0 "" env -C "$at/gen" b3sum --quiet --check "$at/sums"
    fi
    if have rsync; then
        contender "rsync -nc" "" 0 "" rsync -anc --delete "$at/gen/" "$at/repository/pack/"
    fi
    finish
    rm -rf "$at"
}

# Every tenth host has an edit, which stays.
w4() {
    local at=$work/w4 count=$1 number
    "$limit" generate w1 "$at/gen"
    repository "$at/repository" "$at/gen"
    mkdir -p "$at/roots" "$at/clones" "$at/copies"
    for number in $(seq "$count"); do
        mkdir "$at/roots/$number"
        cp -a "$at/gen" "$at/copies/$number"
        git clone -q "$at/repository" "$at/clones/$number"
        echo "$number $at/roots/$number"
    done | fleet "$at/fleet.toml" "$at/repository" merge
    apply "$at/fleet.toml"
    for number in $(seq 1 10 "$count"); do
        "$limit" touch 1 1 "$at/roots/$number/p"
    done
    # Once, so that the record knows the edits.
    apply "$at/fleet.toml"
    begin "W4 $count local roots, every byte" "$(((count == 100)) && echo 1.5)" ""
    contender packfleet "" 0 "" "$packfleet" -f "$at/fleet.toml" apply --yes --full-rehash
    contender limit "" 0 "" "$limit" hash "$at/copies"
    contender "git status × $count" "$(((count == 100)) && echo 0.5)" 0 "" \
        sh -c "seq $count | xargs -P 2 -I {} git -C '$at/clones/{}' status --porcelain"
    if have b3sum; then
        (cd "$at/copies" && find . -type f -print0 | xargs -0 b3sum) >"$at/sums"
        contender "b3sum --check" "" 0 "" env -C "$at/copies" b3sum --quiet --check "$at/sums"
    fi
    finish
    rm -rf "$at"
}

# Passes without a change by entries, switches by changes.
growth() {
    local size at=$work/growth files
    for size in "${growth[@]}"; do
        files=${size%%x*}
        "$limit" generate "$size" "$at/gen"
        repository "$at/repository" "$at/gen"
        mkdir -p "$at/root"
        fleet "$at/fleet.toml" "$at/repository" revert <<<"d $at/root"
        apply "$at/fleet.toml"
        sleep 0.1
        begin "growth: $files files, no change" "" ""
        contender packfleet "" 0 "" "$packfleet" -f "$at/fleet.toml" apply --yes
        contender limit "" 0 "" "$limit" stat "$at/gen"
        finish
        begin "growth: $files files, converge 10" "" ""
        contender packfleet "" 0 "rm -rf '$at/root/.packfleet/edits'; '$limit' touch 10 $((files / 10)) '$at/root/p'" \
            "$packfleet" -f "$at/fleet.toml" apply --yes
        contender limit "" 0 "" "$limit" converge 10 "$at/gen"
        finish
        rm -rf "$at"
    done
}

notes=()
for row in "${rows[@]}"; do
    case $row in
        start) start_up ;;
        w1) w1 ;;
        w2) w2 ;;
        w3) w3 ;;
        w4)
            if ((hosts == 100)); then
                for number in 1 10 100; do w4 "$number"; done
            else
                w4 "$hosts"
            fi
            ;;
        growth) growth ;;
    esac
done

printf '\n%s scale, median of %s, %s cores, %s, load %s\n\n' "$scale" "$rounds" "$(nproc)" \
    "$(findmnt -no FSTYPE -T "$work" || stat -f -c %T "$work")" "$(cut -d' ' -f1 /proc/loadavg)"
printf '| operation | packfleet | limit | ÷ limit (goal) | peers: time, ÷ (goal) | MiB (goal) |\n| --- | --: | --: | --- | --- | --: |\n'
cat "$work/table"
declare -A package=([b3sum]="b3sum, or cargo install b3sum" [rsync]=rsync [mtree]=mtree-netbsd)
for name in "${missing[@]}"; do
    printf '\nnot there: %s (Debian package %s)' "$name" "${package[$name]}"
done
printf '\n%s' "${notes[@]}"
printf '\nnot in this script: hosts over ssh, passes while watching, whether git has something new (cargo test --test lab -- numbers channels watching), ansible, puppet, unison\n'
