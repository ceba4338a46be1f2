//! One release as this node and its peers hold it: what is here, what is missing, who has it, and
//! what to ask of whom next.

mod asking;
#[cfg(test)]
mod tests;

use super::by_peer::ByPeer;
use super::picker::Picker;
use super::source::Source;
use super::spread::Spread;
use super::{Role, Strategy};
use crate::bitmap::Bitmap;
use crate::id::{ChunkRef, ManifestId, PeerId};
use crate::limits::{ANNOUNCED_CHUNKS_MAX, CHUNK_BYTES_AVERAGE};
use crate::rng::Rng;
use crate::time::{Span, Time};
use std::sync::Arc;

/// A chunk that few peers hold is announced after this long, with all that has come by then: a fraction of what
/// it takes to fetch it. So is one that a seed sent, because it sends what devices lack, whatever boasters claim.
const ANNOUNCE_AFTER: Span = Span::from_millis(60);

/// A chunk of which more peers than this hold a copy is no news: whoever misses it has several to ask already.
const NEWS_COPIES_MAX: u16 = 1;
/// What is no news may wait so long for something that is.
const ANNOUNCE_COMMON_AFTER: Span = Span::from_secs(2);

/// Something to say to a peer about this release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send me these.
    Chunks(Vec<u32>),
    /// Send me so many more of your choice.
    Credit(u32),
    /// I no longer need these.
    Cancel(Vec<u32>),
}

/// Bytes that arrived, as they crossed the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// From seeds.
    pub from_seeds_bytes: u64,
    /// From fellow devices.
    pub from_devices_bytes: u64,
    /// Arrived though already here.
    pub duplicate_bytes: u64,
    /// Chunks that arrived and were missing.
    pub chunks: u32,
}

/// One release in the mesh, seen from one node.
#[derive(Debug)]
pub struct Swarm {
    strategy: Strategy,
    release: ManifestId,
    chunks: Arc<[ChunkRef]>,
    /// Stored and durable: what may be announced.
    held: Bitmap,
    /// Stored, not yet durable.
    landed: Bitmap,
    held_bytes: u64,
    had_bytes: u64,
    /// Of what landed, or is held since: what a seed sent.
    from_seed: Bitmap,
    /// Rarity counts fellow devices only, because seeds hold everything.
    picker: Picker,
    /// By chunk, how many peers were asked for it.
    askers: Vec<u8>,
    sources: ByPeer<Source>,
    /// Sources of which something may be asked that could not be before: all others are as they were left.
    touched: Vec<PeerId>,
    spread: Option<Spread>,
    unannounced: Vec<u32>,
    announce_at: Option<Time>,
    progress_at: Time,
    /// Since devices had nothing to give, chunks are asked of a seed by name; until a device gives one again.
    starving: bool,
    /// Nobody stalls or starves, and nothing is hedged, before this; then all sources are reviewed.
    review_at: Option<Time>,
    tally: Tally,
}

impl Swarm {
    /// A release of which this node holds `held`. A seed also keeps count of what it spreads.
    pub fn new(
        strategy: Strategy,
        release: ManifestId,
        chunks: Arc<[ChunkRef]>,
        held: Bitmap,
        role: Role,
        now: Time,
    ) -> Self {
        let len = held.len();
        let mut picker = Picker::new(len);
        // A seed's chunks come from its publisher, not from devices.
        if role == Role::Device {
            (0..len).filter(|index| !held.contains(*index)).for_each(|index| picker.open(index));
        }
        let held_bytes = held.iter().map(|index| u64::from(chunks[index as usize].bytes)).sum();
        Self {
            strategy,
            release,
            held_bytes,
            had_bytes: held_bytes,
            landed: Bitmap::new(len),
            from_seed: Bitmap::new(len),
            picker,
            askers: vec![0; len as usize],
            sources: ByPeer::default(),
            touched: Vec::new(),
            spread: (role == Role::Seed).then(|| Spread::new(&held)),
            unannounced: Vec::new(),
            announce_at: None,
            progress_at: now,
            starving: false,
            review_at: None,
            tally: Tally::default(),
            chunks,
            held,
        }
    }

    /// The release.
    pub fn release(&self) -> ManifestId {
        self.release
    }

    /// What this node holds, durably.
    pub fn held(&self) -> &Bitmap {
        &self.held
    }

    /// Plain bytes of the chunks held.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Plain bytes of the chunks that were here from the start.
    pub fn had_bytes(&self) -> u64 {
        self.had_bytes
    }

    /// Bytes that arrived so far, by kind of sender.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Plain length of one of its chunks.
    pub fn chunk_bytes(&self, index: u32) -> u64 {
        self.chunks.get(index as usize).map_or(0, |chunk| u64::from(chunk.bytes))
    }

    /// Peers that told what they hold of this release.
    pub fn sources(&self) -> impl Iterator<Item = (PeerId, &Bitmap)> {
        self.sources.iter().map(|(peer, source)| (peer, &source.held))
    }

