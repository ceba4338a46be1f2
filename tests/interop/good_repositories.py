"""Repositories with which nothing is wrong."""

import hashlib
from collections.abc import Iterator

from securesystemslib.signer import Signature
from signed_repository import ALL_FOUND, CHAIN, Repository, key, plain, published
from tuf.api.metadata import Role

ROTATIONS = (
    {"root": "root 2"},
    {"root": "root 3", "timestamp": "timestamp 2", "snapshot": "snapshot 2"},
    {"root": "root 4"},
)


def repositories() -> Iterator[Repository]:
    yield from (a_first_contact(), two_of_three(), rotations_followed(), rotations_caught_up())
    yield from (root_beyond_a_gap(), releases_followed())
    yield from forms()
    yield from (bad_signature_beside_good(), unknown_fields(), mirrors_role(), names())
    for ends in (False, True):
        yield from (two_deep(ends), overlap(ends))
    yield from (depth_first(), patterns(), hash_bins(), ring())


def a_first_contact() -> Repository:
    repository = published("plain", "Nothing is wrong with it.")
    repository.serve("first contact", ALL_FOUND)
    return repository


def two_of_three() -> Repository:
    repository = plain("two_of_three", "Two of three keys have signed every file (5.3.4).")
    for role in CHAIN:
        repository.require(role, [key(f"{role} {number}") for number in range(3)], 2)
        repository.signers[role] = repository.signers[role][:2]
    repository.publish_first()
    repository.serve("the first two", ALL_FOUND)
    repository.root.version = 2
    repository.publish_root([key("root 1"), key("root 2")])
    repository.serve("another two", ALL_FOUND)
    return repository


def rotations_followed() -> Repository:
    repository = published("rotations_followed", "Old and new keys sign every root (5.3.4).")
    repository.serve("first contact", ALL_FOUND)
    for keys in ROTATIONS:
        repository.next_root(**keys)
        repository.release("vendor")
        repository.serve(f"new keys of {', '.join(keys)}", ALL_FOUND)
    return repository


def rotations_caught_up() -> Repository:
    repository = plain("rotations_caught_up", "A client goes from root to root up to the last (5.3.9).")
    repository.publish_root()
    for keys in ROTATIONS:
        repository.next_root(**keys)
    repository.publish()
    repository.serve("three rotations at once", ALL_FOUND)
    return repository


def root_beyond_a_gap() -> Repository:
    repository = published("root_beyond_a_gap", "Without a root N+1 nobody asks for N+2 (5.3.3).")
    repository.files["3.root.json"] = b"whatever"
    repository.serve("3.root.json and no 2.root.json", ALL_FOUND)
    return repository


def releases_followed() -> Repository:
    repository = published("releases_followed", "Only what changed has a new version.")
    repository.serve("first contact", ALL_FOUND)
    for roles in (["vendor"], ["targets"], [], ["targets", "vendor"]):
        repository.release(*roles)
        repository.serve(f"new of {roles}", ALL_FOUND)
    repository.serve("the same once more", ALL_FOUND)
    return repository


def forms() -> Iterator[Repository]:
    for name, why, form in (
        ("indented", "White space is not signed (4.2).", {"compact": False}),
        ("sha512_only", "Any hash will do (4.4).", {"hashes": ("sha512",)}),
        ("two_hashes", "Both hashes are right (4.4).", {"hashes": ("sha256", "sha512")}),
        ("versions_alone", "Length and hashes of metadata may be left out (4.4).", {"hashes": ()}),
    ):
        repository = published(name, why, **form)
        repository.serve("first contact", ALL_FOUND)
        repository.release("targets", "vendor")
        repository.serve("second release", ALL_FOUND)
        yield repository


def bad_signature_beside_good() -> Repository:
    repository = plain("bad_signature_beside_good", "Two of three signatures are good, and two are enough (5.3.4).")
    for role in CHAIN:
        signers = [key(f"{role} {number}") for number in range(3)]
        repository.require(role, signers, 2)
        bad = Signature(signers[2].public_key.keyid, "5a" * 64)
        repository.touch_up[role] = lambda metadata, bad=bad: metadata.signatures.update({bad.keyid: bad})
    repository.publish_first()
    repository.serve("first contact", ALL_FOUND)
    return repository


def unknown_fields() -> Repository:
    repository = plain("unknown_fields", "What is not known is signed, and ignored.")
    field = {"x-unknown": {"list": [None, True, -1, '\t"\\\u00e9\U0001f600'], "": {}}}
    for role in CHAIN:
        signer = key(f"{role} of unknown fields")
        signer.public_key.unrecognized_fields.update(field)
        repository.require(role, [signer])
        repository.touch_up[role] = lambda metadata: metadata.unrecognized_fields.update(field)
    repository.publish()  # Its links are there now, for fields of their own.
    delegations = repository.targets["targets"].delegations
    for holder in (
        *(repository.said_by(role) for role in CHAIN),
        *repository.root.roles.values(),
        *repository.snapshot.meta.values(),
        delegations,
        delegations.roles["vendor"],
        repository.targets["vendor"].targets["vendor/a.txt"],
    ):
        holder.unrecognized_fields.update(field)
    repository.publish_first()
    repository.serve("first contact", ALL_FOUND)
    return repository


def mirrors_role() -> Repository:
    repository = plain("mirrors_role", "A root may name keys for a fifth role (4.3).")
    repository.root.roles["mirrors"] = Role([key("mirrors").public_key.keyid], 1)
    repository.root.keys[key("mirrors").public_key.keyid] = key("mirrors").public_key
    repository.publish_first()
    repository.serve("first contact", ALL_FOUND)
    return repository


