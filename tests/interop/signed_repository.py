"""A repository that python-tuf signs, step by step, and what the specification demands of whoever reads it."""

import functools
import hashlib
import json
import pathlib
from datetime import datetime, timezone
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

EXPIRES = datetime(2036, 1, 1, tzinfo=timezone.utc)
TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")


@functools.cache
def key(name: str, keyid: str | None = None) -> CryptoSigner:
    """The key of this name, on request under another keyid. It is the same in every run, and so is every file."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key(), keyid))


class Repository:
    """What the roles say now, who signs it, and which files are served."""

    def __init__(self, name: str, why: str, hashes: tuple[str, ...] = ("sha256",), compact: bool = True):
        self.name, self.why = name, why
        # By which hashes files are named; if by none, metadata is named by its version alone.
        self.hashes = hashes
        self.serializer = JSONSerializer(compact=compact)
        self.root = Root(1, expires=EXPIRES, consistent_snapshot=True)
        self.timestamp = Timestamp(1, expires=EXPIRES)
        self.snapshot = Snapshot(1, expires=EXPIRES, meta={})
        self.targets = {"targets": Targets(1, expires=EXPIRES)}
        self.signers: dict[str, list[CryptoSigner]] = {}
        # Changes a role's envelope once it is signed.
        self.touch_up = {}
        self.files: dict[str, bytes] = {}
        self.steps: list[dict] = []
        for role in TOP_LEVEL:
            self.require(role, [key(role)])

    def said_by(self, role: str) -> Signed:
        top_level = {"root": self.root, "timestamp": self.timestamp, "snapshot": self.snapshot}
        return top_level.get(role) or self.targets[role]

    def file_name(self, role: str) -> str:
        return "timestamp.json" if role == "timestamp" else f"{self.said_by(role).version}.{quote(role, '')}.json"

    def require(self, role: str, signers: list[CryptoSigner], threshold: int = 1) -> None:
        """From now on so many of these keys must sign for the role, and all of them do."""
        self.signers[role] = signers
        delegations = (targets.delegations for targets in self.targets.values() if targets.delegations)
        for delegator in [self.root] if role in TOP_LEVEL else [some for some in delegations if role in some.roles]:
            delegator.keys.update({signer.public_key.keyid: signer.public_key for signer in signers})
            delegator.roles[role].keyids = [signer.public_key.keyid for signer in signers]
            delegator.roles[role].threshold = threshold

    def delegate(
        self,
        delegator: str,
        role: str,
        paths: list[str] | None,
        terminating: bool = False,
        prefixes: list[str] | None = None,
        signer: CryptoSigner | None = None,
    ) -> None:
        """Lets a role name the paths of these patterns, or of these prefixes, with a key of its own."""
        public = (signer or key(role)).public_key
        if self.targets[delegator].delegations is None:
            self.targets[delegator].delegations = Delegations({}, {})
        delegations = self.targets[delegator].delegations
        delegations.keys[public.keyid] = public
        delegations.roles[role] = DelegatedRole(role, [public.keyid], 1, terminating, paths, prefixes)
        self.targets.setdefault(role, Targets(1, expires=EXPIRES))
        self.signers.setdefault(role, [signer or key(role)])

    def say(self, role: str, *paths: str) -> None:
        """Lets the role name these paths, each as a file that no other role and no other version of it names so."""
        version = self.targets[role].version
        for path in paths:
            content = f"{path} as version {version} of {role} has it".encode()
            self.targets[role].targets[path] = TargetFile.from_data(path, content, list(self.hashes) or ["sha256"])

    def sign(self, role: str, by: list[CryptoSigner] | None = None) -> bytes:
        metadata = Metadata(self.said_by(role))
        for signer in self.signers[role] if by is None else by:
            metadata.sign(signer, append=True)
        self.touch_up.get(role, lambda metadata: None)(metadata)
        return metadata.to_bytes(self.serializer)

    def named(self, role: str, data: bytes) -> MetaFile:
        version = self.said_by(role).version
        return MetaFile.from_data(version, data, list(self.hashes)) if self.hashes else MetaFile(version)

    def publish_root(self, by: list[CryptoSigner] | None = None) -> None:
        self.files[self.file_name("root")] = self.sign("root", by)

    def next_root(self, **keys: str) -> None:
        """Publishes the next root, in which these roles have these keys; the old root keys sign it and the new."""
        old = self.signers["root"]
        self.root.version += 1
        for role, name in keys.items():
            self.require(role, [key(name)])
        self.publish_root(old + [signer for signer in self.signers["root"] if signer not in old])

    def publish(self) -> None:
        """Signs all files but roots as things stand, each naming those below."""
        for role in self.targets:
            data = self.files[self.file_name(role)] = self.sign(role)
            self.snapshot.meta[f"{role}.json"] = self.named(role, data)
        self.publish_snapshot()

    def publish_first(self) -> None:
        """Signs all files as things stand, the first root too."""
        self.publish_root()
        self.publish()

    def publish_snapshot(self) -> None:
        data = self.files[self.file_name("snapshot")] = self.sign("snapshot")
        self.timestamp.snapshot_meta = self.named("snapshot", data)
        self.files["timestamp.json"] = self.sign("timestamp")

    def release(self, *roles: str) -> None:
        """Publishes the next release, in which these roles have a new version."""
        for role in ("snapshot", "timestamp", *roles):
            self.said_by(role).version += 1
        for role in roles:
            self.say(role, *self.targets[role].targets)
        self.publish()

    def trusted(self, **other: int | None) -> dict[str, int | None]:
        """The versions of all roles, but for these; none of a role that is not trusted."""
        return {role: self.said_by(role).version for role in [*TOP_LEVEL, *self.targets]} | other

    def serve(
        self,
        why: str,
        found: dict[str, str | None],
        refused: tuple[str, ...] = (),
        trusted: dict[str, int | None] | None = None,
    ) -> None:
        """Serves the files that there are. `found` tells for every path which role's word holds, if any, and
        `trusted` the version of every role that is trusted, if that is not the newest of all."""
        named = {path for targets in self.targets.values() for path in targets.targets}
        assert named <= found.keys(), f"{self.name} says nothing of {named - found.keys()}"
        verdicts = {path: role and self.targets[role].targets[path].to_dict() for path, role in found.items()}
        trusted = dict.fromkeys([*TOP_LEVEL, *self.targets]) | (self.trusted() if trusted is None else trusted)
        step = {"why": why, "trusted": trusted, "refused": list(refused), "found": verdicts}
        self.steps.append({"files": dict(self.files), "expect": step})

    def serve_in_vain(self, why: str, *refused: str) -> None:
        """Serves the files that there are, of which these are refused, and everything stays as it was."""
        before = self.steps[-1]["expect"]
        step = before | {"why": why, "refused": list(refused)}
        self.steps.append({"files": dict(self.files), "expect": step})

    def write(self, out: pathlib.Path) -> None:
        place = out / self.name
        for number, step in enumerate(self.steps, 1):
            folder = place / f"step{number}"
            folder.mkdir(parents=True)
            for name, data in step["files"].items():
                (folder / name).write_bytes(data)
        expect = {"why": self.why, "steps": [step["expect"] for step in self.steps]}
        (place / "expect.json").write_text(json.dumps(expect, indent=1))


# Whose file hangs on whose, in a plain repository.
CHAIN = (*TOP_LEVEL, "vendor")
ALL_FOUND = {"top.txt": "targets", "vendor/a.txt": "vendor"}
NONE_FOUND = {"top.txt": None, "vendor/a.txt": None}


def plain(name: str, why: str, **form) -> Repository:
    """The top-level role names a file and lets a vendor name others. Nothing is signed yet."""
    repository = Repository(name, why, **form)
    repository.delegate("targets", "vendor", ["vendor/*"])
    repository.say("targets", "top.txt")
    repository.say("vendor", "vendor/a.txt")
    return repository


def published(name: str, why: str, **form) -> Repository:
    """A plain repository whose first release is signed."""
    repository = plain(name, why, **form)
    repository.publish_first()
    return repository
