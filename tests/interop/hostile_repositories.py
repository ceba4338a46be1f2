"""Repositories that lie on first contact: each would be good but for one thing."""

import itertools
from collections.abc import Iterator

from signed_repository import ALL_FOUND, CHAIN, NONE_FOUND, Repository, key, plain, published

BELOW_TIMESTAMP = ("snapshot", "targets", "vendor")
SIGNING_FLAWS = {
    "unsigned": "Nobody has signed it (5.3.4, 5.4.2, 5.5.3, 5.6.3).",
    "wrong_key": "A key has signed it that may not (5.3.4, 5.4.2, 5.5.3, 5.6.3).",
    "one_of_two": "One has signed it, and two must (5.3.4, 5.4.2, 5.5.3, 5.6.3).",
    "one_key_under_two_keyids": "Each key contributes one signature, whatever its names (5.3.4; TAP 12).",
    "one_signature_twice": "Each key contributes one signature (5.3.4), and a keyid stands once (4.2.1).",
}
FIELD_FLAWS = {
    "version_0": ("A version is greater than 0 (4.3).", {"version": 0}),
    "other_type": ("The type tells the role (4.2.1).", {"_type": "mirrors"}),
    "other_specification": ("It follows a specification that is still to come (4.3).", {"spec_version": "2.0.0"}),
    "expires_in_month_13": ("There is no such date (4.2.3).", {"expires": "2036-13-01T00:00:00Z"}),
    "expires_in_words": ("That is no date (4.2.3).", {"expires": "tomorrow"}),
    "expires_without_time": ("The time is missing (4.2.3).", {"expires": "2036-01-01"}),
    "expires_in_another_zone": ("Time is in UTC, with a Z (4.2.3).", {"expires": "2036-01-01T00:00:00+02:00"}),
    "expires_as_a_number": ("A date is a string (4.2.3).", {"expires": 2082758400}),
}
WRONG_LINKS = {
    "hash": lambda named: named.hashes.update(sha256="00" * 32),
    "second_hash": lambda named: named.hashes.update(sha512="00" * 64),
    "length": lambda named: setattr(named, "length", named.length - 1),
}


def repositories() -> Iterator[Repository]:
    for role, flaw in itertools.product(CHAIN, (*SIGNING_FLAWS, *FIELD_FLAWS)):
        yield flawed(role, flaw)
    for role, hashes in itertools.product(BELOW_TIMESTAMP, (("sha256",), ())):
        yield mixed(role, hashes)
    for role, what in itertools.product(BELOW_TIMESTAMP, WRONG_LINKS):
        yield misnamed(role, what)
    yield from (threshold_0_in_targets(), threshold_0_in_root())
    yield from (diamond_of_both(), diamond_of_left(), diamond_of_right(), diamond_of_none())
    yield from (outside_its_paths(), signed_by_a_sibling(), withheld(), left_out_of_the_snapshot())


def serve_without(repository: Repository, role: str) -> None:
    """Serves a plain repository to a client that refuses the role's file, and so trusts nothing below."""
    above = CHAIN[: CHAIN.index(role)]
    trusted = {name: repository.said_by(name).version for name in above} or {"root": 1}
    found = NONE_FOUND | ({"top.txt": "targets"} if role == "vendor" else {})
    repository.serve("first contact", found, (repository.file_name(role),), trusted)


def flawed(role: str, flaw: str) -> Repository:
    """The role's file has a flaw. Of roots it is the second, since a client that pins one does not judge it."""
    why, fields = FIELD_FLAWS.get(flaw) or (SIGNING_FLAWS[flaw], {})
    repository = plain(f"{role}_{flaw}", why)
    if role == "root":
        repository.publish_root()
        repository.root.version = 2
    repository.said_by(role).unrecognized_fields.update(fields)
    if flaw in SIGNING_FLAWS:
        sign_wrongly(repository, role, flaw)
    repository.publish_first()
    serve_without(repository, role)
    return repository


def sign_wrongly(repository: Repository, role: str, flaw: str) -> None:
    first, second, first_again = key(role), key(f"{role} 2"), key(role, "ab" * 32)
    if flaw == "one_key_under_two_keyids":
        repository.require(role, [first, first_again], 2)
    elif flaw in ("one_of_two", "one_signature_twice"):
        repository.require(role, [first, second], 2)
    signers = {"unsigned": [], "wrong_key": [key("thief")], "one_key_under_two_keyids": [first, first_again]}
    repository.signers[role] = signers.get(flaw, [first])

    def double(metadata):
        metadata.signatures["again"] = metadata.signatures[first.public_key.keyid]

    if flaw == "one_signature_twice":
        repository.touch_up[role] = double


def mixed(role: str, hashes: tuple[str, ...]) -> Repository:
    how = "named_by_hash" if hashes else "named_by_version"
    why = "Files of two releases do not mix (5.5.2, 5.5.4, 5.6.2, 5.6.4)."
    repository = published(f"{role}_of_another_release_{how}", why, hashes=hashes)
    older = repository.files[repository.file_name(role)]
    repository.release("targets", "vendor")
    repository.files[repository.file_name(role)] = older
    serve_without(repository, role)
    return repository


