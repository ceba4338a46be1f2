"""Writes the files in python_tuf/ (next to this script) with python-tuf 7.0.0 and securesystemslib 1.6.0."""
import hashlib, os
from datetime import datetime, timezone
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (DelegatedRole, Delegations, Key, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets,
                              Timestamp)
from tuf.api.serialization.json import JSONSerializer

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_tuf")
os.makedirs(out, exist_ok=True)
expires = datetime(2036, 1, 1, tzinfo=timezone.utc)
signers = {name: CryptoSigner.generate_ed25519() for name in ("root", "root2", "timestamp", "snapshot", "targets", "os")}
# The most unlike us that it can write: indented text, unsorted by anything but itself.
serializer = JSONSerializer(compact=False)


def write(name, signed, *by):
    metadata = Metadata(signed)
    for signer in by:
        metadata.sign(signers[signer], append=True)
    data = metadata.to_bytes(serializer)
    with open(os.path.join(out, name), "wb") as file:
        file.write(data)
    return data


def meta(data):
    return MetaFile(1, len(data), {"sha256": hashlib.sha256(data).hexdigest(), "sha512": hashlib.sha512(data).hexdigest()})


path = "os/e\u0301tude.manifest"
content = b"abc"
target = TargetFile.from_data(path, content, ["sha256", "sha512"])
target.unrecognized_fields["custom"] = {"note": "tab\tand \"quote\""}
channel = write("1.os.json", Targets(1, expires=expires, targets={path: target}), "os")
key = signers["os"].public_key
delegations = Delegations({key.keyid: key}, {"os": DelegatedRole("os", [key.keyid], 1, True, paths=["os/*"])})
targets = write("1.targets.json", Targets(1, expires=expires, delegations=delegations), "targets")
snapshot = write("1.snapshot.json", Snapshot(1, expires=expires, meta={
    "targets.json": meta(targets), "os.json": meta(channel)}), "snapshot")
write("timestamp.json", Timestamp(1, expires=expires, snapshot_meta=meta(snapshot)), "timestamp")
root = Root(1, expires=expires, consistent_snapshot=True)
for role in ("root", "timestamp", "snapshot", "targets"):
    root.add_key(signers[role].public_key, role)
root.unrecognized_fields["x-unknown"] = {"kept": [None, True, -1]}
write("1.root.json", root, "root")
root.add_key(signers["root2"].public_key, "root")
root.roles["root"].threshold = 2
root.version = 2
write("2.root.json", root, "root", "root2")
