//! The time, as a signer's server states it to one device that asks, with a number that nobody could know before.
//!
//! A laptop whose clock's battery is dead has no other way to learn what time it is than to ask somebody whom it
//! believes. The statement has the form of a metadata file of a type of its own, and is signed by the keys that sign the
//! timestamp, which already say how fresh everything is; so they gain no power by it.

use super::date::Date;
use super::envelope::{Body, Envelope, MetadataError, Signed};
use super::metadata::Root;
use super::role::Role;
use super::sign::{SecretKey, sign};
use super::verify::{SignatureError, verify};
use crate::time::UnixTime;
use serde::{Deserialize, Serialize};

/// Bytes of a number that is used once: nobody guesses it, and nobody draws the same again.
pub const NONCE_BYTES: usize = 16;

/// A number that is used once.
pub type Nonce = [u8; NONCE_BYTES];

/// What is stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StatedTime {
    /// The asker's number, in hexadecimal.
    nonce: String,
    /// The time by the server's clock.
    time: Date,
}

/// Why bytes do not state the time.
#[derive(Debug, thiserror::Error)]
pub enum StatedTimeError {
    /// They are no such statement.
    #[error("it is no statement of the time")]
    Unreadable(#[from] MetadataError),
    /// It answers another question, perhaps one of long ago.
    #[error("it is the answer to another question")]
    OtherNonce,
    /// The timestamp's keys have not signed it.
    #[error("it is not signed by the keys that sign the timestamp")]
    Signatures(#[from] SignatureError),
}

impl Body for StatedTime {
    const TYPE: &'static str = "x-homeroom-time";
    /// Ten signatures of ten keys fit.
    const BYTES_MAX: u64 = 4096;

    fn check(&self) -> Result<(), MetadataError> {
        Ok(())
    }
}

/// States the time to whoever drew `nonce`.
pub fn state_time(nonce: &Nonce, now: UnixTime, keys: &[&SecretKey]) -> Vec<u8> {
    let time = Date::new(now);
    sign(&Signed::new(1, time, StatedTime { nonce: hex::encode(nonce), time }), keys)
}

/// The time that is stated to whoever drew `nonce`, if the timestamp's keys of `root` signed that.
pub fn stated_time(bytes: &[u8], nonce: &Nonce, root: &Root) -> Result<UnixTime, StatedTimeError> {
    let envelope = Envelope::<StatedTime>::parse(bytes)?;
    if envelope.signed.body.nonce != hex::encode(nonce) {
        return Err(StatedTimeError::OtherNonce);
    }
    verify(&envelope, root.authority(&Role::Timestamp), &root.keys)?;
    Ok(envelope.signed.body.time.unix_time())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{SIGNED_AT, Sample, secret_key};
    use super::*;

    const NONCE: Nonce = [7; NONCE_BYTES];

    #[test]
    fn only_the_timestamps_keys_state_the_time_and_only_to_whoever_asked() {
        let sample = Sample::release(1);
        let set = sample.trusted();
        let root = &set.root().body;
        let signers: Vec<SecretKey> = sample.timestamp_keys.iter().map(|number| secret_key(*number)).collect();
        let keys: Vec<&SecretKey> = signers.iter().collect();
        let stated = state_time(&NONCE, SIGNED_AT, &keys);
        assert_eq!(stated_time(&stated, &NONCE, root).unwrap(), SIGNED_AT);
        assert!(matches!(stated_time(&stated, &[8; NONCE_BYTES], root), Err(StatedTimeError::OtherNonce)));
        let strangers = state_time(&NONCE, SIGNED_AT, &[&secret_key(99)]);
        assert!(matches!(stated_time(&strangers, &NONCE, root), Err(StatedTimeError::Signatures(_))));
        // What the same keys signed as something else states no time.
        let timestamp = sample.file(&Role::Timestamp);
        assert!(matches!(stated_time(&timestamp, &NONCE, root), Err(StatedTimeError::Unreadable(_))));
        for at in 0..stated.len() {
            let mut damaged = stated.clone();
            damaged[at] ^= 1;
            // A damaged letter may leave what is signed and the signature as they are, and then it is no lie.
            let read = stated_time(&damaged, &NONCE, root);
            assert!(read.is_err() || read.is_ok_and(|time| time == SIGNED_AT), "byte {at}");
        }
    }
}
