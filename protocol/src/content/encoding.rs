//! How a chunk's bytes are written, at rest in a repository and on the wire: as they are, or
//! compressed, whichever is smaller. Reading is safe on any input: it never makes more than the
//! stated plain length, and whether the bytes are right only the chunk's name decides.

use crate::limits::{CHUNK_BYTES_MAX, DOCUMENT_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, DCtx, get_error_name, get_frame_content_size};

/// The form of a chunk's bytes. Numbers are fixed for good; 2 is meant for chunks that are
/// compressed against bytes which the receiver holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Encoding {
    /// The plain bytes.
    Raw,
    /// One zstd frame, smaller than the plain bytes.
    Zstd,
}

/// A form that this reader does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown chunk encoding {0}; this homeroom is too old to read it")]
pub struct UnknownEncoding(pub u8);

impl From<Encoding> for u8 {
    fn from(encoding: Encoding) -> u8 {
        match encoding {
            Encoding::Raw => 0,
            Encoding::Zstd => 1,
        }
    }
}

impl TryFrom<u8> for Encoding {
    type Error = UnknownEncoding;

    fn try_from(number: u8) -> Result<Self, UnknownEncoding> {
        match number {
            0 => Ok(Encoding::Raw),
            1 => Ok(Encoding::Zstd),
            other => Err(UnknownEncoding(other)),
        }
    }
}

/// Entries of zstd's two tables as powers of two. Those of its choice are for inputs larger than a chunk, and miss
/// the cache: these cost a system's tree 0.1 % more bytes, and a sixth less time.
const CHUNK_HASH_LOG: u32 = 15;
const CHUNK_CHAIN_LOG: u32 = 14;

/// Writes chunks. One is kept per worker, because setting up zstd costs as much as a small chunk.
pub struct Encoder {
    compressor: Compressor<'static>,
}

impl Encoder {
    /// An encoder at a zstd level, 1 to 22.
    ///
    /// # Panics
    /// If the level does not exist, or there is no memory for zstd's tables.
    pub fn new(level: i32) -> Self {
        let small_tables = |mut compressor: Compressor<'static>| {
            compressor.set_parameter(CParameter::HashLog(CHUNK_HASH_LOG))?;
            compressor.set_parameter(CParameter::ChainLog(CHUNK_CHAIN_LOG))?;
            Ok(compressor)
        };
        let compressor: std::io::Result<_> = Compressor::new(level).and_then(small_tables);
        Self { compressor: compressor.expect("a zstd level between 1 and 22, and memory for its tables") }
    }

    /// The smaller form of `plain`: zstd if that saves at least a byte, else as it is.
    pub fn encode<'a>(&mut self, plain: impl Into<Cow<'a, [u8]>>) -> (Encoding, Cow<'a, [u8]>) {
        let plain = plain.into();
        // With no room for anything as large as the input, zstd stops early on what does not shrink;
        // whatever else could stop it, the plain bytes are always a right answer.
        let mut wire = Vec::with_capacity(plain.len().saturating_sub(1));
        match self.compressor.compress_to_buffer(plain.as_ref(), &mut wire) {
            Ok(_) if wire.len() < plain.len() => (Encoding::Zstd, Cow::Owned(wire)),
            _ => (Encoding::Raw, plain),
        }
    }
}

/// Why bytes cannot be the stated form of a chunk of the stated length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkDecodeError {
    /// No chunk is that long.
    #[error("a chunk of {0} bytes was announced; none is longer than {CHUNK_BYTES_MAX}")]
    TooLong(u32),
    /// A compressed form that is not smaller is never written, and could hide any amount of padding.
    #[error("{wire_bytes} bytes were sent for a chunk of {plain_bytes}")]
    NotSmaller {
        /// Length of what came.
        wire_bytes: usize,
        /// Length of the chunk.
        plain_bytes: u32,
    },
    /// The bytes decode to another length, or to more than the stated one.
    #[error("the bytes do not decode to the {plain_bytes} announced")]
    WrongLength {
        /// Length of the chunk.
        plain_bytes: u32,
    },
    /// Not a zstd frame.
    #[error("the bytes are no zstd frame: {0}")]
    Malformed(String),
}

