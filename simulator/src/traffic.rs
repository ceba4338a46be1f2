//! What all hosts put on their uplinks, by what it was for, second by second: how much of it is talk, and how much of
//! that comes at once. Bytes are those of frames; what TCP and IP add is not counted.

use protocol::message::Message;
use protocol::time::{Span, Time};

/// Bytes by what they were for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentBytes {
    /// Who is there, what is the newest metadata, and who would like which file of it or which document.
    pub heads_and_asks: u64,
    /// Metadata files and documents.
    pub documents: u64,
    /// Who holds, wants and may send which chunks.
    pub chunk_talk: u64,
    /// Chunks with their headers.
    pub chunks: u64,
}

/// All that was sent in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    by_second: Vec<SentBytes>,
    /// Since when nothing is left to do, and what was sent since.
    idle: Option<(Time, SentBytes)>,
}

impl SentBytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.heads_and_asks + self.documents + self.chunk_talk + self.chunks
    }

    fn add(&mut self, other: SentBytes) {
        self.heads_and_asks += other.heads_and_asks;
        self.documents += other.documents;
        self.chunk_talk += other.chunk_talk;
        self.chunks += other.chunks;
    }
}

impl Traffic {
    /// A host says something that is so long in its frame.
    pub fn said(&mut self, message: &Message, wire_bytes: u64, now: Time) {
        let mut sent = SentBytes::default();
        let kind = match message {
            Message::Hello(_)
            | Message::Head(_)
            | Message::WantMetadata(_)
            | Message::WantDocument(_)
            | Message::NoDocument(_)
            | Message::WantTime(_)
            | Message::Time(_) => &mut sent.heads_and_asks,
            Message::School(message) => return self.said(message, wire_bytes, now),
            Message::Metadata(_) | Message::Slice(_) | Message::Equivocation(_) => &mut sent.documents,
            Message::Holdings(_)
            | Message::Gained(_)
            | Message::Want(_)
            | Message::Credit(_)
            | Message::Cancel(_)
            | Message::Refuse(_) => &mut sent.chunk_talk,
        };
        *kind = wire_bytes;
        self.add(sent, now);
    }

    /// A chunk has left a host.
    pub fn chunk(&mut self, wire_bytes: u64, now: Time) {
        self.add(SentBytes { chunks: wire_bytes, ..SentBytes::default() }, now);
    }

    /// From now on nothing is left to do.
    pub fn begin_idle(&mut self, now: Time) {
        self.idle = Some((now, SentBytes::default()));
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.idle.is_some()
    }

    /// What was sent in the whole run.
    pub fn sent(&self) -> SentBytes {
        let mut sum = SentBytes::default();
        self.by_second.iter().for_each(|second| sum.add(*second));
        sum
    }

    /// The second in which the most heads and asks were sent, counted from 0, and what was sent in it.
    pub fn busiest_second(&self) -> (usize, SentBytes) {
        let seconds = self.by_second.iter().copied().enumerate();
        // Of equals the first.
        seconds.rev().max_by_key(|(_, sent)| sent.heads_and_asks).unwrap_or_default()
    }

    /// Since when nothing was left to do, how long the run went on, and what was sent in that time.
    pub fn idle(&self, ended_at: Time) -> Option<(Span, SentBytes)> {
        self.idle.map(|(from, sent)| (ended_at.since(from), sent))
    }

    fn add(&mut self, sent: SentBytes, now: Time) {
        let second = usize::try_from(now.0 / 1_000_000).unwrap_or(usize::MAX);
        if self.by_second.len() <= second {
            self.by_second.resize(second + 1, SentBytes::default());
        }
        self.by_second[second].add(sent);
        if let Some((_, idle)) = &mut self.idle {
            idle.add(sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::id::ManifestId;
    use protocol::message::Credit;

    #[test]
    fn each_byte_is_counted_once_in_its_second_and_by_its_kind() {
        let mut traffic = Traffic::default();
        let credit = Message::Credit(Credit { release: ManifestId([1; 32]), chunks: 1 });
        traffic.said(&Message::Head(None), 10, Time(999_999));
        traffic.said(&Message::Head(None), 20, Time(2_000_000));
        traffic.said(&credit, 300, Time(2_100_000));
        traffic.begin_idle(Time(2_500_000));
        traffic.chunk(4_000, Time(2_999_999));
        let second = SentBytes { heads_and_asks: 20, documents: 0, chunk_talk: 300, chunks: 4_000 };
        assert_eq!(traffic.busiest_second(), (2, second));
        assert_eq!(traffic.sent(), SentBytes { heads_and_asks: 30, ..second });
        assert_eq!(traffic.sent().total(), 4_330);
        let idle = SentBytes { chunks: 4_000, ..SentBytes::default() };
        assert_eq!(traffic.idle(Time(5_500_000)), Some((Span(3_000_000), idle)));
    }
}
