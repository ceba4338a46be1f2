//! What peers say to each other. `docs/wire.md` is the specification.
//!
//! A message is one CBOR array `[kind, body]` in a length-prefixed frame. A kind that this code does
//! not know is skipped, so that newer nodes can say more to those whose [`Hello`] tells that they
//! understand. Chunk payloads travel raw behind a [`ChunkHeader`], on a stream of their own, so that
//! messages never queue behind bulk data.

use crate::cbor::{self, DecodeError, Value};
use crate::content::encoding::Encoding;
use crate::id::{DocumentId, ManifestId, RepositoryId, Signer};
use crate::limits::{ANNOUNCED_CHUNKS_MAX, CHUNK_BYTES_MAX, CHUNKS_MAX, DOCUMENT_SLICE_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::mesh;
use crate::trust;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// How a metadata message starts: an array of two, of which the first is its kind.
const METADATA_START: [u8; 2] = [0x82, 3];
/// How a message about the school starts.
const SCHOOL_START: [u8; 2] = [0x82, 14];

/// One thing that a node says to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first word on every connection.
    Hello(Hello),
    /// The newest trusted metadata that the sender holds whole; nothing if it holds none.
    Head(Option<trust::Head>),
    /// Send me this metadata file.
    WantMetadata(WantMetadata),
    /// A metadata file, or word that the sender has none.
    Metadata(Metadata),
    /// Send me this document from this offset on.
    WantDocument(WantDocument),
    /// A slice of a document.
    Slice(Slice),
    /// I do not have this document.
    NoDocument(DocumentId),
    /// All that I hold of a release.
    Holdings(Holdings),
    /// Chunks that I hold since I last spoke.
    Gained(Chunks),
    /// Send me these chunks.
    Want(Chunks),
    /// Send me so many more chunks of your choice.
    Credit(Credit),
    /// I no longer need these chunks.
    Cancel(Chunks),
    /// I do not have these chunks.
    Refuse(Chunks),
    /// The publisher's keys contradict themselves: here is the evidence.
    Equivocation(Equivocation),
    /// The same about the school's repository: a hello, a head, metadata asked for or sent, or evidence.
    School(Box<Message>),
    /// Tell me the time, signed, with this number in it.
    WantTime(ByteBuf),
    /// The time, as the school's server states it.
    Time(ByteBuf),
}

/// Who is speaking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the sender understands beyond the first version of the protocol, a bit each.
    pub features: u64,
    /// Whose releases it carries. Nodes of different repositories part at once.
    pub repository: RepositoryId,
    /// What it is for.
    pub role: mesh::Role,
}

/// Asks for a metadata file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantMetadata {
    /// Which role's.
    pub role: trust::Role,
    /// Which version; the newest if none is named.
    pub version: Option<u64>,
}

/// A metadata file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Which role's.
    pub role: trust::Role,
    /// Its exact bytes; nothing if the sender does not have it.
    pub bytes: Option<ByteBuf>,
}

/// Two timestamps of one version, both properly signed, that say different things: their exact bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equivocation {
    /// The one.
    pub first: ByteBuf,
    /// The other.
    pub second: ByteBuf,
}

/// Asks for a slice of a document, in the encoding of the sender's choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantDocument {
    /// Which document.
    pub id: DocumentId,
    /// A document that the asker holds and the answer may be compressed against.
    pub base: Option<DocumentId>,
    /// Offset into the encoded document, in bytes.
    pub offset: u64,
}

/// Part of an encoded document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Which document.
    pub id: DocumentId,
    /// What it is encoded against, if against anything.
    pub base: Option<DocumentId>,
    /// Length of the whole encoded document, in bytes.
    pub encoded_bytes: u64,
    /// Where this slice starts in it, in bytes.
    pub offset: u64,
    /// The slice; shorter than the largest lawful one only at the end.
    pub bytes: ByteBuf,
}