/// The plain bytes that `wire` holds in the form `encoding`: exactly `plain_bytes` of them. Memory is
/// bounded by `plain_bytes`, because zstd decodes into that one buffer and keeps no window beside it.
pub fn decode(encoding: Encoding, wire: &[u8], plain_bytes: u32) -> Result<Cow<'_, [u8]>, ChunkDecodeError> {
    if plain_bytes > CHUNK_BYTES_MAX {
        return Err(ChunkDecodeError::TooLong(plain_bytes));
    }
    let plain = match encoding {
        Encoding::Raw if wire.len() == plain_bytes as usize => Cow::Borrowed(wire),
        Encoding::Raw => return Err(ChunkDecodeError::WrongLength { plain_bytes }),
        Encoding::Zstd if wire.len() >= plain_bytes as usize => {
            return Err(ChunkDecodeError::NotSmaller { wire_bytes: wire.len(), plain_bytes });
        }
        Encoding::Zstd => {
            let malformed = |error: std::io::Error| ChunkDecodeError::Malformed(error.to_string());
            let mut plain = Vec::with_capacity(plain_bytes as usize);
            let mut decompressor = Decompressor::new().map_err(malformed)?;
            decompressor.decompress_to_buffer(wire, &mut plain).map_err(malformed)?;
            Cow::Owned(plain)
        }
    };
    if plain.len() == plain_bytes as usize { Ok(plain) } else { Err(ChunkDecodeError::WrongLength { plain_bytes }) }
}

/// Level of documents: they are compressed once, at the sender, while others wait.
const DOCUMENT_LEVEL: i32 = 3;
/// Largest window of a document's frame (128 MiB): holds the largest document and the largest base.
const DOCUMENT_WINDOW_LOG_MAX: u32 = 27;

