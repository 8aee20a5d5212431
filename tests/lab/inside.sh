#!/bin/sh
# The first process in the lab's namespaces: makes them a world of their own, runs the rest, reaps what is left over.
#
#   inside.sh COMMAND…
#
# Nothing here is seen from outside. /mnt is a tmpfs for the hosts' disks and the controller's files, /run is new,
# cgroups are unified whatever the machine has, and the ssh configuration is the lab's alone: the file for the whole
# machine is covered by one that a scenario can read and trust, a user's own directory by an empty one.
set -eu
PATH=$PATH:/usr/sbin:/sbin
# Still the number that this process has outside, for people who want to come in.
read -r PACKFLEET_LAB_PID _ </proc/self/stat
export PACKFLEET_LAB_PID
mount -t proc proc /proc
mount -t tmpfs -o mode=755 lab /run
mkdir /run/netns /run/lock
mount -t tmpfs -o mode=755,size="${PACKFLEET_LAB_SPACE:-4g}" lab /mnt
mount -t cgroup2 lab /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$PACKFLEET_LAB_GROUP"
home=$(getent passwd "$(id -u)" | cut -d: -f6)
[ ! -d "$home/.ssh" ] || mount -t tmpfs -o mode=700 lab "$home/.ssh"
: >/mnt/ssh_config
mount --bind /mnt/ssh_config /etc/ssh/ssh_config
ip link set lo up
ip link add br0 type bridge
ip addr add 192.0.2.1/24 dev br0
ip link set br0 up
PACKFLEET_LAB=inside "$@"
