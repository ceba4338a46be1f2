#!/usr/bin/env bash
# What publishing costs, beside `casync make` on the same tree in the same run: the first release, the same tree once
# more, and a release with a line more in every 50th file. Each round starts with empty stores; the least of all rounds
# is told for each row. The tree is in the page cache for both; homeroom syncs what it writes, casync does not.
#     tests/bench/publish.sh [TREE [ROUNDS [DIR]]]
# Without TREE, or with "", a Debian system of 700 MB is made with mmdebstrap (as root). ROUNDS is 5. DIR, where all
# this happens, is a temporary directory; it needs about 2 GB beside the tree. Needs casync and GNU time.
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=${1:-} rounds=${2:-5}
room=$(mktemp -d "${3:-${TMPDIR:-/tmp}}/publish.XXXXXX")
trap 'rm -rf --one-file-system "$room"' EXIT
for program in casync /usr/bin/time; do
  command -v "$program" >/dev/null || { echo "$program is missing: install the packages casync and time" >&2; exit 1; }
done
cargo build --quiet --release -p node
homeroom=${CARGO_TARGET_DIR:-target}/release/homeroom

make_tree() { # a small laptop's system: kernel, systemd, network, ssh; only documents and what mmdebstrap leaves are missing
  local suite=bookworm mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | awk -v suite=$suite '$2 == suite {print $1; exit}')
  echo "deb $mirror $suite main" |
    mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
      --include=systemd-sysv,udev,dbus,kmod,network-manager,openssh-server,openssl,ca-certificates,curl,sudo \
      --include=linux-image-amd64,avahi-daemon,less,nano,locales --dpkgopt='path-exclude=/usr/share/doc/*' \
      --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/boot/initrd*' "$suite" "$1" -
  # Only now that nothing of this machine is mounted there.
  find "$1/dev" -xdev -mindepth 1 ! -type d -delete
}
if [ -z "$tree" ]; then
  tree="$room/tree"
  make_tree "$tree"
fi
cp -a "$tree" "$room/next"
find "$room/next" -xdev -type f -size +0 | LC_ALL=C sort | awk 'NR % 50 == 0' |
  while IFS= read -r file; do echo "one line more" >>"$file"; done

row() { # PROGRAM ROUND-ROW STORE COMMAND...: notes seconds, processor seconds, peak KiB, bytes of the store
  local name=$1 store=$2 figures
  shift 2
  sync
  /usr/bin/time --quiet --format '%e %U %S %M' --output "$room/time" "$@" >/dev/null 2>"$room/errors" ||
    { cat "$room/errors" >&2; exit 1; }
  read -r figures <"$room/time"
  echo "$name $figures $(du -sb "$store" | cut -f1)" >>"$room/figures"
}
round() {
  rm -rf "$room"/{repo,repo.keys,store,index.caidx}
  "$homeroom" init "$room/repo" >/dev/null
  publish() { "$homeroom" publish "$@"; }
  local number=1 name of
  for name in first again next; do
    of=$tree
    [ "$name" != next ] || of="$room/next"
    row "homeroom:$name" "$room/repo" \
      "$homeroom" publish "$of" --repo "$room/repo" --channel os --version "$number" --allow-setuid $([ "$number" != 1 ] || echo --new)
    row "casync:$name" "$room/store" casync make --store="$room/store" "$room/index.caidx" "$of"
    number=$((number + 1))
  done
}
for _ in $(seq "$rounds"); do round; done

echo "$(du -sb --apparent-size "$tree" | cut -f1) bytes, $(find "$tree" | wc -l) entries, $(nproc) cores, least of $rounds rounds"
awk '
  { split($1, part, ":"); cpu = $3 + $4; key = $1
    if (!(key in wall)) { order[++rows] = key; wall[key] = $2; used[key] = cpu; peak[key] = $5 }
    if ($2 < wall[key]) wall[key] = $2
    if (cpu < used[key]) used[key] = cpu
    if ($5 > peak[key]) peak[key] = $5
    bytes[key] = $6 }
  END {
    printf "%-18s %8s %8s %10s %14s %8s\n", "", "wall s", "CPU s", "peak MB", "store bytes", "ratio"
    for (row = 1; row <= rows; row++) { key = order[row]; split(key, part, ":")
      printf "%-18s %8.2f %8.2f %10.1f %14d", part[1] " " part[2], wall[key], used[key], peak[key] * 1024 / 1e6, bytes[key]
      if (part[1] == "homeroom") printf " %8.2f", wall[key] / wall["casync:" part[2]]
      printf "\n" }
    print "ratio: wall time of homeroom over that of casync; peak: the most of all rounds" }' "$room/figures"
