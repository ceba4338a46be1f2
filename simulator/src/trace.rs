//! The trace: every input of every host with its time, hashed as it goes. A node's outputs follow from its inputs,
//! so two runs with the same hash did the same. The text, a line for each input and output, is made only if
//! somebody wants to read it, because that takes longer than the run.

use crate::scenario::HostId;
use protocol::input::{Input, UploadOutcome, VerifiedDocument};
use protocol::message::Message;
use protocol::output::Output;
use protocol::time::Time;
use std::fmt::{self, Write as _};
use std::io;

/// So much is hashed at once, in bytes.
const RECORD_BYTES: usize = 64 * 1024;

/// A running hash over everything that happens, and where its text goes.
pub struct Trace<'a> {
    hasher: blake3::Hasher,
    /// What is to be hashed next; hashing is fast only over long pieces.
    record: Vec<u8>,
    line: String,
    text: Option<&'a mut dyn io::Write>,
    text_error: Option<io::Error>,
}

impl<'a> Trace<'a> {
    /// An empty trace; its lines go to `text` if there is one.
    pub fn new(text: Option<&'a mut dyn io::Write>) -> Self {
        let record = Vec::with_capacity(2 * RECORD_BYTES);
        Self { hasher: blake3::Hasher::new(), record, line: String::new(), text, text_error: None }
    }

    /// Something happened to a host.
    pub fn input(&mut self, now: Time, host: HostId, input: &Input) {
        self.record.extend(now.0.to_le_bytes());
        self.record.extend((host.0 as u64).to_le_bytes());
        record_input(input, &mut self.record);
        self.hash_if_long();
        self.write(format_args!("{now} {host} < {}\n", ShownInput(input)));
    }

    /// A host wants something done.
    pub fn output(&mut self, now: Time, host: HostId, output: &Output) {
        self.write(format_args!("{now} {host} > {}\n", ShownOutput(output)));
    }

    /// The world changed.
    pub fn world(&mut self, now: Time, what: impl fmt::Display) {
        self.record.extend(format!("{now} {what}").into_bytes());
        self.hash_if_long();
        self.write(format_args!("{now} {what}\n"));
    }

    /// The hash over all that happened, in hexadecimal; or why the text could not be written.
    pub fn finish(mut self) -> io::Result<String> {
        self.hasher.update(&self.record);
        match self.text_error {
            Some(error) => Err(error),
            None => Ok(self.hasher.finalize().to_hex().to_string()),
        }
    }

    fn hash_if_long(&mut self) {
        if self.record.len() >= RECORD_BYTES {
            self.hasher.update(&self.record);
            self.record.clear();
        }
    }

    fn write(&mut self, line: fmt::Arguments<'_>) {
        let Some(text) = self.text.as_mut().filter(|_| self.text_error.is_none()) else { return };
        self.line.clear();
        self.line.write_fmt(line).expect("a String takes any text");
        self.text_error = text.write_all(self.line.as_bytes()).err();
    }
}

/// What makes two inputs the same, in bytes; in text where it happens so seldom that text will do.
fn record_input(input: &Input, record: &mut Vec<u8>) {
    let mut numbers = |kind: u8, numbers: &[u64], indexes: &[u32]| {
        record.push(kind);
        numbers.iter().for_each(|number| record.extend(number.to_le_bytes()));
        record.extend((indexes.len() as u64).to_le_bytes());
        indexes.iter().for_each(|index| record.extend(index.to_le_bytes()));
    };
    match input {
        Input::Message { from, message } => match &**message {
            Message::Gained(chunks) => numbers(1, &[from.0], &chunks.indexes),
            Message::Want(chunks) => numbers(2, &[from.0], &chunks.indexes),
            _ => record.extend(format!("{}", ShownInput(input)).into_bytes()),
        },
        Input::ChunkArrived { from, index, wire_bytes, verdict, .. } => {
            numbers(3, &[from.0, *wire_bytes, *verdict as u64], &[*index]);
        }
        Input::Durable { indexes, .. } => numbers(4, &[], indexes),
        Input::Uploaded { to, index, outcome, .. } => {
            let outcome = match outcome {
                UploadOutcome::Sent { .. } => 0,
                UploadOutcome::Lost => 1,
                UploadOutcome::Spoilt => 2,
            };
            numbers(5, &[to.0, outcome], &[*index]);
        }
        Input::Wakeup => numbers(6, &[], &[]),
        other => record.extend(format!("{}", ShownInput(other)).into_bytes()),
    }
}

struct ShownInput<'a>(&'a Input);
struct ShownOutput<'a>(&'a Output);
struct ShownMessage<'a>(&'a Message);

/// Bytes by their length and the start of their hash.
struct ShownBytes<'a>(&'a [u8]);

