#!/usr/bin/env python3
"""Takes a repository that `homeroom` wrote through python-tuf, the TUF project's own client.

    pip install tuf==7.0.0
    python3 tests/interop/python_tuf.py REPO_DIR TARGET_PATH

REPO_DIR is served as it lies there by Python's http.server on 127.0.0.1. The client starts from
metadata/1.root.json, refreshes (every signature, version, hash and expiry date is checked by it, not
by us) and downloads the target TARGET_PATH from manifests/, where TUF's consistent snapshots put it:
`<channel>/<sha256>.<file>`. Exits with 0 if all that went well; otherwise the client's error is shown.
"""

import functools
import http.server
import pathlib
import sys
import tempfile
import threading

from tuf.ngclient import Updater


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    repo, target_path = pathlib.Path(sys.argv[1]), sys.argv[2]
    handler = functools.partial(QuietHandler, directory=str(repo))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory() as place,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        updater = Updater(
            metadata_dir=f"{place}/metadata",
            metadata_base_url=f"{url}/metadata/",
            target_dir=place,
            target_base_url=f"{url}/manifests/",
            bootstrap=(repo / "metadata" / "1.root.json").read_bytes(),
        )
        updater.refresh()
        target = updater.get_targetinfo(target_path)
        if target is None:
            print(f"python-tuf finds no target {target_path!r}", file=sys.stderr)
            return 1
        path = pathlib.Path(updater.download_target(target, filepath=f"{place}/target"))
        print(f"python-tuf downloaded {target_path}: {path.stat().st_size} bytes, hashes {', '.join(target.hashes)}")
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
