"""Repositories that turn hostile, and some that recover."""

from collections.abc import Iterator

from signed_repository import ALL_FOUND, NONE_FOUND, Repository, key, plain, published

OLD, NEW = [key("root")], [key("root 2")]
ROTATED = "The old root's threshold must have signed, and the new one's (5.3.4)."
RECOVERED = "New keys for timestamp or snapshot, and no others, forget both files (5.3.11)."
# Higher than any honest version.
FAR = 2**31


def repositories() -> Iterator[Repository]:
    yield next_root("root_by_new_keys_only", ROTATED, 2, NEW)
    yield next_root("root_by_old_keys_only", ROTATED, 2, OLD)
    yield next_root("root_that_skips_a_version", "A root's version is the last one's plus 1 (5.3.5).", 3, OLD + NEW)
    yield from (root_by_one_of_two_old_keys(), root_by_the_keys_before_last())
    yield from (timestamp_by_a_revoked_key(), snapshot_by_a_revoked_key(), targets_by_a_revoked_key())
    yield from (vendor_by_a_revoked_key(), timestamp_rollback(), snapshot_drops_a_role())
    yield from (snapshot_takes_back("targets"), snapshot_takes_back("vendor"))
    for rotated in (["timestamp"], ["snapshot"], ["timestamp", "snapshot"]):
        yield fast_forward(rotated)
    yield fast_forward_below()


def next_root(name: str, why: str, version: int, by: list) -> Repository:
    """The second root has other root keys than the first."""
    repository = published(name, why)
    repository.serve("first contact", ALL_FOUND)
    repository.root.version = version
    repository.require("root", NEW)
    repository.files["2.root.json"] = repository.sign("root", by)
    repository.release("targets", "vendor")
    repository.serve_in_vain("a root and a release", "2.root.json")
    return repository


def root_by_one_of_two_old_keys() -> Repository:
    repository = plain("root_by_one_of_two_old_keys", ROTATED)
    repository.require("root", [*OLD, key("root 1")], 2)
    repository.publish_first()
    repository.root.version = 2
    repository.require("root", NEW)
    repository.publish_root(OLD + NEW)
    repository.serve("first contact", NONE_FOUND, ("2.root.json",), {"root": 1})
    return repository


def root_by_the_keys_before_last() -> Repository:
    repository = published("root_by_the_keys_before_last", ROTATED)
    repository.next_root(root="root 2")
    repository.root.version = 3
    repository.require("root", [key("root 3")])
    repository.publish_root([*OLD, key("root 3")])
    repository.serve("first contact", NONE_FOUND, ("3.root.json",), {"root": 2})
    return repository


def revoked(role: str, refused: str, **trusted: int | None) -> Repository:
    """The next root has another key for the role, whose file stays at first as it was."""
    repository = published(f"{role}_by_a_revoked_key", "The newest root's keys count (5.3.7, 5.3.11).")
    repository.serve("first contact", ALL_FOUND)
    repository.next_root(**{role: f"{role} 2"})
    repository.serve("only the root is new", NONE_FOUND, (refused,), repository.trusted(**trusted))
    repository.release("targets", "vendor")
    repository.serve("a release by the new key", ALL_FOUND)
    return repository


def timestamp_by_a_revoked_key() -> Repository:
    return revoked("timestamp", "timestamp.json", timestamp=None, snapshot=None)


def snapshot_by_a_revoked_key() -> Repository:
    return revoked("snapshot", "1.snapshot.json", snapshot=None)


def targets_by_a_revoked_key() -> Repository:
    return revoked("targets", "1.targets.json", targets=None, vendor=None)


def vendor_by_a_revoked_key() -> Repository:
    repository = published("vendor_by_a_revoked_key", "The delegator's newest word counts (5.6.7).")
    repository.serve("first contact", ALL_FOUND)
    repository.require("vendor", [key("vendor 2")])
    repository.signers["vendor"] = [key("vendor")]
    repository.release("targets")
    found = ALL_FOUND | {"vendor/a.txt": None}
    repository.serve("only targets is new", found, ("1.vendor.json",), repository.trusted(vendor=None))
    repository.signers["vendor"] = [key("vendor 2")]
    repository.release("vendor")
    repository.serve("a release by the new key", ALL_FOUND)
    return repository