/// All that a node holds of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// The release.
    pub release: ManifestId,
    /// A bit for each chunk of its list, lowest bit first; empty if the node holds every chunk.
    pub held: ByteBuf,
    /// Whether the node would like to be told the same in return.
    pub answer: bool,
}

/// Some chunks of a release, by their indexes in its chunk list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunks {
    /// The release.
    pub release: ManifestId,
    /// Indexes in its chunk list.
    pub indexes: Vec<u32>,
}

/// Leave for a seed to send chunks unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// The release.
    pub release: ManifestId,
    /// How many chunks more than before.
    pub chunks: u32,
}

/// Stands before the raw bytes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkHeader {
    /// The release.
    pub release: ManifestId,
    /// The chunk's index in its chunk list.
    pub index: u32,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// The payload's length in bytes.
    pub wire_bytes: u32,
}

/// Why a frame is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not CBOR of the right shape.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Longer than any message but metadata.
    #[error("a message of {0} bytes, where {MESSAGE_BYTES_MAX} are the most")]
    TooLong(usize),
    /// A part is larger than is lawful.
    #[error("a message of kind {kind} claims more than is lawful")]
    TooMuch {
        /// The message's kind.
        kind: u16,
    },
}

impl Message {
    /// The message's CBOR, without the frame's length prefix.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// The length of what `encode` returns, in bytes, found without memory.
    pub fn encoded_bytes(&self) -> u64 {
        let mut length = cbor::Length::default();
        self.write(&mut length);
        length.bytes()
    }

    fn write(&self, to: &mut impl std::io::Write) {
        match self {
            Message::Hello(body) => cbor::write(&(0, body), to),
            Message::Head(body) => cbor::write(&(1, body), to),
            Message::WantMetadata(body) => cbor::write(&(2, body), to),
            Message::Metadata(body) => cbor::write(&(3, body), to),
            Message::WantDocument(body) => cbor::write(&(4, body), to),
            Message::Slice(body) => cbor::write(&(5, body), to),
            Message::NoDocument(body) => cbor::write(&(6, body), to),
            Message::Holdings(body) => cbor::write(&(7, body), to),
            Message::Gained(body) => cbor::write(&(8, body), to),
            Message::Want(body) => cbor::write(&(9, body), to),
            Message::Credit(body) => cbor::write(&(10, body), to),
            Message::Cancel(body) => cbor::write(&(11, body), to),
            Message::Refuse(body) => cbor::write(&(12, body), to),
            Message::Equivocation(body) => cbor::write(&(13, body), to),
            Message::WantTime(body) => cbor::write(&(15, body), to),
            Message::Time(body) => cbor::write(&(16, body), to),
            Message::School(message) => {
                // The start of an array of two, and its first part; a message is the second.
                to.write_all(&SCHOOL_START).expect("memory takes all that is written to it");
                message.write(to);
            }
        }
    }

    /// The message, as it is said about this signer's repository.
    pub fn about(self, signer: Signer) -> Message {
        match signer {
            Signer::Publisher => self,
            Signer::School => Message::School(Box::new(self)),
        }
    }

    /// Whether it can be said of a school's repository as of a publisher's.
    fn is_of_a_repository(&self) -> bool {
        matches!(
            self,
            Message::Hello(_)
                | Message::Head(_)
                | Message::WantMetadata(_)
                | Message::Metadata(_)
                | Message::Equivocation(_)
        )
    }

