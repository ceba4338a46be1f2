//! The state machine that every Homeroom process runs: a device, the school server, a simulated host.
//!
//! The contract with its driver: hand every input in with the time at which it happened, in order;
//! after each, take outputs until there are none, and carry them out; come back no later than
//! [`Node::next_wakeup`]. The node never fails and never panics on what a peer sent; a panic is a bug.
//! This file takes inputs in, and tells what follows from the new state; `peers`, `metadata` and
//! `releases` beneath it dispatch what happened. Decisions are made in the wings, in `refresh`, `fetch`
//! and `update`.

mod equivocation;
mod metadata;
mod peers;
mod releases;

use crate::content::name::ChannelName;
use crate::content::version::Version;
use crate::id::{ManifestId, PeerId, Source};
use crate::input::Input;
use crate::limits::{ANNOUNCED_CHUNKS_MAX, PEERS_MAX};
use crate::mesh::{Ask, Caps, Chooser, Grant, Pace, Peers, Role, Strategy, Swarm, Swarms, Uploads};
use crate::message::{self, Chunks, Credit, Message, WantMetadata};
use crate::output::{Event, Output};
use crate::refresh::Refresh;
use crate::rng::Rng;
use crate::time::{Span, Time, UnixTime};
use crate::trust::{self, Freshness, TrustedSet};
use crate::update::{Stage, Update};
use equivocation::Equivocation;
use std::collections::{BTreeMap, VecDeque};

/// Heads are repeated to all peers this often, lest one was lost or a peer has slept: at 24 peers
/// about 100 bytes a second.
const GOSSIP_EVERY: Span = Span::from_secs(30);

/// A school with more peers than a device has tells so many at once, and the next after this long: by then most
/// have heard from each other.
const TELL_EVERY: Span = Span::from_millis(500);

/// What a node is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is for.
    pub role: Role,
    /// The channel that a device follows; a seed keeps all.
    pub channel: Option<ChannelName>,
    /// The version that a device has applied before it starts: it goes forward by itself, never back.
    pub applied: Option<Version>,
    /// Whether a complete release is applied without being asked.
    pub applies: bool,
    /// Whether there is a static repository to read.
    pub has_origin: bool,
    /// Which rules of the swarm are at work.
    pub strategy: Strategy,
    /// Chunks that the driver can read and send at once.
    pub upload_slots: usize,
    /// How fast it may send and fetch at most.
    pub caps: Caps,
}