/// Why bytes cannot be a document of the stated length.
#[derive(Debug, thiserror::Error)]
pub enum DocumentDecodeError {
    /// Not a zstd frame, or one that was made against another base.
    #[error("the bytes are no zstd frame of a document")]
    Malformed(#[source] std::io::Error),
    /// More or less than the stated length.
    #[error("the bytes do not decode to the {plain_bytes} bytes of the document")]
    WrongLength {
        /// Length of the document.
        plain_bytes: u64,
    },
}

/// A manifest or chunk list in one zstd frame, thin where the receiver holds the `base`: the documents
/// of two releases differ where the releases do.
pub fn encode_document(plain: &[u8], base: Option<&[u8]>) -> std::io::Result<Vec<u8>> {
    let base = base.unwrap_or_default();
    let mut compressor = Compressor::new(DOCUMENT_LEVEL)?;
    // A match may reach back over the whole document and the whole base.
    let reach = (plain.len() + base.len()).next_power_of_two().ilog2();
    compressor.set_parameter(CParameter::WindowLog(reach.clamp(10, DOCUMENT_WINDOW_LOG_MAX)))?;
    compressor.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
    compressor.context_mut().ref_prefix(base).map_err(zstd_error)?;
    compressor.compress(plain)
}

fn zstd_error(code: usize) -> std::io::Error {
    std::io::Error::other(get_error_name(code))
}

/// The document of `plain_bytes` bytes that `encoded` holds. Memory is bounded by that length, which
/// signed metadata states: zstd decodes into that one buffer and keeps no window beside it.
pub fn decode_document(encoded: &[u8], base: Option<&[u8]>, plain_bytes: u64) -> Result<Vec<u8>, DocumentDecodeError> {
    // What the frame says of itself may be a lie, and then the buffer is too small.
    let stated = get_frame_content_size(encoded).ok().flatten();
    if plain_bytes > DOCUMENT_BYTES_MAX || stated.is_some_and(|stated| stated != plain_bytes) {
        return Err(DocumentDecodeError::WrongLength { plain_bytes });
    }
    let malformed = |code| DocumentDecodeError::Malformed(zstd_error(code));
    let mut plain =
        Vec::with_capacity(usize::try_from(plain_bytes).expect("a document fits memory, as compared above"));
    let mut context = DCtx::create();
    context.ref_prefix(base.unwrap_or_default()).map_err(malformed)?;
    context.decompress(&mut plain, encoded).map_err(malformed)?;
    if plain.len() as u64 == plain_bytes { Ok(plain) } else { Err(DocumentDecodeError::WrongLength { plain_bytes }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 300 zeros by the program zstd 1.5.4, `--no-check`: once from a file, once from a pipe, whose frame
    /// does not state its content size.
    const ZEROS_300: &str = "28b52ffd602c004d00001000000100272ac002";
    const ZEROS_300_PIPED: &str = "28b52ffd00584d00001000000100272ac002";

    #[test]
    fn numbers_on_the_wire_are_fixed() {
        assert_eq!([Encoding::Raw, Encoding::Zstd].map(u8::from), [0, 1]);
        assert_eq!(Encoding::try_from(2), Err(UnknownEncoding(2)));
        assert_eq!(crate::cbor::encode(&Encoding::Zstd), [1]);
        assert!(crate::cbor::decode::<Encoding>(&[2]).is_err());
    }

    #[test]
    fn a_document_is_thin_against_one_that_is_almost_the_same() {
        let mut rng = crate::rng::Rng::new(&[0; 32], 0, "document");
        let old: Vec<u8> = (0..20_000).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
        let mut new = old.clone();
        new.splice(70_000..70_010, *b"a new line in the middle");
        let thin = encode_document(&new, Some(&old)).unwrap();
        assert!(thin.len() < 1_000, "{} bytes", thin.len());
        let length = new.len() as u64;
        assert_eq!(decode_document(&thin, Some(&old), length).unwrap(), new);
        assert!(decode_document(&thin, None, length).is_err());
        assert!(decode_document(&thin, Some(&old), length - 1).is_err());
        let whole = encode_document(&new, None).unwrap();
        assert_eq!(decode_document(&whole, None, length).unwrap(), new);
    }

    #[test]
    fn a_document_that_unpacks_without_end_is_cut_at_its_length() {
        let bomb = encode_document(&vec![0; 50_000_000], None).unwrap();
        assert!(bomb.len() < 50_000);
        let result = decode_document(&bomb, None, 1_000);
        assert!(matches!(result, Err(DocumentDecodeError::WrongLength { plain_bytes: 1_000 })));
    }

    #[test]
    fn a_frame_from_the_zstd_program_is_read() {
        for frame in [ZEROS_300, ZEROS_300_PIPED] {
            let wire = hex::decode(frame).unwrap();
            assert_eq!(decode(Encoding::Zstd, &wire, 300).unwrap()[..], [0; 300]);
        }
    }

    #[test]
    fn a_bomb_makes_no_more_than_was_announced() {
        let (encoding, wire) = {
            let zeros = vec![0; CHUNK_BYTES_MAX as usize];
            let (encoding, wire) = Encoder::new(3).encode(&zeros);
            (encoding, wire.into_owned())
        };
        assert!(wire.len() < 100);
        for plain_bytes in [100, 1000, CHUNK_BYTES_MAX - 1] {
            assert!(decode(encoding, &wire, plain_bytes).is_err());
        }
        assert!(matches!(decode(encoding, &wire, CHUNK_BYTES_MAX + 1), Err(ChunkDecodeError::TooLong(_))));
    }

    #[test]
    fn a_chunk_that_decodes_to_less_is_refused() {
        let wire = hex::decode(ZEROS_300).unwrap();
        assert_eq!(decode(Encoding::Zstd, &wire, 301), Err(ChunkDecodeError::WrongLength { plain_bytes: 301 }));
        assert_eq!(decode(Encoding::Raw, b"abc", 4), Err(ChunkDecodeError::WrongLength { plain_bytes: 4 }));
    }

    #[test]
    fn padding_in_skippable_frames_is_refused() {
        let mut wire = hex::decode(ZEROS_300).unwrap();
        wire.extend([0x50, 0x2a, 0x4d, 0x18, 0, 4, 0, 0]);
        wire.extend([7; 1024]);
        assert!(matches!(decode(Encoding::Zstd, &wire, 300), Err(ChunkDecodeError::NotSmaller { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_encoded_decodes_and_never_grows(
            plain in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 1..3000), level in 1..6,
        ) {
            let mut encoder = Encoder::new(level);
            for plain in [&plain[..], &plain[..1]] {
                let (encoding, wire) = encoder.encode(plain);
                prop_assert!(wire.len() <= plain.len());
                prop_assert_eq!(decode(encoding, &wire, plain.len() as u32).unwrap(), plain);
            }
        }

        #[test]
        fn strangers_bytes_never_panic(wire in prop::collection::vec(any::<u8>(), 0..200), plain_bytes in 0u32..500) {
            let _ = decode(Encoding::Zstd, &wire, plain_bytes);
            let framed: Vec<u8> = [&[0x28, 0xb5, 0x2f, 0xfd][..], &wire].concat();
            let _ = decode(Encoding::Zstd, &framed, plain_bytes);
        }
    }
}
