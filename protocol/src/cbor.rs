//! CBOR, through the one place that names ciborium. Hashes and signatures are always over the exact
//! bytes received, never over a re-encoding, because ciborium is not canonical.

pub use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};

/// Why bytes are not the CBOR that was expected.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not CBOR, or not of the expected shape.
    #[error("malformed CBOR: {0}")]
    Malformed(String),
    /// A whole value was read and bytes are left.
    #[error("{0} bytes after the end of the value")]
    TrailingBytes(usize),
}

/// The encoding of `value`.
///
/// # Panics
/// If `value` has a part that CBOR cannot hold; the types of this crate have none.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("writing CBOR to memory cannot fail");
    bytes
}

/// The one value that `bytes` hold, to their last byte.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::TrailingBytes(rest.len())) }
}

/// A value of type `T` out of one that was decoded without knowing its shape.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, DecodeError> {
    value.deserialized().map_err(|error| DecodeError::Malformed(error.to_string()))
}