/// One node of the mesh.
pub struct Node {
    config: Config,
    trust: TrustedSet,
    refresh: Refresh,
    peers: Peers,
    uploads: Uploads,
    pace: Pace,
    /// By channel, the newest release known.
    /// Boxed, because a tree's leaf has room for eleven and most nodes have one.
    updates: BTreeMap<ChannelName, Box<Update>>,
    swarms: Swarms,
    wall_clock: Option<UnixTime>,
    equivocation: Option<Equivocation>,
    /// Evidence of a version that is not here yet.
    shown_early: Option<message::Equivocation>,
    gossip_at: Time,
    /// Peers that are still to be told of `said_head`: so many now, and more after that.
    untold: Vec<PeerId>,
    tell_more_at: Time,
    may_tell: usize,
    said_head: Option<trust::Head>,
    /// When metadata, documents and what is filled are looked at again at the latest: what only moves chunks does not
    /// touch them, and chunks are nearly all that happens.
    rest_at: Time,
    rng: Rng,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node that trusts `trust`. It reads the static repository at its first wakeup if it has one.
    pub fn restore(config: Config, trust: TrustedSet, rng_seed: [u8; 32]) -> Node {
        let mut refresh = Refresh::default();
        if config.has_origin {
            refresh.origin_changed();
        }
        Node {
            uploads: Uploads::new(config.upload_slots),
            pace: Pace::new(config.caps),
            config,
            trust,
            refresh,
            peers: Peers::default(),
            updates: BTreeMap::new(),
            swarms: Swarms::default(),
            wall_clock: None,
            equivocation: None,
            shown_early: None,
            gossip_at: Time::default(),
            untold: Vec::new(),
            tell_more_at: Time::default(),
            may_tell: 0,
            said_head: None,
            rest_at: Time::default(),
            rng: Rng::new(&rng_seed, 0, "node"),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one thing that happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.pace.refill(now);
        if !input.moves_only_chunks() {
            self.rest_at = now;
        }
        match input {
            Input::PeerConnected(peer) => self.peer_connected(peer),
            Input::PeerDisconnected(peer) => self.peer_left(peer),
            Input::Message { from, message } => self.message(now, from, &message),
            Input::BadFrame { from, why } => self.strike(from, why),
            Input::OriginChanged => self.refresh.origin_changed(),
            Input::OriginMetadata { role, bytes } => self.metadata(now, Source::Origin, &role, bytes.as_deref()),
            Input::DocumentRead(document, found) => self.document_read(&document, found),
            Input::DocumentVerified(document, verdict) => self.document_verified(now, &document, verdict),
            Input::Prepared { release, held, applied } => self.prepared(now, release, held, applied),
            Input::PrepareFailed { release, why } => self.blocked(now, release, why),
            Input::ChunkArrived { from, release, index, wire_bytes, verdict } => {
                self.chunk_arrived(now, from, release, index, wire_bytes, verdict);
            }
            Input::Durable { release, indexes } => {
                if let Some(swarm) = self.swarms.get_mut(release) {
                    swarm.durable(&indexes, now);
                    if swarm.held().is_full() {
                        self.rest_at = now;
                    }
                }
            }
            Input::Uploaded { to, release, index, outcome } => self.uploaded(to, release, index, outcome),
            Input::Applied(release) => self.applied(release),
            Input::ApplyFailed { release, fault } => self.apply_failed(now, release, fault),
            Input::ApplyRequested => self.apply_complete(),
            Input::Traffic(traffic) => {
                let lacks = self.swarms.iter().any(|swarm| !swarm.held().is_full());
                self.pace.traffic(&traffic, lacks, now);
            }
            Input::Quiet(quiet) => self.pace.be_quiet(quiet, now),
            Input::WallClock(time) => self.wall_clock = Some(time),
            Input::Wakeup => {}
        }
        self.advance(now);
    }

    /// The next thing to do, in order; nothing once all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in a `Wakeup` if nothing else happens before.
    pub fn next_wakeup(&self) -> Option<Time> {
        let swarms = self.swarms.iter().filter_map(|swarm| swarm.wakeup());
        let asks = self.swarms.iter().any(|swarm| swarm.waits());
        let paced = self.pace.wakeup(self.uploads.waits(), asks);
        swarms.chain(paced).chain([self.rest_at]).min()
    }

    /// Whether a chunk that a peer is sending is of use. A driver asks before it spends work on it.
    pub fn expects(&self, from: PeerId, release: ManifestId, index: u32) -> bool {
        self.swarms.get(release).is_some_and(|swarm| swarm.expects(from, index))
    }

    /// The newest release of each channel that this node follows, and where it stands.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.updates.values().map(Box::as_ref)
    }

    /// A release as the mesh holds it, once it has a place here.
    pub fn swarm(&self, release: ManifestId) -> Option<&Swarm> {
        self.swarms.get(release)
    }

    /// How fast it may send and fetch.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The connected peers.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whose releases this node carries, and how far its metadata can be trusted.
    pub fn trust(&self) -> &TrustedSet {
        &self.trust
    }

    /// How fresh the metadata is by the wall clock, if the driver has told one.
    pub fn freshness(&self) -> Option<Freshness> {
        self.wall_clock.map(|now| self.trust.freshness(now))
    }
}

