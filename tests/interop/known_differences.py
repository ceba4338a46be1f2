#!/usr/bin/env python3
"""Writes the repositories that our verifier judges otherwise than the text of the TUF specification 1.0.34 demands,
each with the verdict of that text.

    python3 tests/interop/known_differences.py OUT

python_signs.py does not write them: what it writes must be judged rightly.
"""

import hashlib
import pathlib
import sys
from collections.abc import Iterator

from signed_repository import ALL_FOUND, CHAIN, Repository, key, plain, published


def repositories() -> Iterator[Repository]:
    for role in CHAIN:
        yield keyid_that_is_no_hash(role)
    yield from (brackets_in_a_pattern(), sixty_four_bins())


def keyid_that_is_no_hash(role: str) -> Repository:
    """We take keyids as they come, as TAP 12 has it, and as python-tuf does."""
    repository = published(f"keyid_of_{role}_that_is_no_hash", "Clients calculate each keyid (4.3).")
    repository.serve("first contact", ALL_FOUND)
    repository.root.version = 2
    repository.require(role, [key(role), key("other", "ab" * 32)])
    repository.publish_root()
    repository.release("targets")
    if role == "vendor":
        trusted = repository.trusted(targets=1)
        found = {"top.txt": None, "vendor/a.txt": None}
        repository.serve("the vendor has such a key", found, ("2.targets.json",), trusted)
    else:
        repository.serve_in_vain("the root has such a key", "2.root.json")
    return repository


def brackets_in_a_pattern() -> Repository:
    """We take a bracket as itself: the specification speaks of glob, and then names only `*` and `?`."""
    repository = plain("brackets_in_a_pattern", "Patterns follow glob (4.5).")
    repository.delegate("targets", "vendor", ["vendor/[ab].txt"])
    repository.say("vendor", "vendor/c.txt")
    repository.publish_first()
    repository.serve("first contact", ALL_FOUND | {"vendor/c.txt": None})
    return repository


def sixty_four_bins() -> Repository:
    """A complete set has `DELEGATIONS_MAX` delegated roles, so it lists what is in 32 bins; a single search finds all."""
    repository = Repository("sixty_four_bins", "Only the roles that a search visits may be limited (5.6.7.1).")
    digits = "0123456789abcdef"
    bins = [[first + second for second in digits[at : at + 4]] for first in digits for at in range(0, 16, 4)]
    for prefixes in bins:
        repository.delegate("targets", f"bin {prefixes[0]}", None, prefixes=prefixes)
    paths = [f"bins/{number}" for number in range(100)]
    prefix_of = {path: hashlib.sha256(path.encode()).hexdigest()[:2] for path in paths}
    role_of = {path: f"bin {prefixes[0]}" for path in paths for prefixes in bins if prefix_of[path] in prefixes}
    for path, role in role_of.items():
        repository.say(role, path)
    repository.publish_first()
    repository.serve("first contact", role_of)
    return repository


if __name__ == "__main__":
    for known in repositories():
        known.write(pathlib.Path(sys.argv[1]))
