//! The trace: every input and output of every host with its time, one line each, hashed as it goes. Two
//! runs with the same hash did the same. The text itself is kept only if somebody wants to read it.

use crate::scenario::HostId;
use protocol::input::{Input, VerifiedDocument};
use protocol::message::Message;
use protocol::output::Output;
use protocol::time::Time;
use std::fmt::{self, Write as _};
use std::io;

/// A running hash over everything that happens, and where its text goes.
pub struct Trace<'a> {
    hasher: blake3::Hasher,
    line: String,
    text: Option<&'a mut dyn io::Write>,
    text_error: Option<io::Error>,
}

impl<'a> Trace<'a> {
    /// An empty trace; its lines go to `text` if there is one.
    pub fn new(text: Option<&'a mut dyn io::Write>) -> Self {
        Self { hasher: blake3::Hasher::new(), line: String::new(), text, text_error: None }
    }

    /// Something happened to a host.
    pub fn input(&mut self, now: Time, host: HostId, input: &Input) {
        self.write(format_args!("{now} {host} < {}\n", ShownInput(input)));
    }

    /// A host wants something done.
    pub fn output(&mut self, now: Time, host: HostId, output: &Output) {
        self.write(format_args!("{now} {host} > {}\n", ShownOutput(output)));
    }

    /// The world changed.
    pub fn world(&mut self, now: Time, what: impl fmt::Display) {
        self.write(format_args!("{now} {what}\n"));
    }

    /// The hash over all lines, in hexadecimal; or why the text could not be written.
    pub fn finish(self) -> io::Result<String> {
        match self.text_error {
            Some(error) => Err(error),
            None => Ok(self.hasher.finalize().to_hex().to_string()),
        }
    }

    fn write(&mut self, line: fmt::Arguments<'_>) {
        self.line.clear();
        self.line.write_fmt(line).expect("a String takes any text");
        self.hasher.update(self.line.as_bytes());
        if let Some(text) = self.text.as_mut().filter(|_| self.text_error.is_none()) {
            self.text_error = text.write_all(self.line.as_bytes()).err();
        }
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
            Input::OriginMetadata { role, bytes } => {
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
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for ShownOutput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Output::Send { to, message } => write!(f, "Send {to} {}", ShownMessage(message)),
            Output::ReadDocument(document) => write!(f, "ReadDocument {:?}", document.id()),
            Output::VerifyDocument { document, base, bytes } => {
                write!(f, "VerifyDocument {:?} base {base:?} {}", document.id(), ShownBytes(bytes))
            }
            Output::SaveTrust(files) => {
                f.write_str("SaveTrust")?;
                files.iter().try_for_each(|(name, bytes)| write!(f, " {name} {}", ShownBytes(bytes)))
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
    fn the_hash_is_that_of_the_text() {
        let mut text = Vec::new();
        let mut trace = Trace::new(Some(&mut text));
        trace.input(Time(1_500_000), HostId(3), &Input::Wakeup);
        trace.world(Time(2_000_001), "seed dies");
        let hash = trace.finish().unwrap();
        assert_eq!(String::from_utf8_lossy(&text), "1.500000 laptop-3 < Wakeup\n2.000001 seed dies\n");
        assert_eq!(hash, blake3::hash(&text).to_hex().to_string());
    }
}
