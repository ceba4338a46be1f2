//! CBOR, through the one place that names ciborium. Hashes and signatures are always over the exact
//! bytes received, never over a re-encoding, because ciborium is not canonical.

pub use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};
use std::io;

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
    write(value, &mut bytes);
    bytes
}

/// Appends the encoding of `value` to memory, or counts it.
///
/// # Panics
/// As [`encode`] does.
pub fn write<T: Serialize>(value: &T, to: &mut impl io::Write) {
    ciborium::into_writer(value, to).expect("writing CBOR to memory cannot fail");
}

/// Takes bytes and only counts them.
#[derive(Debug, Default)]
pub struct Length(u64);

impl Length {
    /// How many bytes it took.
    pub fn bytes(&self) -> u64 {
        self.0
    }
}

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
