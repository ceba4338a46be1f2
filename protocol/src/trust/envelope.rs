//! The form that all metadata files share: something signed, and signatures.
//!
//! [`Envelope::parse`] reads a file and believes nothing of it yet; [`verify`](super::verify) and
//! [`TrustedSet`](super::TrustedSet) do.

use super::date::Date;
use super::json::{Json, JsonError};
use super::role::RoleNameError;
use crate::limits;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the TUF specification that our files state.
pub const SPEC_VERSION: &str = "1.0.34";

/// A file that was read strictly, and not yet believed.
#[derive(Debug)]
pub struct Envelope<B> {
    /// Signatures by key id, as hexadecimal text.
    pub signatures: BTreeMap<String, String>,
    /// What the signatures are over.
    pub canonical: Vec<u8>,
    /// What the file says.
    pub signed: Signed<B>,
}

/// The part of a file that is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<B> {
    /// The kind of file: [`Body::TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The version of the specification it follows.
    pub spec_version: String,
    /// Counts up from 1.
    pub version: u64,
    /// From this second on the file is stale.
    pub expires: Date,
    /// What is particular to the kind.
    #[serde(flatten)]
    pub body: B,
}

/// A kind of metadata file.
pub trait Body: Serialize + DeserializeOwned {
    /// Its name in `_type`.
    const TYPE: &'static str;
    /// Largest file of this kind, in bytes.
    const BYTES_MAX: u64;
    /// Refuses what the types allow and the specification, or this code, does not.
    fn check(&self) -> Result<(), MetadataError>;
}

/// Why bytes are not a metadata file of the expected kind.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Longer than any lawful file of the kind.
    #[error("{bytes} bytes, more than the {bytes_max} that such a file may have")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is missing or not of its type.
    #[error("not TUF metadata")]
    Shape(#[source] serde_json::Error),
    /// Another kind of file.
    #[error("its type is {found:?}, not {expected:?}")]
    WrongType {
        /// What was wanted.
        expected: &'static str,
        /// What it says it is.
        found: String,
    },
    /// Legal elsewhere, or nowhere, but not here.
    #[error("{0}")]
    Unlawful(&'static str),
    /// A delegation to a role with an unusable name.
    #[error(transparent)]
    RoleName(#[from] RoleNameError),
}

/// The envelope as it is written.
#[derive(Deserialize)]
struct Written<B> {
    signatures: Vec<WrittenSignature>,
    signed: Signed<B>,
}

#[derive(Deserialize)]
struct WrittenSignature {
    keyid: String,
    sig: String,
}

impl<B: Body> Envelope<B> {
    /// Reads a file strictly. It is read twice: once for the one form that is signed, which refuses
    /// all that is ambiguous, and once into its type.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        if bytes.len() as u64 > B::BYTES_MAX {
            return Err(MetadataError::TooLong { bytes: bytes.len() as u64, bytes_max: B::BYTES_MAX });
        }
        let json = Json::parse(bytes)?;
        let canonical = json.get("signed").ok_or(MetadataError::Unlawful("it has no part \"signed\""))?.canonical();
        drop(json);
        let written: Written<B> = serde_json::from_slice(bytes).map_err(MetadataError::Shape)?;
        check_header(&written.signed)?;
        written.signed.body.check()?;
        if written.signatures.len() > limits::SIGNATURES_MAX {
            return Err(MetadataError::Unlawful("more signatures than any lawful file has"));
        }
        let mut signatures = BTreeMap::new();
        for WrittenSignature { keyid, sig } in written.signatures {
            if signatures.insert(keyid, sig).is_some() {
                return Err(MetadataError::Unlawful("two signatures by one key id"));
            }
        }
        Ok(Envelope { signatures, canonical, signed: written.signed })
    }
}

fn check_header<B: Body>(signed: &Signed<B>) -> Result<(), MetadataError> {
    if signed.kind != B::TYPE {
        let found = signed.kind.chars().take(40).collect();
        return Err(MetadataError::WrongType { expected: B::TYPE, found });
    }
    if signed.spec_version != "1" && !signed.spec_version.starts_with("1.") {
        return Err(MetadataError::Unlawful("it follows another major version of the TUF specification"));
    }
    if signed.version == 0 {
        return Err(MetadataError::Unlawful("its version is 0; versions count from 1"));
    }
    Ok(())
}

