#!/usr/bin/env bash
# A school's network on one machine: a switch and hosts, each host in a network namespace of its own, joined by a
# bridge. Needs root and iproute2.
#
#   lan.sh up LAB HOST...             makes host number k at 10.77.0.k, with loopback and eth0
#   lan.sh shape LAB HOST UP DOWN     limits what the host sends and what it is sent, in kbit/s each
#   lan.sh lose LAB PERMILLE          lets the switch lose so many of a thousand frames
#   lan.sh unplug LAB HOST            takes the host's cable out of the switch
#   lan.sh plug LAB HOST              puts it back
#   lan.sh down LAB                   removes everything named LAB-...
#
# LAB must be short and its own for every run; nothing else on the machine is touched.
set -euo pipefail

verb=${1:?up, shape, lose, unplug, plug or down} lab=${2:?the name of the lab}
shift 2
switch="$lab-switch"

host() { # name number
  local namespace="$lab-$1"
  ip netns add "$namespace"
  ip link add "port-$1" netns "$switch" type veth peer name eth0 netns "$namespace"
  ip -n "$switch" link set "port-$1" master bridge up
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set eth0 up
  ip -n "$namespace" addr add "10.77.0.$2/24" brd + dev eth0
}

case $verb in
up)
  ip netns add "$switch"
  # A switch has no firewall; where the kernel's bridge has one, each frame would pass it for nothing.
  ip netns exec "$switch" sysctl -qe -w net.bridge.bridge-nf-call-{iptables,ip6tables,arptables}=0
  # Without snooping, mDNS reaches everybody; without delay, a cable that is put in works at once.
  ip -n "$switch" link add bridge type bridge mcast_snooping 0 forward_delay 0
  ip -n "$switch" link set bridge up
  number=1
  for name in "$@"; do
    host "$name" "$number"
    number=$((number + 1))
  done
  ;;
shape)
  # The burst holds one packet of 64 KiB, as the kernel passes them between namespaces; the queue is that of a switch.
  tc -n "$lab-$1" qdisc replace dev eth0 root tbf rate "$2kbit" burst 128kb latency 50ms
  tc -n "$switch" qdisc replace dev "port-$1" root tbf rate "$3kbit" burst 128kb latency 50ms
  ;;
lose)
  ip netns exec "$switch" nft -f - <<<"table bridge lab {
    chain forward { type filter hook forward priority 0; numgen random mod 1000 < $1 drop; }
  }"
  ;;
unplug) ip -n "$switch" link set "port-$1" down ;;
plug) ip -n "$switch" link set "port-$1" up ;;
down)
  for namespace in $(ip netns list | awk '{print $1}' | grep "^$lab-" || true); do
    ip netns del "$namespace"
  done
  ;;
*)
  sed -n '2,13p' "$0" >&2
  exit 2
  ;;
esac
