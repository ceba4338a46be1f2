#!/usr/bin/env python3
"""Writes repositories that python-tuf, the TUF project's own library, signs: good ones and hostile ones.

    pip install tuf==7.0.0 'securesystemslib[crypto]'
    python3 tests/interop/python_signs.py OUT

Every repository is a folder of OUT. Its folders step1, step2, ... hold the files as it serves them, one moment after
the other. Its expect.json states why it is there, and what a client that pinned 1.root.json holds after each step:
the versions it trusts, the files it discarded, and what it finds at which path. That is what the text of the TUF
specification 1.0.34 demands, by the numbers of its sections; no program was asked.
"""

import pathlib
import sys

import good_repositories
import hostile_histories
import hostile_repositories


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    names = set()
    for theme in (good_repositories, hostile_repositories, hostile_histories):
        for repository in theme.repositories():
            assert repository.name not in names, f"two are called {repository.name}"
            names.add(repository.name)
            repository.write(pathlib.Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
