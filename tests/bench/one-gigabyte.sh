#!/usr/bin/env bash
# What a laptop needs to take a tree of 1 GB: half of it noise in large files, half of it small files of a machine.
# Prints the demo's table, which ends with the peak memory of the laptops.
#     tests/bench/one-gigabyte.sh [DIR]      needs about 7 GB in DIR (default: a temporary directory)
set -euo pipefail
cd "$(dirname "$0")/../.."
room=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/one-gigabyte.XXXXXX")
trap 'rm -rf "$room"' EXIT
mkdir "$room/tree"
for number in $(seq 25); do
  head -c 20000000 /dev/urandom >"$room/tree/noise-$number"
done
cp -a /usr/share "$room/tree/share"
while [ "$(du -sm "$room/tree" | cut -f1)" -lt 1000 ]; do
  head -c 20000000 /dev/urandom >"$room/tree/more-$RANDOM"
done
TMPDIR="$room" cargo run --quiet --release -- demo "$room/tree" "$room/tree" --laptops 2