/// What follows from the new state, whatever changed it.
impl Node {
    fn advance(&mut self, now: Time) {
        let rest = self.rest_at <= now;
        if rest {
            self.advance_metadata(now);
            self.advance_documents(now);
            self.retry_blocked(now);
        }
        self.advance_swarms(now);
        if rest {
            self.advance_filled();
            self.rest_at = self.rest_wakeup();
        }
        debug_assert_eq!(self.rest_at, self.rest_wakeup(), "what only moves chunks changed something else");
        self.grant_uploads(now);
    }

    /// When metadata, documents or a blocked release are due though nothing happened.
    fn rest_wakeup(&self) -> Time {
        let updates = self.updates.values().filter_map(|update| update.wakeup());
        let tells_at = if self.untold.is_empty() { self.gossip_at } else { self.gossip_at.min(self.tell_more_at) };
        updates.chain(self.refresh.wakeup()).fold(tells_at, Time::min)
    }

    fn advance_metadata(&mut self, now: Time) {
        // What is trusted changes only with an answer, and after one nothing is settled.
        if self.refresh.is_settled(now) && self.untold.is_empty() && self.gossip_at > now {
            return;
        }
        if let Some(request) = self.refresh.next(&self.trust, now) {
            let (role, version) = (request.role, request.version);
            match request.source {
                Source::Origin => self.outputs.push_back(Output::ReadMetadata { role, version }),
                Source::Peer(peer) => self.send(peer, Message::WantMetadata(WantMetadata { role, version })),
            }
        }
        let head = self.trust.head();
        let news = head != self.said_head;
        if news {
            self.hear_of_releases();
        }
        if news || self.gossip_at <= now {
            let jitter = Span(self.rng.below(GOSSIP_EVERY.0 / 2));
            self.gossip_at = now + GOSSIP_EVERY + jitter;
            self.said_head.clone_from(&head);
            self.untold = self.peers.devices_first().collect();
            // Whoever is told later has often heard it from others by then.
            self.rng.shuffle(&mut self.untold);
        }
        self.tell_head(now);
    }

    /// Tells the head to those that do not know it, so many at a time.
    fn tell_head(&mut self, now: Time) {
        let Some(head) = self.said_head.filter(|_| !self.untold.is_empty()) else {
            return self.untold.clear();
        };
        if self.tell_more_at <= now {
            self.tell_more_at = now + TELL_EVERY;
            self.may_tell = PEERS_MAX;
        }
        let mut to = Vec::new();
        while self.may_tell > 0
            && let Some(peer) = self.untold.pop()
        {
            let knows = self.refresh.head_of(peer) == Some(&head);
            if self.peers.role(peer).is_some() && !knows {
                to.push(peer);
                self.may_tell -= 1;
            }
        }
        if !to.is_empty() {
            self.outputs.push_back(Output::SendAll { to, message: Message::Head(Some(head)) });
        }
    }

    /// Documents are asked of whoever gave the one before or told the news, and then of devices that know it too: where
    /// the school could not tell everybody itself, it could not send everybody its documents either.
    fn advance_documents(&mut self, now: Time) {
        let mut wants = Vec::new();
        for update in self.updates.values_mut() {
            if let Stage::Fetching(fetch) = &mut update.stage
                && fetch.needs_peer(now)
            {
                let mine = self.trust.head().map(|head| head.timestamp);
                let up_to_date = |peer: &PeerId| self.refresh.head_of(*peer).map(|head| head.timestamp) >= mine;
                let is_here = |peer: &PeerId| self.peers.role(*peer).is_some() && up_to_date(peer);
                let first = update.giver.or(self.refresh.herald()).filter(is_here);
                let others = |role| self.peers.with_role(role).filter(up_to_date).filter(|peer| Some(*peer) != first);
                let willing: Vec<PeerId> = first.into_iter().chain(others(Role::Device)).collect();
                let spared: Vec<PeerId> = others(Role::Seed).collect();
                wants.extend(fetch.ask(&willing, &spared, now));
            }
        }
        wants.into_iter().for_each(|(peer, want)| self.send(peer, Message::WantDocument(want)));
    }

