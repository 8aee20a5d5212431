#!/bin/sh
# Stands outside the lab: starts it in namespaces of its own, ends it when the test process ends in whatever
# way, and removes the one thing that namespaces leave behind, empty cgroups.
#
#   sweep.sh PREFIX COMMAND…     its input is a pipe that the test process holds open and never writes to
#
# All else that the lab makes (processes, mounts, files, links, addresses) lives in the namespaces and goes
# with them: there is nothing to clean up that a killed run could leave.
set -u
prefix=$1
shift
here=$(dirname "$0")
exec 3<&0 </dev/null
# A signal to the whole process group is for the test process; this one stays until it has swept. A signal that is
# caught, unlike one that is ignored, is as usual for what is started from here.
trap : INT TERM HUP

# Removes the cgroups of this lab, and of labs whose sweeper is gone.
sweep() {
    # shellcheck disable=SC2016
    unshare --mount --propagation private sh -c '
        mount -t cgroup2 none /mnt || exit 0
        for group in /mnt/"$1"-*; do
            [ -d "$group" ] || continue
            pid=${group##*-}
            [ "$pid" != "$2" ] && [ -e "/proc/$pid" ] && continue
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
                [ -d "$group" ] || break
                sleep 0.2
            done
        done' sh "$prefix" $$
}

sweep
PACKFLEET_LAB_GROUP=$prefix-$$ setpriv --pdeathsig KILL \
    unshare --mount --net --pid --propagation private --fork --kill-child "$here/inside.sh" "$@" &
lab=$!
{
    read -r _
    kill -KILL "$lab" 2>/dev/null
} <&3 &
watch=$!
while kill -0 "$lab" 2>/dev/null; do
    wait "$lab"
    code=$?
done
kill "$watch" 2>/dev/null
sweep
exit "$code"