    /// Whether a chunk from this peer is of use: missing here, and asked for or covered by credit.
    /// A peer that stalled may still deliver late.
    pub fn expects(&self, peer: PeerId, index: u32) -> bool {
        let missing = index < self.held.len() && !self.held.contains(index) && !self.landed.contains(index);
        missing
            && self
                .sources
                .get(peer)
                .is_some_and(|source| source.credit > 0 || source.in_flight.contains(index) || source.is_late())
    }

    /// The bytes that were counted when a chunk was asked of a peer: its own, or as many as chunks have on average
    /// where the peer chose it.
    pub fn counted_bytes(&self, peer: PeerId, index: u32) -> u64 {
        let named = self.sources.get(peer).is_some_and(|source| source.in_flight.contains(index));
        if named { self.chunk_bytes(index) } else { CHUNK_BYTES_AVERAGE.into() }
    }

    /// Whether a peer has told what it holds.
    pub fn knows(&self, peer: PeerId) -> bool {
        self.sources.get(peer).is_some()
    }

    /// A peer tells all that it holds.
    pub fn peer_holds(&mut self, peer: PeerId, role: Role, held: Bitmap, now: Time) {
        let (len, load_aware) = (held.len(), self.strategy.load_aware);
        let source = self.sources.get_or_insert_with(peer, || Source::new(role, Bitmap::new(len), load_aware, now));
        let before = std::mem::replace(&mut source.held, held.clone());
        source.dry = false;
        source.news.clear();
        if role == Role::Device {
            held.iter().filter(|index| !before.contains(*index)).for_each(|index| self.count_gain(index, peer));
            before.iter().filter(|index| !held.contains(*index)).for_each(|index| self.count_loss(index));
        }
        self.touch(peer);
    }

    /// A peer tells chunks that it now holds too. One that never told what it held before will do so yet,
    /// and chunks that the release does not have are passed over. Returns whether the peer is known here.
    pub fn peer_gained(&mut self, peer: PeerId, indexes: &[u32]) -> bool {
        let Self { sources, picker, spread, touched, .. } = self;
        let Some(source) = sources.get_mut(peer) else { return false };
        for index in indexes.iter().copied() {
            if !source.held.insert(index) {
                continue;
            }
            if source.role == Role::Device {
                picker.gain(index);
                if let Some(spread) = spread {
                    spread.gain(index, peer);
                }
            }
            if picker.is_open(index) {
                source.can_give(index);
                touch(touched, peer, source);
            }
        }
        true
    }

    /// A peer does not have a chunk after all.
    pub fn refused(&mut self, peer: PeerId, index: u32) {
        let Some(source) = self.sources.get_mut(peer) else { return };
        let counted = source.held.remove(index) && source.role == Role::Device;
        if source.in_flight.remove(index) {
            self.unask(index);
            self.touch(peer);
        }
        if counted {
            self.count_loss(index);
        }
    }

    /// A peer is gone, with what it held and what it owed.
    pub fn peer_left(&mut self, peer: PeerId) {
        if let Some(spread) = &mut self.spread {
            spread.peer_left(peer);
        }
        let Some(mut source) = self.sources.remove(peer) else { return };
        if source.touched {
            self.touched.retain(|waits| *waits != peer);
        }
        if source.role == Role::Device {
            source.held.iter().for_each(|index| self.count_loss(index));
        }
        source.in_flight.take().into_iter().for_each(|index| self.unask(index));
    }

    /// A chunk arrived with the right bytes and is stored, though perhaps not durable. Returns what to
    /// tell others that were asked for it as well.
    pub fn arrived(&mut self, peer: PeerId, index: u32, wire_bytes: u64, now: Time) -> Vec<(PeerId, Ask)> {
        let bytes = self.chunks[index as usize].bytes;
        let mut from = None;
        if let Some(source) = self.sources.get_mut(peer) {
            if source.in_flight.contains(index) {
                self.askers[index as usize] = self.askers[index as usize].saturating_sub(1);
            }
            source.delivered(index, bytes, now);
            from = Some(source.role);
            touch(&mut self.touched, peer, source);
        }
        if self.held.contains(index) || !self.landed.insert(index) {
            self.tally.duplicate_bytes += wire_bytes;
            return Vec::new();
        }
        match from {
            Some(Role::Seed) => {
                self.from_seed.insert(index);
                self.tally.from_seeds_bytes += wire_bytes;
            }
            _ => {
                self.starving = false;
                self.tally.from_devices_bytes += wire_bytes;
            }
        }
        self.tally.chunks += 1;
        self.progress_at = now;
        self.picker.close(index);
        self.withdraw(index)
    }

    /// A chunk arrived that is of no use: it is here already, or was not asked for.
    pub fn unneeded(&mut self, peer: PeerId, index: u32, wire_bytes: u64) {
        self.tally.duplicate_bytes += wire_bytes;
        if self.sources.get_mut(peer).is_some_and(|source| source.useless(index)) {
            self.unask(index);
        }
        self.touch(peer);
    }