def names() -> Repository:
    repository = Repository("names", "Names are compared as they are spelt; files have them in percent.")
    decomposed, composed = "cafe\u0301/e\u0301tude.txt", "caf\u00e9/\u00e9tude.txt"
    roles = ["cafe\u0301", "caf\u00e9", "a/b", "..", "100% ?#", "a\\b\n"]
    for number, role in enumerate(roles):
        repository.delegate("targets", role, [f"{number}/*", "cafe\u0301/*"])
        repository.say(role, f"{number}/x")
    repository.say(roles[0], decomposed, composed)
    repository.publish_first()
    found = {f"{number}/x": role for number, role in enumerate(roles)}
    repository.serve("first contact", found | {decomposed: roles[0], composed: None})
    return repository


def ending(ends: bool) -> str:
    return "terminating" if ends else "non_terminating"


def two_deep(ends: bool) -> Repository:
    repository = plain(f"two_deep_{ending(ends)}", "A path must be in the patterns of the whole chain (4.5).")
    repository.delegate("targets", "vendor", ["vendor/*", "vendor/*/*"], ends)
    repository.delegate("vendor", "product", ["vendor/product/*", "else/*"], ends)
    repository.say("product", "vendor/product/x", "vendor/other/x", "else/x", "vendor/a.txt")
    repository.publish_first()
    product = {"vendor/product/x": "product", "vendor/other/x": None, "else/x": None}
    repository.serve("first contact", ALL_FOUND | product)
    return repository


def overlap(ends: bool) -> Repository:
    repository = Repository(f"overlap_{ending(ends)}", "The first has precedence, and may leave the rest (4.5).")
    repository.delegate("targets", "first", ["shared/*"], ends)
    repository.delegate("targets", "second", ["*/*"])
    repository.say("first", "shared/both", "shared/first")
    repository.say("second", "shared/both", "shared/second", "own/second", "second")
    repository.publish_first()
    found = {"shared/both": "first", "shared/first": "first", "own/second": "second", "second": None}
    repository.serve("first contact", found | {"shared/second": None if ends else "second"})
    return repository


def depth_first() -> Repository:
    repository = Repository("depth_first", "The search goes down before it goes on, up to a terminating role (5.6.7).")
    for delegator, role, paths, ends in (
        ("targets", "a", ["x/*", "y/*"], False),
        ("targets", "b", ["x/*", "y/*"], False),
        ("a", "a1", ["x/*", "y/*"], False),
        ("a1", "deep", ["y/*"], True),
        ("a", "a2", ["x/*", "y/*"], False),
    ):
        repository.delegate(delegator, role, paths, ends)
    repository.say("targets", "x/top")
    repository.say("a", "x/top", "x/a")
    repository.say("a1", "x/a", "x/a1")
    repository.say("deep", "y/deep")
    repository.say("a2", "x/a1", "x/a2", "y/deep", "y/late")
    repository.say("b", "x/top", "x/a2", "x/b", "y/late")
    repository.publish_first()
    on_the_way = {"x/top": "targets", "x/a": "a", "x/a1": "a1", "x/a2": "a2", "x/b": "b"}
    repository.serve("first contact", on_the_way | {"y/deep": "deep", "y/late": None})
    return repository


def patterns() -> Repository:
    repository = Repository("patterns", "The examples that the specification gives (4.5).")
    inside = {
        "targets/*.tgz": ["targets/foo.tgz", "targets/bar.tgz"],
        "foo-version-?.tgz": ["foo-version-2.tgz", "foo-version-a.tgz"],
        "*.zip": ["foo.zip", "bar.zip"],
        "foo.tgz": ["foo.tgz"],
    }
    outside = ["targets/foo.txt", "foo-version-alpha.tgz", "targets/foo.zip", "targets/a/foo.tgz", "foo.tgz.sig"]
    for number, (pattern, paths) in enumerate(inside.items()):
        repository.delegate("targets", f"role {number}", [pattern])
        repository.say(f"role {number}", *paths, *outside)
    repository.publish_first()
    found = {path: f"role {number}" for number, paths in enumerate(inside.values()) for path in paths}
    repository.serve("first contact", found | dict.fromkeys(outside))
    return repository


def hash_bins() -> Repository:
    repository = Repository("hash_bins", "A bin may name the paths whose SHA-256 begins so (4.5).")
    bins = {"low": "01234567", "high": "89abcde"}
    paths = [f"bins/{number}" for number in range(32)]
    for role, digits in bins.items():
        prefixes = [first + second for first in digits for second in "0123456789abcdef"]
        repository.delegate("targets", role, None, prefixes=prefixes)
        repository.say(role, *paths)
    repository.publish_first()
    first_digits = {path: hashlib.sha256(path.encode()).hexdigest()[0] for path in paths}
    in_bin = {digit: role for role, digits in bins.items() for digit in digits}
    repository.serve("first contact", {path: in_bin.get(digit) for path, digit in first_digits.items()})
    return repository


def ring() -> Repository:
    repository = plain("ring", "A role that was visited is skipped (5.6.7.1).")
    repository.delegate("vendor", "product", ["vendor/*"])
    repository.delegate("product", "vendor", ["vendor/*"])
    repository.delegate("product", "product", ["vendor/*"])
    repository.delegate("targets", "last", ["vendor/*"])
    repository.say("product", "vendor/b.txt")
    repository.say("last", "vendor/c.txt")
    repository.publish_first()
    rest = {"vendor/b.txt": "product", "vendor/c.txt": "last", "vendor/nowhere": None}
    repository.serve("first contact", ALL_FOUND | rest)
    return repository
