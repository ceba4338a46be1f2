#!/usr/bin/env bash
# Everything that must hold, in one command: formatting, lints, documents, all tests, and the simulator's promise that
# the same scenario and rng_seed give the same trace in a debug and in a release build. As root it installs what it
# needs; as anybody else it says what is missing, and counts the tests that could not run.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
skipped="$CARGO_TARGET_DIR/skipped.txt"
venv="$CARGO_TARGET_DIR/venv"

step() { printf '\n== %s\n' "$*"; }

# program:package for all that the build and the tests call
needed=(cc:gcc ip:iproute2 rsync:rsync setfattr:attr setcap:libcap2-bin setpriv:util-linux mount:mount python3:python3 faketime:faketime)
missing=()
for pair in "${needed[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then
  step "installing ${missing[*]}"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libc6-dev "${missing[@]}"
  else
    echo "missing, and not root: ${missing[*]}" >&2
  fi
fi
command -v cargo >/dev/null || { echo "Rust is missing: install Rust 1.95 or newer" >&2; exit 1; }

step "python-tuf, which judges our repository"
mkdir -p "$CARGO_TARGET_DIR"
if ! "$venv/bin/python" -c 'import tuf.ngclient' 2>/dev/null; then
  python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'tuf==7.0.0' 'securesystemslib[crypto]' ||
    echo "python-tuf could not be installed" >&2
fi

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
step "documents of the code"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --workspace
step "tests"
rm -f "$skipped"
cargo build --locked --workspace
cargo test --locked --workspace

step "the same trace in debug and release"
scenario=simulator/scenarios/classroom.toml
trace() { cargo run --locked --quiet "$@" -p simulator -- run "$scenario" --rng-seed 7 --out "$CARGO_TARGET_DIR/trace" | grep '^trace'; }
debug=$(trace) release=$(trace --release)
echo "debug:   $debug"
echo "release: $release"
[ "$debug" = "$release" ] || { echo "the traces differ" >&2; exit 1; }

step "what could not run here"
if [ -s "$skipped" ]; then
  cat "$skipped"
  echo "$(wc -l <"$skipped") could not run here"
else
  echo "nothing: all tests ran"
fi