    /// Stored chunks have become durable.
    pub fn durable(&mut self, indexes: &[u32], now: Time) {
        for index in indexes {
            self.landed.remove(*index);
            self.picker.close(*index);
            if self.held.insert(*index) {
                self.held_bytes += u64::from(self.chunks[*index as usize].bytes);
                self.unannounced.push(*index);
                let news = self.from_seed.contains(*index) || self.picker.copies(*index) <= NEWS_COPIES_MAX;
                let at = now + if news { ANNOUNCE_AFTER } else { ANNOUNCE_COMMON_AFTER };
                self.announce_at = Some(self.announce_at.map_or(at, |planned| planned.min(at)));
            }
        }
    }

    /// A chunk that was held is spoilt: no longer offered, and missing again if it can be `replaced`.
    pub fn spoilt(&mut self, index: u32, replaced: bool) {
        if self.held.remove(index) {
            self.held_bytes -= u64::from(self.chunks[index as usize].bytes);
            if let Some(spread) = &mut self.spread {
                spread.spoilt(index);
            }
            if replaced {
                self.reopen(index);
            }
        }
    }

    /// The chunks to announce now, if it is time; a complete node does not wait.
    pub fn announcement(&mut self, now: Time) -> Option<Vec<u32>> {
        let due = self.announce_at.is_some_and(|at| at <= now)
            || self.unannounced.len() >= ANNOUNCED_CHUNKS_MAX
            || (self.held.is_full() && !self.unannounced.is_empty());
        due.then(|| {
            self.announce_at = None;
            std::mem::take(&mut self.unannounced)
        })
    }

    /// Whether a seed has something to choose for its peers again, after it had not; told once.
    pub fn choice_reopened(&mut self, now: Time) -> bool {
        self.spread.as_mut().is_some_and(|spread| spread.reopened(self.sources.len(), now))
    }

    /// A seed sends a chunk to a peer that named it.
    pub fn named(&mut self, peer: PeerId, index: u32, now: Time) {
        if let Some(spread) = &mut self.spread {
            spread.named(peer, index, now);
        }
    }

    /// Whether a peer says that it holds the chunk.
    pub fn claims(&self, peer: PeerId, index: u32) -> bool {
        self.sources.get(peer).is_some_and(|source| source.held.contains(index))
    }

    /// How likely a peer is to keep what a seed gives it to itself, in fifths.
    pub fn keeps_fifths(&self, peer: PeerId) -> u32 {
        self.spread.as_ref().map_or(0, |spread| spread.keeps_fifths(peer))
    }

    /// What a seed sends to a peer that left the choice to it.
    pub fn choose_for(&mut self, peer: PeerId, now: Time, rng: &mut Rng) -> Option<u32> {
        let held = self.sources.get(peer).map(|source| &source.held);
        let lacks = |index| held.is_none_or(|held| !held.contains(index));
        self.spread.as_mut()?.choose(peer, self.sources.len(), lacks, now, rng)
    }

    /// One peer fewer owes the chunk; once none does, it is open again.
    fn unask(&mut self, index: u32) {
        let askers = &mut self.askers[index as usize];
        *askers = askers.saturating_sub(1);
        if *askers == 0 && !self.held.contains(index) && !self.landed.contains(index) {
            self.reopen(index);
        }
    }

    /// The chunk may be asked for again, of everybody who holds it.
    fn reopen(&mut self, index: u32) {
        self.picker.open(index);
        for (peer, source) in self.sources.iter_mut() {
            if source.held.contains(index) {
                source.can_give(index);
                touch(&mut self.touched, peer, source);
            }
        }
    }

    /// The source may be asked for something.
    fn touch(&mut self, peer: PeerId) {
        if let Some(source) = self.sources.get_mut(peer) {
            touch(&mut self.touched, peer, source);
        }
    }

    /// Tells everybody else who owes the chunk that it is no longer needed.
    fn withdraw(&mut self, index: u32) -> Vec<(PeerId, Ask)> {
        if self.askers[index as usize] == 0 {
            return Vec::new();
        }
        self.askers[index as usize] = 0;
        let mut asks = Vec::new();
        for (peer, source) in self.sources.iter_mut() {
            if source.in_flight.remove(index) {
                asks.push((peer, Ask::Cancel(vec![index])));
                touch(&mut self.touched, peer, source);
            }
        }
        asks
    }

    fn count_gain(&mut self, index: u32, peer: PeerId) {
        self.picker.gain(index);
        if let Some(spread) = &mut self.spread {
            spread.gain(index, peer);
        }
    }

    fn count_loss(&mut self, index: u32) {
        self.picker.lose(index);
        if let Some(spread) = &mut self.spread {
            spread.lose(index);
        }
    }
}

fn touch(touched: &mut Vec<PeerId>, peer: PeerId, source: &mut Source) {
    if !std::mem::replace(&mut source.touched, true) {
        touched.push(peer);
    }
}