impl fmt::Display for ShownInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Message { from, message } => write!(f, "Message {from} {}", ShownMessage(message)),
            Input::OriginMetadata { role, bytes, .. } => {
                write!(f, "OriginMetadata {role} {}", ShownBytes(bytes.as_deref().unwrap_or_default()))
            }
            Input::DocumentRead(document, found) => {
                write!(f, "DocumentRead {:?} {}", document.id(), found.as_ref().map_or("nothing", kind_of))
            }
            Input::DocumentVerified(document, verdict) => {
                write!(f, "DocumentVerified {:?} {:?}", document.id(), verdict.as_ref().map(kind_of))
            }
            Input::Prepared { release, held, applied } => {
                write!(f, "Prepared {release:?} {} applied {applied}", ShownBytes(&held.to_bytes()))
            }
            Input::OriginChanged(_) => f.write_str("OriginChanged"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for ShownOutput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Output::Send { to, message } => write!(f, "Send {to} {}", ShownMessage(message)),
            Output::SendAll { to, message } => write!(f, "SendAll {to:?} {}", ShownMessage(message)),
            Output::ReadDocument(document) => write!(f, "ReadDocument {:?}", document.id()),
            Output::VerifyDocument { document, base, bytes } => {
                write!(f, "VerifyDocument {:?} base {base:?} {}", document.id(), ShownBytes(bytes))
            }
            Output::SaveTrust { files, .. } => {
                f.write_str("SaveTrust")?;
                files.iter().try_for_each(|(name, bytes)| write!(f, " {name} {}", ShownBytes(bytes)))
            }
            Output::ReadMetadata { role, version, .. } => {
                write!(f, "ReadMetadata {{ role: {role:?}, version: {version:?} }}")
            }
            Output::Prepare(release) => write!(f, "Prepare {:?}", release.id()),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for ShownMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Message::Metadata(metadata) => {
                let bytes = metadata.bytes.as_ref().map(|bytes| bytes.as_slice()).unwrap_or_default();
                write!(f, "Metadata {} {}", metadata.role, ShownBytes(bytes))
            }
            Message::Slice(slice) => {
                let (id, base) = (slice.id, slice.base);
                write!(f, "Slice {id:?} base {base:?} {} {}", slice.offset, ShownBytes(&slice.bytes))
            }
            Message::Holdings(told) => {
                write!(f, "Holdings {:?} {} answer {}", told.release, ShownBytes(&told.held), told.answer)
            }
            Message::Equivocation(shown) => {
                write!(f, "Equivocation {} {}", ShownBytes(&shown.first), ShownBytes(&shown.second))
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for ShownBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} {}]", self.0.len(), &blake3::hash(self.0).to_hex()[..12])
    }
}

fn kind_of(document: &VerifiedDocument) -> &'static str {
    match document {
        VerifiedDocument::Manifest(_) => "manifest",
        VerifiedDocument::Release(_) => "release",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_who_did_what_when() {
        let mut text = Vec::new();
        let mut trace = Trace::new(Some(&mut text));
        trace.input(Time(1_500_000), HostId(3), &Input::Wakeup);
        trace.world(Time(2_000_001), "seed dies");
        trace.finish().unwrap();
        assert_eq!(String::from_utf8_lossy(&text), "1.500000 laptop-3 < Wakeup\n2.000001 seed dies\n");
    }

    #[test]
    fn whatever_differs_between_two_inputs_changes_the_hash() {
        use protocol::id::{ManifestId, PeerId};
        use protocol::input::Verdict;
        let arrived = |from: u64, index, wire_bytes, verdict| {
            let (from, release) = (PeerId(from), ManifestId([0; 32]));
            Input::ChunkArrived { from, release, index, wire_bytes, verdict }
        };
        let happened = [
            (0, 1, arrived(1, 1, 9, Verdict::Stored)),
            (1, 1, arrived(1, 1, 9, Verdict::Stored)),
            (0, 2, arrived(1, 1, 9, Verdict::Stored)),
            (0, 1, arrived(2, 1, 9, Verdict::Stored)),
            (0, 1, arrived(1, 2, 9, Verdict::Stored)),
            (0, 1, arrived(1, 1, 8, Verdict::Stored)),
            (0, 1, arrived(1, 1, 9, Verdict::Unwanted)),
            (0, 1, Input::PeerConnected(PeerId(1))),
            (0, 1, Input::PeerDisconnected(PeerId(1))),
            (0, 1, Input::Durable { release: ManifestId([0; 32]), indexes: vec![1] }),
            (0, 1, Input::Durable { release: ManifestId([0; 32]), indexes: vec![1, 2] }),
        ];
        let hashes = happened.iter().map(|(at, host, input)| {
            let mut trace = Trace::new(None);
            trace.input(Time(*at), HostId(*host), input);
            trace.finish().unwrap()
        });
        assert_eq!(hashes.collect::<std::collections::BTreeSet<_>>().len(), happened.len());
    }
}