    fn advance_swarms(&mut self, now: Time) {
        let Self { swarms, pace, rng, outputs, .. } = self;
        for swarm in swarms.iter_mut() {
            let release = swarm.release();
            swarm.expire_promises(now);
            say(outputs, release, swarm.asks_within(pace.down(), now, rng));
            let Some(gained) = swarm.announcement(now) else { continue };
            let listeners: Vec<PeerId> = swarm.sources().map(|(peer, _)| peer).collect();
            // A sync of small files can make more chunks durable than one message may name.
            for some in gained.chunks(ANNOUNCED_CHUNKS_MAX) {
                let message = Message::Gained(Chunks { release, indexes: some.to_vec() });
                outputs.push_back(Output::SendAll { to: listeners.clone(), message });
            }
        }
    }

    /// What has every chunk is complete, and may be applied.
    fn advance_filled(&mut self) {
        let Self { updates, swarms, outputs, .. } = self;
        let mut complete = false;
        for update in updates.values_mut() {
            let release = update.listed.manifest;
            let filled = matches!(update.stage, Stage::Filling | Stage::Complete)
                && swarms.get(release).is_some_and(|swarm| swarm.held().is_full());
            if filled && matches!(update.stage, Stage::Filling) {
                update.stage = Stage::Complete;
                outputs.push_back(Output::Event(Event::Complete(release)));
            }
            complete |= filled;
        }
        let stale = matches!(self.freshness(), Some(Freshness::Stale { .. }));
        if complete && self.config.applies && !stale && self.equivocation().is_none() {
            self.apply_complete();
        }
    }

    fn grant_uploads(&mut self, now: Time) {
        let Self { uploads, pace, swarms, rng, outputs, .. } = self;
        if swarms.iter_mut().any(|swarm| swarm.choice_reopened(now)) {
            uploads.unpark();
        }
        let budget = pace.up();
        while budget.allows()
            && let Some(Grant { to, release, index }) = uploads.grant(&mut SwarmsChoice { swarms, rng, now })
        {
            budget.spend(swarms.get(release).map_or(0, |swarm| swarm.chunk_bytes(index)));
            outputs.push_back(Output::Upload { to, release, index });
        }
    }
}

/// Says what a swarm wants said.
fn say(outputs: &mut VecDeque<Output>, release: ManifestId, asks: Vec<(PeerId, Ask)>) {
    for (to, ask) in asks {
        let message = match ask {
            Ask::Chunks(indexes) => Message::Want(Chunks { release, indexes }),
            Ask::Credit(chunks) => Message::Credit(Credit { release, chunks }),
            Ask::Cancel(indexes) => Message::Cancel(Chunks { release, indexes }),
        };
        outputs.push_back(Output::Send { to, message });
    }
}

/// The swarms of a seed choose what it sends.
struct SwarmsChoice<'a> {
    swarms: &'a mut Swarms,
    rng: &'a mut Rng,
    now: Time,
}

impl Chooser for SwarmsChoice<'_> {
    fn choose(&mut self, peer: PeerId, release: ManifestId) -> Option<u32> {
        self.swarms.get_mut(release)?.choose_for(peer, self.now, self.rng)
    }

    fn named(&mut self, peer: PeerId, release: ManifestId, index: u32) {
        if let Some(swarm) = self.swarms.get_mut(release) {
            swarm.named(peer, index, self.now);
        }
    }

    fn claims(&self, peer: PeerId, release: ManifestId, index: u32) -> bool {
        self.swarms.get(release).is_some_and(|swarm| swarm.claims(peer, index))
    }

    fn keeps_fifths(&self, peer: PeerId) -> u32 {
        self.swarms.iter().map(|swarm| swarm.keeps_fifths(peer)).max().unwrap_or(0)
    }
}