    /// The message in a frame; nothing if its kind is unknown here.
    pub fn decode(frame: &[u8]) -> Result<Option<Message>, MessageError> {
        if let Some(of_school) = frame.strip_prefix(&SCHOOL_START) {
            // No school speaks of another, so this goes one step down and no further.
            if of_school.starts_with(&SCHOOL_START) {
                return Err(MessageError::TooMuch { kind: 14 });
            }
            let message = Message::decode(of_school)?.filter(Message::is_of_a_repository);
            return Ok(message.map(|message| Message::School(Box::new(message))));
        }
        // Metadata alone is large, and is read straight into its type: a tree of small values would take
        // fifty times the frame's memory.
        if frame.starts_with(&METADATA_START) {
            let (_, body): (u16, Metadata) = cbor::decode(frame)?;
            return Ok(Some(Message::Metadata(body)));
        }
        if frame.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong(frame.len()));
        }
        let (kind, body): (u16, Value) = cbor::decode(frame)?;
        let message = match kind {
            0 => Message::Hello(cbor::from_value(body)?),
            1 => Message::Head(cbor::from_value(body)?),
            2 => Message::WantMetadata(cbor::from_value(body)?),
            3 => Message::Metadata(cbor::from_value(body)?),
            4 => Message::WantDocument(cbor::from_value(body)?),
            5 => Message::Slice(cbor::from_value(body)?),
            6 => Message::NoDocument(cbor::from_value(body)?),
            7 => Message::Holdings(cbor::from_value(body)?),
            8 => Message::Gained(cbor::from_value(body)?),
            9 => Message::Want(cbor::from_value(body)?),
            10 => Message::Credit(cbor::from_value(body)?),
            11 => Message::Cancel(cbor::from_value(body)?),
            12 => Message::Refuse(cbor::from_value(body)?),
            13 => Message::Equivocation(cbor::from_value(body)?),
            15 => Message::WantTime(cbor::from_value(body)?),
            16 => Message::Time(cbor::from_value(body)?),
            _ => return Ok(None),
        };
        if message.is_lawful() { Ok(Some(message)) } else { Err(MessageError::TooMuch { kind }) }
    }

    fn is_lawful(&self) -> bool {
        match self {
            Message::Slice(slice) => slice.bytes.len() <= DOCUMENT_SLICE_BYTES_MAX as usize,
            Message::Holdings(holdings) => holdings.held.len() <= CHUNKS_MAX as usize / 8,
            Message::Gained(chunks) | Message::Want(chunks) | Message::Cancel(chunks) | Message::Refuse(chunks) => {
                chunks.indexes.len() <= ANNOUNCED_CHUNKS_MAX
            }
            _ => true,
        }
    }
}

