//! The one check of signatures. Every file that becomes trusted has passed through [`verify`].

use super::envelope::Envelope;
use super::key::{Key, PublicKey};
use super::metadata::Authority;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Who must have signed a file.
#[derive(Clone, Copy)]
pub struct Warrant<'a> {
    /// Ids of keys, and how many of them.
    pub authority: &'a Authority,
    /// Keys by id, perhaps beside others.
    pub keys: &'a BTreeMap<String, Key>,
}

impl Warrant<'_> {
    /// What a verdict by this warrant may be kept under: equal for equal keys and thresholds.
    pub fn digest(&self) -> [u8; 32] {
        let keys: Vec<Option<&Key>> = self.authority.keyids.iter().map(|id| self.keys.get(id)).collect();
        let text = serde_json::to_vec(&(self.authority, keys)).expect("metadata types serialise to JSON");
        Sha256::digest(text).into()
    }
}

/// Why a file does not bear the signatures that it needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Nobody signed it.
    #[error("nobody signed it")]
    Unsigned,
    /// A signature in the name of a key that may sign is not that key's, and without it too few are left.
    #[error("the signature by key {keyid:?} is not over these bytes")]
    Forged {
        /// The key's id.
        keyid: String,
    },
    /// It is signed, but by too few of the keys that may sign. A file that was signed for an older or
    /// newer root looks so too.
    #[error("{valid} of the keys that may sign have signed it, and {threshold} must")]
    TooFew {
        /// Distinct keys whose signatures are good.
        valid: u64,
        /// How many are needed.
        threshold: u64,
    },
}

/// Checks that enough distinct keys of `authority` signed the envelope.
///
/// A key id only looks a key up: what counts is distinct public keys, so that one key under two ids
/// counts once.
pub fn verify<B>(
    envelope: &Envelope<B>,
    authority: &Authority,
    keys: &BTreeMap<String, Key>,
) -> Result<(), SignatureError> {
    let mut valid: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut forged = None;
    for keyid in &authority.keyids {
        // An empty signature stands for one that is still to come (TUF 1.0.34, section 4.2.1).
        let signature = envelope.signatures.get(keyid).filter(|signature| !signature.is_empty());
        let key = keys.get(keyid).and_then(Key::public_key);
        let (Some(signature), Some(key)) = (signature, key) else { continue };
        if !is_signature(signature, &key, &envelope.canonical) {
            forged = Some(keyid);
        } else if valid.insert(key.bytes().to_vec()) && valid.len() as u64 >= authority.threshold {
            return Ok(()); // Each further check would take as long as to hash the file.
        }
    }
    let valid = valid.len() as u64;
    Err(match forged {
        Some(keyid) => SignatureError::Forged { keyid: keyid.chars().take(80).collect() },
        None if envelope.signatures.values().all(String::is_empty) => SignatureError::Unsigned,
        None => SignatureError::TooFew { valid, threshold: authority.threshold },
    })
}

fn is_signature(hexadecimal: &str, key: &PublicKey, message: &[u8]) -> bool {
    hex::decode(hexadecimal).is_ok_and(|signature| key.verifies(message, &signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(public: &str) -> PublicKey {
        let bytes = hex::decode(public).unwrap().try_into().unwrap();
        PublicKey::Ed25519(ed25519_dalek::VerifyingKey::from_bytes(&bytes).unwrap())
    }

    /// RFC 8032, section 7.1, tests 1 to 3: public key, message, signature.
    const RFC_8032: [(&str, &str, &str); 3] = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];

    #[test]
    fn signatures_of_rfc_8032_are_good_and_those_one_bit_off_are_not() {
        for (public, message, signature) in RFC_8032 {
            let (key, message) = (key(public), hex::decode(message).unwrap());
            assert!(is_signature(signature, &key, &message));
            assert!(!is_signature(signature, &key, &[&message[..], b"x"].concat()));
            for bit in 0..512 {
                let mut wrong = hex::decode(signature).unwrap();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_signature(&hex::encode(wrong), &key, &message), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_second_spelling_of_a_signature_is_refused() {
        // S of RFC 8032 test 1 plus the group's order L: the same number modulo L.
        let order: [u8; 32] = {
            let mut order = [0; 32];
            order[..16].copy_from_slice(&hex::decode("edd3f55c1a631258d69cf7a2def9de14").unwrap());
            order[31] = 0x10;
            order
        };
        let (public, _, signature) = RFC_8032[0];
        let mut spelled = hex::decode(signature).unwrap();
        let mut carry = 0;
        for (digit, add) in spelled[32..].iter_mut().zip(order) {
            carry += u16::from(*digit) + u16::from(add);
            *digit = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert!(!is_signature(&hex::encode(spelled), &key(public), b""));
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The identity as key and as R, with S = 0: the plain equation holds for every message.
        let identity = format!("01{}", "00".repeat(31));
        let signature = format!("{identity}{}", "00".repeat(32));
        assert!(!is_signature(&signature, &key(&identity), b"anything"));
    }
}