def timestamp_rollback() -> Repository:
    repository = published("timestamp_rollback", "A timestamp takes back neither itself nor the snapshot (5.4.3).")
    first = repository.files["timestamp.json"]
    repository.release("targets", "vendor")
    repository.serve("the second release", ALL_FOUND)
    second = repository.files["timestamp.json"]
    repository.files["timestamp.json"] = first
    repository.serve_in_vain("the first release", "timestamp.json")
    repository.timestamp.unrecognized_fields["x-note"] = "says something else"
    repository.files["timestamp.json"] = repository.sign("timestamp")
    repository.serve_in_vain("another timestamp of the same version", "timestamp.json")
    repository.timestamp.version, repository.timestamp.snapshot_meta.version = 3, 1
    repository.files["timestamp.json"] = repository.sign("timestamp")
    repository.serve_in_vain("a newer timestamp that names the older snapshot", "timestamp.json")
    repository.files["timestamp.json"] = second
    repository.serve_in_vain("the second release again")
    return repository


def snapshot_drops_a_role() -> Repository:
    repository = published("snapshot_drops_a_role", "A role that was listed stays listed (5.5.5).")
    repository.serve("first contact", ALL_FOUND)
    trusted = repository.trusted(timestamp=2)
    repository.targets["targets"].delegations = None
    del repository.targets["vendor"], repository.snapshot.meta["vendor.json"]
    repository.release("targets")
    repository.serve("no vendor any more", NONE_FOUND, ("2.snapshot.json",), trusted)
    return repository


def snapshot_takes_back(role: str) -> Repository:
    repository = plain(f"snapshot_takes_{role}_back", "A snapshot takes no version back (5.5.5).")
    repository.targets[role].version = 2
    repository.publish_first()
    repository.serve("first contact", ALL_FOUND)
    trusted = repository.trusted(timestamp=2)
    repository.targets[role].version = 1
    repository.release()
    repository.serve("one version back", NONE_FOUND, ("2.snapshot.json",), trusted)
    repository.targets[role].version = 2
    repository.release(role)
    repository.serve("and on", ALL_FOUND)
    return repository


def fast_forward(rotated: list[str]) -> Repository:
    """A thief runs the versions of timestamp and snapshot up."""
    repository = plain(f"fast_forward_and_new_keys_of_{'_and_'.join(rotated)}", RECOVERED)
    repository.timestamp.version = repository.snapshot.version = FAR
    repository.publish_first()
    repository.serve("versions run up", ALL_FOUND)
    far = repository.trusted(root=2)
    repository.timestamp.version = repository.snapshot.version = 1
    repository.publish()
    repository.serve_in_vain("low versions", "timestamp.json")
    repository.next_root(root="root 2")
    repository.serve("a new root with the same keys of both", ALL_FOUND, ("timestamp.json",), far)
    repository.next_root(**{role: f"{role} 2" for role in rotated})
    repository.release("vendor")
    repository.serve("a new root with new keys", ALL_FOUND)
    return repository


def fast_forward_below() -> Repository:
    """A thief runs the versions of targets and of the vendor up, which the snapshot keeps."""
    repository = plain("fast_forward_of_targets", RECOVERED)
    repository.targets["targets"].version = repository.targets["vendor"].version = FAR
    repository.publish_first()
    repository.serve("versions run up", ALL_FOUND)
    far = {"snapshot": 1, "targets": FAR, "vendor": FAR}
    repository.targets["targets"].version = repository.targets["vendor"].version = 1
    repository.release("targets", "vendor")
    repository.serve("low versions", NONE_FOUND, ("2.snapshot.json",), repository.trusted(**far))
    repository.next_root(targets="targets 2")
    repository.release()
    no_targets = {"snapshot": 1, "targets": None, "vendor": None}
    repository.serve("a new key of targets", NONE_FOUND, ("3.snapshot.json",), repository.trusted(**no_targets))
    repository.next_root(snapshot="snapshot 2")
    repository.release()
    repository.serve("a new key of snapshot", ALL_FOUND)
    return repository
