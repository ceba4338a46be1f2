//! The state machine that every Homeroom process runs: a device, the school server, a simulated host.
//!
//! The contract with its driver: hand every input in with the time at which it happened, in order;
//! after each, take outputs until there are none, and carry them out; come back no later than
//! [`Node::next_wakeup`]. The node never fails and never panics on what a peer sent; a panic is a bug.
//! This file takes inputs in, and tells what follows from the new state; `peers`, `metadata`,
//! `equivocation`, `releases` and `applying` beneath it dispatch what happened. Decisions are made in the wings, in
//! `refresh`, `fetch` and `update`.

mod applying;
mod equivocation;
mod metadata;
mod peers;
mod releases;

pub use applying::Wait;
pub use releases::Idle;

use crate::chain::{Chain, Chains};
use crate::content::version::Version;
use crate::id::{ManifestId, PeerId, Signer, Source};
use crate::input::Input;
use crate::limits::ANNOUNCED_CHUNKS_MAX;
use crate::mesh::{Ask, Caps, Chooser, Grant, Pace, Peers, Role, Strategy, Swarm, Swarms, Uploads};
use crate::message::{Chunks, Credit, Message};
use crate::output::Output;
use crate::policy::Policy;
use crate::rng::Rng;
use crate::school::{School, Timekeeper};
use crate::time::{Time, UnixTime};
use crate::trust::{Freshness, TrustedSet};
use crate::update::{Stage, Update};
use std::collections::VecDeque;