/// The version that a file states, if it looks like metadata at all. Nothing is built from the bytes,
/// so this is cheap for any input; nothing may be believed because of it either.
pub fn stated_version(bytes: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Outline {
        signed: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    serde_json::from_slice::<Outline>(bytes).ok().map(|outline| outline.signed.version)
}

impl<B: Body> Signed<B> {
    /// What a publisher is about to sign.
    pub fn new(version: u64, expires: Date, body: B) -> Self {
        Signed { kind: B::TYPE.to_owned(), spec_version: SPEC_VERSION.to_owned(), version, expires, body }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::{Root, Snapshot, Targets, Timestamp};
    use super::super::role::Role;
    use super::super::sample::Sample;
    use super::*;
    use serde_json::{Value, json};

    /// The sample's file with the value at `pointer` changed.
    fn changed(role: &Role, pointer: &str, value: Value) -> Vec<u8> {
        let mut file: Value = serde_json::from_slice(&Sample::release(1).file(role)).unwrap();
        *file.pointer_mut(pointer).unwrap() = value;
        serde_json::to_vec(&file).unwrap()
    }

    #[test]
    fn a_header_that_is_not_to_the_letter_is_refused() {
        let cases = [
            ("/signed/_type", json!("targets")),
            ("/signed/_type", json!("Timestamp")),
            ("/signed/spec_version", json!("2.0")),
            ("/signed/spec_version", json!("10.0")),
            ("/signed/version", json!(0)),
            ("/signed/version", json!(-1)),
            ("/signed/version", json!("1")),
            ("/signed/version", json!(null)),
            ("/signed/expires", json!("2027-01-30T00:00:00+00:00")),
            ("/signed/expires", json!(1)),
            ("/signed", json!([])),
            ("/signatures", json!({})),
            ("/signed/meta", json!({})),
            ("/signed/meta/snapshot.json/version", json!(0)),
            ("/signed/meta/snapshot.json/length", json!(-1)),
            ("/signed/meta/snapshot.json/hashes", json!({ "sha512": "00" })),
            ("/signed/meta/snapshot.json/hashes/sha256", json!("00")),
        ];
        assert!(Envelope::<Timestamp>::parse(&Sample::release(1).file(&Role::Timestamp)).is_ok());
        for (pointer, value) in cases {
            let bytes = changed(&Role::Timestamp, pointer, value.clone());
            assert!(Envelope::<Timestamp>::parse(&bytes).is_err(), "{pointer} {value}");
        }
        let text = String::from_utf8(Sample::release(1).file(&Role::Timestamp)).unwrap();
        for (from, to) in [("\"version\":1", "\"version\":1.0"), ("\"version\":1", "\"version\":1,\"version\":1")] {
            assert!(Envelope::<Timestamp>::parse(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_root_that_lets_anybody_sign_is_refused() {
        let keyid = Sample::release(1).root_body().authority(&Role::Root).keyids[0].clone();
        let cases = [
            ("/signed/roles/timestamp/threshold", json!(0)),
            ("/signed/roles/timestamp/threshold", json!(-1)),
            ("/signed/roles/root/keyids", json!([keyid, keyid])),
            ("/signed/roles/root/keyids", json!(["1", "2", "3", "4", "5", "6", "7", "8", "9"])),
            ("/signed/roles/targets", json!({})),
            ("/signed/roles", json!({})),
            ("/signed/consistent_snapshot", json!("yes")),
        ];
        assert!(Envelope::<Root>::parse(&Sample::release(1).file(&Role::Root)).is_ok());
        let eight = changed(&Role::Root, "/signed/roles/root/keyids", json!(["1", "2", "3", "4", "5", "6", "7", "8"]));
        assert!(Envelope::<Root>::parse(&eight).is_ok());
        for (pointer, value) in cases {
            assert!(
                Envelope::<Root>::parse(&changed(&Role::Root, pointer, value.clone())).is_err(),
                "{pointer} {value}"
            );
        }
    }

    #[test]
    fn a_snapshot_that_names_nothing_to_begin_with_is_refused() {
        let meta = json!({ "targets.json": { "version": 1 }, "os.json": { "version": 1 } });
        let parse = |meta: &Value| Envelope::<Snapshot>::parse(&changed(&Role::Snapshot, "/signed/meta", meta.clone()));
        assert!(parse(&meta).is_ok());
        assert!(parse(&json!({ "os.json": { "version": 1 } })).is_err());
        for (file, wrong) in
            [("os.json", json!({ "version": 0 })), ("targets.json", json!({ "version": 1, "hashes": {} }))]
        {
            let mut meta = meta.clone();
            meta[file] = wrong;
            assert!(parse(&meta).is_err(), "{meta}");
        }
    }

    #[test]
    fn a_delegation_that_cannot_be_followed_safely_is_refused() {
        let delegations = json!({ "keys": {}, "roles": [] });
        let role = |name: &str| json!({ "name": name, "keyids": [], "threshold": 1, "terminating": true, "paths": [] });
        let with =
            |roles: Vec<Value>| changed(&Role::Targets, "/signed/delegations", json!({ "keys": {}, "roles": roles }));
        let numbered = |count: usize| (0..count).map(|at| role(&format!("channel{at}"))).collect();
        assert!(Envelope::<Targets>::parse(&with(numbered(limits::DELEGATIONS_PER_FILE_MAX))).is_ok());
        assert!(Envelope::<Targets>::parse(&with(numbered(limits::DELEGATIONS_PER_FILE_MAX + 1))).is_err());
        assert!(Envelope::<Targets>::parse(&with(vec![role("os"), role("os")])).is_err());
        assert!(Envelope::<Targets>::parse(&with(vec![role("../os")])).is_ok(), "files are not named so");
        assert!(Envelope::<Targets>::parse(&with(vec![role("")])).is_err());
        assert!(Envelope::<Targets>::parse(&with(vec![role("root")])).is_err());
        for (field, value) in [("threshold", json!(0)), ("path_hash_prefixes", json!([])), ("paths", json!(null))] {
            let mut role = role("os");
            role[field] = value;
            assert!(Envelope::<Targets>::parse(&with(vec![role])).is_err(), "{field}");
        }
        let mut succinct = delegations;
        succinct["succinct_roles"] = json!({ "bit_length": 1 });
        assert!(Envelope::<Targets>::parse(&changed(&Role::Targets, "/signed/delegations", succinct)).is_err());
    }

    #[test]
    fn a_file_that_only_costs_time_is_refused() {
        let signature = |at: usize| json!({ "keyid": at.to_string(), "sig": "" });
        let signatures = |count: usize| (0..count).map(signature).collect::<Vec<_>>();
        let parse = |signatures: Vec<Value>| {
            Envelope::<Timestamp>::parse(&changed(&Role::Timestamp, "/signatures", json!(signatures)))
        };
        assert!(parse(signatures(limits::SIGNATURES_MAX)).is_ok());
        assert!(parse(signatures(limits::SIGNATURES_MAX + 1)).is_err());
        assert!(parse(vec![signature(1), signature(1)]).is_err());
        let mut long = Sample::release(1).file(&Role::Timestamp);
        long.resize(limits::TIMESTAMP_BYTES_MAX as usize, b' ');
        assert!(Envelope::<Timestamp>::parse(&long).is_ok());
        long.push(b' ');
        assert!(matches!(Envelope::<Timestamp>::parse(&long), Err(MetadataError::TooLong { .. })));
    }

    #[test]
    fn unknown_fields_are_part_of_what_is_signed() {
        let plain = Envelope::<Timestamp>::parse(&Sample::release(1).file(&Role::Timestamp)).unwrap();
        let mut file: Value = serde_json::from_slice(&Sample::release(1).file(&Role::Timestamp)).unwrap();
        file["signed"]["x-other"] = json!([1]);
        let other = Envelope::<Timestamp>::parse(&serde_json::to_vec(&file).unwrap()).unwrap();
        assert_eq!(plain.signed, other.signed);
        assert_ne!(plain.canonical, other.canonical);
    }

    #[test]
    fn the_stated_version_is_found_without_a_reading() {
        assert_eq!(stated_version(&Sample::release(7).file(&Role::Targets)), Some(7));
        assert_eq!(stated_version(b"[[[[[["), None);
        assert_eq!(stated_version(br#"{"signed":{"version":-1}}"#), None);
    }
}