def misnamed(role: str, what: str) -> Repository:
    why = "Length and hashes must be the file's (5.5.2, 5.6.2)."
    repository = published(f"{role}_of_another_{what}", why, hashes=("sha256", "sha512"))
    if role == "snapshot":
        WRONG_LINKS[what](repository.timestamp.snapshot_meta)
        repository.files["timestamp.json"] = repository.sign("timestamp")
    else:
        WRONG_LINKS[what](repository.snapshot.meta[f"{role}.json"])
        repository.publish_snapshot()
    serve_without(repository, role)
    return repository


def threshold_0_in_targets() -> Repository:
    repository = plain("targets_with_threshold_0", "A threshold is at least 1 (4.5).")
    repository.require("vendor", [key("vendor")], 0)
    repository.signers["vendor"] = []
    repository.publish_first()
    serve_without(repository, "targets")
    return repository


def threshold_0_in_root() -> Repository:
    repository = plain("root_with_threshold_0", "A threshold is at least 1 (4.3).")
    repository.publish_root()
    repository.root.version = 2
    repository.require("timestamp", [key("timestamp")], 0)
    repository.signers["timestamp"] = []
    repository.publish_first()
    serve_without(repository, "root")
    return repository


def diamond(name: str, *signers: str) -> Repository:
    """Two roles delegate to a third, each to a key of its own. A fourth is asked after the second."""
    why = "What the delegator's keys have not signed ends the search that came through it (5.6.7)."
    repository = Repository(f"diamond_signed_for_{name}", why)
    for role, path in (("left", "x/*"), ("right", "y/*")):
        repository.delegate("targets", role, [path])
        repository.delegate(role, "shared", [path], signer=key(f"shared of {role}"))
    repository.delegate("targets", "late", ["y/*"])
    repository.say("shared", "x/file", "y/file")
    repository.say("late", "y/file", "y/late")
    repository.signers["shared"] = [key(signer) for signer in signers]
    repository.publish_first()
    return repository


def diamond_of_both() -> Repository:
    repository = diamond("both", "shared of left", "shared of right")
    repository.serve("first contact", {"x/file": "shared", "y/file": "shared", "y/late": "late"})
    return repository


def diamond_of_left() -> Repository:
    repository = diamond("left", "shared of left")
    repository.serve("first contact", {"x/file": "shared", "y/file": None, "y/late": None})
    return repository


def diamond_of_right() -> Repository:
    repository = diamond("right", "shared of right")
    repository.serve("first contact", {"x/file": None, "y/file": "shared", "y/late": "late"})
    return repository


def diamond_of_none() -> Repository:
    repository = diamond("none", "left", "right", "late")
    found = {"x/file": None, "y/file": None, "y/late": None}
    repository.serve("first contact", found, ("1.shared.json",), repository.trusted(shared=None))
    return repository


def outside_its_paths() -> Repository:
    repository = plain("outside_its_paths", "A role names only what its delegator lets it name (4.5).")
    outside = ["other/x", "vendor/deep/x", "vendor", "else.txt", "/vendor/a.txt", "../vendor/a.txt", "Vendor/a.txt"]
    repository.say("vendor", *outside, "top.txt")
    repository.publish_first()
    repository.serve("first contact", ALL_FOUND | dict.fromkeys(outside))
    return repository


def siblings(name: str, why: str) -> Repository:
    """A sibling stands behind the vendor, may name the vendor's paths, and names some of its own."""
    repository = plain(name, why)
    repository.delegate("targets", "sibling", ["vendor/*", "sibling/*"])
    repository.say("sibling", "vendor/a.txt", "vendor/b.txt", "sibling/x")
    return repository


def serve_without_vendor(repository: Repository, *refused: str) -> None:
    found = {"top.txt": "targets", "vendor/a.txt": None, "vendor/b.txt": None, "sibling/x": "sibling"}
    repository.serve("first contact", found, refused, repository.trusted(vendor=None))


def signed_by_a_sibling() -> Repository:
    repository = siblings("vendor_signed_by_a_sibling", "A sibling's key is not the role's (5.6.7).")
    repository.signers["vendor"] = [key("sibling")]
    repository.publish_first()
    serve_without_vendor(repository, "1.vendor.json")
    return repository


def withheld() -> Repository:
    repository = siblings("vendor_withheld", "A file that cannot be had ends the search (5.6.7).")
    repository.publish_first()
    del repository.files["1.vendor.json"]
    serve_without_vendor(repository)
    return repository


def left_out_of_the_snapshot() -> Repository:
    why = "A role that the snapshot does not list cannot be validated, and ends the search (5.6.7)."
    repository = siblings("vendor_left_out_of_the_snapshot", why)
    repository.publish_first()
    del repository.snapshot.meta["vendor.json"]
    repository.publish_snapshot()
    serve_without_vendor(repository)
    return repository