/// What a node is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is for.
    pub role: Role,
    /// What a device takes; a seed carries what any device may take.
    pub policy: Option<Policy>,
    /// The version that a device has applied before it starts: it goes forward by itself, never back.
    pub applied: Option<Version>,
    /// The `release_counter` below which a device does not go, whoever says so.
    pub floor: u64,
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
    chains: Chains,
    peers: Peers,
    uploads: Uploads,
    pace: Pace,
    /// The releases that this node should have, ascending by path: of a device one.
    updates: Vec<Update>,
    /// The releases of `Prepare`s that the driver has not answered yet, in order.
    prepares: Vec<ManifestId>,
    swarms: Swarms,
    wall_clock: Option<UnixTime>,
    /// When the last input came.
    now: Time,
    /// When metadata, documents and what is filled are looked at again at the latest: what only moves chunks does not
    /// touch them, and chunks are nearly all that happens.
    rest_at: Time,
    rng: Rng,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node that believes `chains`. It reads their static repositories at its first wakeup if it has them.
    pub fn restore(config: Config, mut chains: Chains, rng_seed: [u8; 32]) -> Node {
        for signer in Signer::BOTH.into_iter().filter(|_| config.has_origin) {
            chains.get_mut(signer).into_iter().for_each(|chain| chain.refresh.origin_changed());
        }
        Node {
            uploads: Uploads::new(config.upload_slots),
            pace: Pace::new(config.caps),
            config,
            chains,
            peers: Peers::default(),
            updates: Vec::new(),
            prepares: Vec::new(),
            swarms: Swarms::default(),
            wall_clock: None,
            now: Time::default(),
            rest_at: Time::default(),
            rng: Rng::new(&rng_seed, 0, "node"),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one thing that happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        self.pace.refill(now);
        if !input.moves_only_chunks() {
            self.rest_at = now;
        }
        match input {
            Input::PeerConnected(peer) => self.peer_connected(peer),
            Input::PeerDisconnected(peer) => self.peer_left(peer),
            Input::Message { from, message } => self.message(now, from, &message),
            Input::BadFrame { from, why } => self.strike(from, why),
            Input::OriginChanged(signer) => {
                if let Some(chain) = self.chains.get_mut(signer) {
                    chain.refresh.origin_changed();
                }
            }
            Input::OriginMetadata { signer, role, bytes } => {
                self.metadata(now, signer, Source::Origin, &role, bytes.as_deref());
            }
            Input::DocumentRead(document, found) => self.document_read(&document, found),
            Input::DocumentVerified(document, verdict) => self.document_verified(now, &document, verdict),
            Input::Prepared { release, held, applied } => self.prepared(now, release, held, applied),
            Input::PrepareFailed { release, why } => self.prepare_failed(now, release, why),
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
            Input::ApplyRequested => self.apply_complete(|wait| wait.is_none_or(|wait| wait.yields_to_a_person())),
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

    /// The releases that this node should have, ascending by path, and where they stand.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.updates.iter()
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
        self.chains.publisher.trust()
    }

    /// How fresh a signer's metadata is by the school's clock, or else by the wall clock, if the driver has told one.
    pub fn freshness(&self, signer: Signer) -> Option<Freshness> {
        Some(self.chains.get(signer)?.trust().freshness(self.clock()?))
    }

    /// What the school's server stated, or else what the wall clock says.
    fn clock(&self) -> Option<UnixTime> {
        self.stated_time().or(self.wall_clock)
    }

    fn stated_time(&self) -> Option<UnixTime> {
        self.school()?.time(self.now)
    }

    /// Whose clock it is that is wrong, if what a signer signed does not fit the time.
    pub fn timekeeper(&self, signer: Signer) -> Timekeeper {
        let stated = match signer {
            Signer::Publisher => self.stated_time().is_some(),
            // What its server states does not count where it lies before what the server signed itself.
            Signer::School => self.school_silent_s().is_some(),
        };
        if stated { Timekeeper::Server } else { Timekeeper::Device }
    }

    /// For how many seconds the school's server has not been heard from, if it ever was.
    pub fn school_silent_s(&self) -> Option<u64> {
        self.school()?.silent_s(self.now)
    }

    /// What a device takes; nothing on a seed.
    pub fn policy(&self) -> Option<&Policy> {
        self.config.policy.as_ref()
    }

    /// What it believes of its publisher.
    pub fn publisher(&self) -> &Chain {
        &self.chains.publisher
    }

    /// The school that this node belongs to, if any.
    pub fn school(&self) -> Option<&School> {
        self.chains.school.as_deref()
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
        let updates = self.updates.iter().filter_map(|update| update.wakeup());
        let asks_time = self.school().and_then(School::wakeup);
        updates.chain(self.chains.iter().map(Chain::wakeup)).chain(asks_time).min().unwrap_or_default()
    }

    fn advance_metadata(&mut self, now: Time) {
        for signer in Signer::BOTH {
            let Self { chains, peers, rng, outputs, .. } = self;
            let Some(chain) = chains.get_mut(signer) else { continue };
            if chain.advance(peers, now, rng, outputs) {
                self.chains.school.iter_mut().for_each(|school| school.has_spoken());
                self.hear_of_releases();
            }
            let said = self.chains.get_mut(signer).and_then(|chain| chain.tell_head(&self.peers, now));
            self.outputs.extend(said);
        }
        let Self { chains, peers, rng, outputs, .. } = self;
        let asks = chains.school.as_mut().and_then(|school| school.asks_time(peers, now, rng));
        outputs.extend(asks.map(|(to, nonce)| Output::Send { to, message: Message::WantTime(nonce.to_vec().into()) }));
    }

    /// Documents are asked of whoever gave the one before or told the news, and then of devices that know it too: where
    /// the school could not tell everybody itself, it could not send everybody its documents either.
    fn advance_documents(&mut self, now: Time) {
        let mut wants = Vec::new();
        for update in self.updates.iter_mut() {
            if let Stage::Fetching(fetch) = &mut update.stage
                && fetch.needs_peer(now)
            {
                let Chain { trust, refresh, .. } = &self.chains.publisher;
                let mine = trust.head().map(|head| head.timestamp);
                let up_to_date = |peer: &PeerId| refresh.head_of(*peer).map(|head| head.timestamp) >= mine;
                let is_here = |peer: &PeerId| self.peers.role(*peer).is_some() && up_to_date(peer);
                let first = update.giver.or(refresh.herald()).filter(is_here);
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