impl ChunkHeader {
    /// The header's CBOR, without the frame's length prefix.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// The header in a frame.
    pub fn decode(frame: &[u8]) -> Result<ChunkHeader, MessageError> {
        let header: ChunkHeader = cbor::decode(frame)?;
        // No encoding is worth sending that is longer than the plain bytes.
        let lawful = header.wire_bytes <= CHUNK_BYTES_MAX && header.index < CHUNKS_MAX;
        if lawful { Ok(header) } else { Err(MessageError::TooMuch { kind: 13 }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChunkListId;
    use proptest::prelude::*;

    const RELEASE: ManifestId = ManifestId([5; 32]);

    #[test]
    fn messages_survive_the_wire() {
        let messages = [
            Message::Hello(Hello { features: 0, repository: RepositoryId([1; 32]), role: mesh::Role::Seed }),
            Message::Head(None),
            Message::WantMetadata(WantMetadata { role: trust::Role::Root, version: Some(2) }),
            Message::Metadata(Metadata { role: trust::Role::Delegated("stable".into()), bytes: Some(vec![1].into()) }),
            Message::WantDocument(WantDocument { id: DocumentId::Manifest(RELEASE), base: None, offset: 7 }),
            Message::Holdings(Holdings { release: RELEASE, held: vec![255].into(), answer: true }),
            Message::Gained(Chunks { release: RELEASE, indexes: vec![0, 70_000] }),
            Message::Credit(Credit { release: RELEASE, chunks: 3 }),
            Message::Equivocation(Equivocation { first: vec![1].into(), second: vec![2, 3].into() }),
            Message::School(Box::new(Message::Head(None))),
            Message::WantTime(vec![7; 16].into()),
            Message::Time(vec![1, 2].into()),
            Message::School(Box::new(Message::Metadata(Metadata {
                role: trust::Role::Targets,
                bytes: Some(vec![1; 300_000].into()),
            }))),
        ];
        for message in messages {
            assert_eq!(Message::decode(&message.encode()).unwrap(), Some(message));
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_unread() {
        let hello = Message::Hello(Hello { features: 0, repository: RepositoryId([1; 32]), role: mesh::Role::Seed });
        let mut frame = hello.encode();
        frame.resize(MESSAGE_BYTES_MAX + 1, 0);
        assert!(matches!(Message::decode(&frame), Err(MessageError::TooLong(bytes)) if bytes == frame.len()));
    }

    #[test]
    fn evidence_has_the_bytes_of_the_specification() {
        let message = Message::Equivocation(Equivocation { first: vec![1].into(), second: vec![2, 3].into() });
        assert_eq!(message.encode(), b"\x82\x0d\xa2\x65first\x41\x01\x66second\x42\x02\x03");
    }

    #[test]
    fn only_what_is_said_of_a_repository_is_said_of_a_schools() {
        let school = |inner: &[u8]| [&SCHOOL_START, inner].concat();
        let head = Message::Head(None).encode();
        assert_eq!(school(&head), b"\x82\x0e\x82\x01\xf6");
        assert_eq!(Message::decode(&school(&head)).unwrap(), Some(Message::School(Box::new(Message::Head(None)))));
        let credit = Message::Credit(Credit { release: RELEASE, chunks: 3 }).encode();
        assert_eq!(Message::decode(&school(&credit)).unwrap(), None);
        assert!(Message::decode(&school(&school(&head))).is_err(), "a school of a school");
        assert!(Message::decode(&SCHOOL_START.repeat(100_000)).is_err(), "and so on");
    }

    /// Bytes written by hand from RFC 8949 and `docs/wire.md`.
    #[test]
    fn every_kind_has_the_bytes_of_the_specification() {
        let chunks = || Chunks { release: RELEASE, indexes: vec![0, 70_000] };
        let chunks_body =
            [b"\xa2\x67release\x58\x20", &[5; 32][..], b"\x67indexes\x82\x00\x1a\x00\x01\x11\x70"].concat();
        let head = trust::Head { root: 1, timestamp: 300, snapshot: 3, digest: [6; 32] };
        let list = DocumentId::ChunkList(ChunkListId([7; 32]));
        let manifest = DocumentId::Manifest(RELEASE);
        let golden: [(Message, &[&[u8]]); 14] = [
            (
                Message::Hello(Hello { features: 0, repository: RepositoryId([1; 32]), role: mesh::Role::Seed }),
                &[b"\x82\x00\xa3\x68features\x00\x6arepository\x58\x20", &[1; 32], b"\x64role\x64Seed"],
            ),
            (Message::Head(None), &[b"\x82\x01\xf6"]),
            (
                Message::Head(Some(head)),
                &[b"\x82\x01\xa4\x64root\x01\x69timestamp\x19\x01\x2c\x68snapshot\x03\x66digest\x58\x20", &[6; 32]],
            ),
            (
                Message::WantMetadata(WantMetadata { role: trust::Role::Root, version: Some(2) }),
                &[b"\x82\x02\xa2\x64role\x64Root\x67version\x02"],
            ),
            (
                Message::Metadata(Metadata {
                    role: trust::Role::Delegated("os".into()),
                    bytes: Some(vec![1, 2].into()),
                }),
                &[b"\x82\x03\xa2\x64role\xa1\x69Delegated\x62os\x65bytes\x42\x01\x02"],
            ),
            (
                Message::WantDocument(WantDocument { id: list, base: Some(manifest), offset: 65_536 }),
                &[
                    b"\x82\x04\xa3\x62id\xa1\x69ChunkList\x58\x20",
                    &[7; 32],
                    b"\x64base\xa1\x68Manifest\x58\x20",
                    &[5; 32],
                    b"\x66offset\x1a\x00\x01\x00\x00",
                ],
            ),
            (
                Message::Slice(Slice {
                    id: manifest,
                    base: None,
                    encoded_bytes: 3,
                    offset: 1,
                    bytes: vec![8, 9].into(),
                }),
                &[
                    b"\x82\x05\xa5\x62id\xa1\x68Manifest\x58\x20",
                    &[5; 32],
                    b"\x64base\xf6\x6dencoded_bytes\x03\x66offset\x01\x65bytes\x42\x08\x09",
                ],
            ),
            (Message::NoDocument(manifest), &[b"\x82\x06\xa1\x68Manifest\x58\x20", &[5; 32]]),
            (
                Message::Holdings(Holdings { release: RELEASE, held: vec![0b101].into(), answer: true }),
                &[b"\x82\x07\xa3\x67release\x58\x20", &[5; 32], b"\x64held\x41\x05\x66answer\xf5"],
            ),
            (Message::Gained(chunks()), &[b"\x82\x08", &chunks_body]),
            (Message::Want(chunks()), &[b"\x82\x09", &chunks_body]),
            (
                Message::Credit(Credit { release: RELEASE, chunks: 24 }),
                &[b"\x82\x0a\xa2\x67release\x58\x20", &[5; 32], b"\x66chunks\x18\x18"],
            ),
            (Message::Cancel(chunks()), &[b"\x82\x0b", &chunks_body]),
            (Message::Refuse(chunks()), &[b"\x82\x0c", &chunks_body]),
        ];
        for (message, parts) in golden {
            assert_eq!(hex::encode(message.encode()), hex::encode(parts.concat()), "{message:?}");
            assert_eq!(Message::decode(&parts.concat()).unwrap(), Some(message));
        }
    }

    #[test]
    fn a_chunk_header_has_the_bytes_of_the_specification() {
        let header = ChunkHeader { release: RELEASE, index: 3, encoding: Encoding::Zstd, wire_bytes: 65_535 };
        let parts: [&[u8]; 3] =
            [b"\xa4\x67release\x58\x20", &[5; 32], b"\x65index\x03\x68encoding\x01\x6awire_bytes\x19\xff\xff"];
        assert_eq!(hex::encode(header.encode()), hex::encode(parts.concat()));
        assert_eq!(ChunkHeader::decode(&parts.concat()).unwrap(), header);
    }

    #[test]
    fn a_key_from_the_future_is_ignored() {
        let head = b"\x82\x0a\xa3\x67release\x58\x20".as_slice();
        let frame = [head, &[5; 32], b"\x66chunks\x01\x63new\x18\x2a"].concat();
        let credit = Message::Credit(Credit { release: RELEASE, chunks: 1 });
        assert_eq!(Message::decode(&frame).unwrap(), Some(credit));
    }

    #[test]
    fn a_kind_from_the_future_is_skipped() {
        let frame = cbor::encode(&(999, "whatever a newer node may say"));
        assert_eq!(Message::decode(&frame).unwrap(), None);
    }

    #[test]
    fn an_announcement_beyond_the_bound_is_refused() {
        let message = Message::Want(Chunks { release: RELEASE, indexes: vec![0; ANNOUNCED_CHUNKS_MAX + 1] });
        assert!(matches!(Message::decode(&message.encode()), Err(MessageError::TooMuch { kind: 9 })));
    }

    #[test]
    fn a_byte_string_costs_its_length_and_not_an_array() {
        let message =
            Message::Hello(Hello { features: 0, repository: RepositoryId([255; 32]), role: mesh::Role::Seed });
        assert!(message.encode().len() < 32 + 48);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_panics(frame in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&frame);
            let _ = ChunkHeader::decode(&frame);
        }
    }
}
