#!/usr/bin/env bash
# How fast the simulator is beside SimGrid's own BitTorrent example: the same number of peers, links and blocks, each on
# one core, and blocks delivered per second of CPU. SimGrid's library and the example's source come from Debian (as root,
# with apt-get); nothing of them is kept. Ours runs the shipped protocol, signatures and all.
#
# SimGrid's example needs hours of processor time to let 800 peers end, so it stops at a moment of its virtual time and
# the blocks that came until then count; ours runs to its end.
#
#     tests/bench/simgrid.sh [PEERS [UNTIL]]     (800 peers and 600 virtual seconds if none are given)
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
peers=${1:-800} until_s=${2:-600}
# The example cuts its file into 10 parts of 5 blocks of 16 KiB. One peer begins with everything, as our seed does.
blocks=50
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! dpkg -s libsimgrid-dev g++ libboost-context-dev dpkg-dev >/dev/null 2>&1; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    libsimgrid-dev g++ libboost-context-dev dpkg-dev >/dev/null
fi
cargo build --release --quiet -p simulator

# Source packages are listed apart, so that the machine's own lists stay as they are.
mkdir -p "$work/parts" "$work/lists"
for list in /etc/apt/sources.list.d/*.sources; do
  sed 's/^Types: .*/Types: deb-src/' "$list" >"$work/parts/$(basename "$list")"
done
[ -f /etc/apt/sources.list ] && sed 's/^deb /deb-src /' /etc/apt/sources.list >"$work/parts/main.list"
apart=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" -o Dir::State::Lists="$work/lists"
       -o APT::Sandbox::User=root -qq)
apt-get "${apart[@]}" update 2>/dev/null
(cd "$work" && apt-get "${apart[@]}" source --download-only simgrid >/dev/null 2>&1)
mkdir "$work/example"
tar -xf "$work"/simgrid_*.orig.tar.* -C "$work/example" --strip-components=4 --wildcards '*/examples/cpp/app-bittorrent/*'
g++ -O3 -std=c++17 -o "$work/bittorrent" "$work"/example/*.cpp -lsimgrid

{
  echo '<?xml version="1.0"?><!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd"><platform version="4.1">'
  echo "<cluster id=\"school\" prefix=\"node-\" suffix=\"\" radical=\"0-$peers\" speed=\"1Gf\" bw=\"20Mbps\" lat=\"5ms\"/>"
  echo '</platform>'
} >"$work/platform.xml"
{
  echo '<?xml version="1.0"?><!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd"><platform version="4.1">'
  echo "<actor host=\"node-0\" function=\"tracker\"><argument value=\"$until_s\"/></actor>"
  for peer in $(seq 1 "$peers"); do
    begins=$([ "$peer" = 1 ] && echo '<argument value="1"/>' || true)
    printf '<actor host="node-%d" function="peer"><argument value="%d"/><argument value="%d"/>%s</actor>\n' \
      "$peer" "$((peer + 1))" "$until_s" "$begins"
  done
  echo '</platform>'
} >"$work/deployment.xml"
cat >"$work/ours.toml" <<SCENARIO
schema = 1
name = "beside-simgrid"
until = "20000s"
seed = { up = "20Mbit", down = "20Mbit", latency = "5ms" }
[[laptops]]
count = $((peers - 1))
up = "20Mbit"
down = "20Mbit"
latency = "5ms"
disk_write = "100MB"
disk_sync = "5ms"
[[release]]
version = "1.0"
at = "0s"
chunks = $blocks
chunk = "16KiB"
SCENARIO

# Prints the CPU seconds of a command, whose output goes to a file.
cpu_s() {
  local out=$1
  shift
  { TIMEFORMAT='%U %S'; time "$@" >"$out" 2>&1; } 2>&1 | awk '{ print $1 + $2 }'
}
theirs_s=$(cpu_s "$work/theirs.txt" "$work/bittorrent" "$work/platform.xml" "$work/deployment.xml")
# Each peer ends by telling its parts, a digit for each.
theirs=$(grep -o 'current status: [01]*' "$work/theirs.txt" | grep -o '1' | wc -l)
theirs=$(((theirs - 10) * 5)) # One began with all ten.
ours_s=$(cpu_s "$work/ours.txt" "$CARGO_TARGET_DIR/release/homeroom-sim" run "$work/ours.toml" --rng-seed 1 --out "$work/out")
ours=$(awk -F, 'NR > 2 { held += $6 } END { print held }' "$work/out/hosts.csv")

awk -v peers="$peers" -v t="$theirs" -v ts="$theirs_s" -v o="$ours" -v os="$ours_s" 'BEGIN {
  printf "%d peers, 50 blocks each\n%-28s %10s %8s %12s\n", peers, "", "blocks", "CPU s", "blocks/CPU s"
  printf "%-28s %10d %8.2f %12.0f\n", "SimGrid, its BitTorrent", t, ts, t / ts
  printf "%-28s %10d %8.2f %12.0f\n", "homeroom-sim", o, os, o / os
  printf "ratio %.1f\n", (o / os) / (t / ts)
}'
