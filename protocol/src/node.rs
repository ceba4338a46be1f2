//! The state machine that every Homeroom process runs: a device, the school server, a simulated host.
//!
//! The contract with its driver: hand every input in with the time at which it happened, in order;
//! after each, take outputs until there are none, and carry them out; come back no later than
//! [`Node::next_wakeup`]. The node never fails and never panics on what a peer sent; a panic is a bug.
//! This file only dispatches; decisions are made in the wings, in `refresh`, `fetch` and `update`.

use crate::bitmap::Bitmap;
use crate::content::name::ChannelName;
use crate::content::release::Release;
use crate::fetch::Progress;
use crate::id::{ManifestId, PeerId, Source};
use crate::input::{ApplyFault, DocumentFault, Input, UploadOutcome, Verdict, VerifiedDocument};
use crate::mesh::{Ask, Peers, Role, Swarm, Uploads};
use crate::message::{Chunks, Credit, Hello, Holdings, Message, Metadata, Slice, WantMetadata};
use crate::output::{Document, Event, Output};
use crate::refresh::Refresh;
use crate::rng::Rng;
use crate::time::{Span, Time, UnixTime};
use crate::trust::{self, Accepted, Blame, Freshness, TrustedSet};
use crate::update::{Listed, Stage, Update};
use serde_bytes::ByteBuf;
use std::collections::{BTreeMap, VecDeque};

/// Heads are repeated to all peers this often, lest one was lost or a peer has slept: at 24 peers
/// about 100 bytes a second.
const GOSSIP_EVERY: Span = Span::from_secs(30);

/// What a node is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is for.
    pub role: Role,
    /// The channel that a device follows; a seed keeps all.
    pub channel: Option<ChannelName>,
    /// Whether a complete release is applied without being asked.
    pub applies: bool,
    /// Whether there is a static repository to read.
    pub has_origin: bool,
    /// Chunks that the driver can read and send at once.
    pub upload_slots: usize,
}

/// One node of the mesh.
pub struct Node {
    config: Config,
    trust: TrustedSet,
    refresh: Refresh,
    peers: Peers,
    uploads: Uploads,
    /// By channel, the newest release known.
    updates: BTreeMap<ChannelName, Update>,
    swarms: BTreeMap<ManifestId, Swarm>,
    wall_clock: Option<UnixTime>,
    gossip_at: Time,
    said_head: Option<trust::Head>,
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
        let said_head = trust.head();
        Node {
            uploads: Uploads::new(config.upload_slots),
            config,
            trust,
            refresh,
            peers: Peers::default(),
            updates: BTreeMap::new(),
            swarms: BTreeMap::new(),
            wall_clock: None,
            gossip_at: Time::default(),
            said_head,
            rng: Rng::new(&rng_seed, 0, "node"),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one thing that happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::PeerConnected(peer) => self.peer_connected(peer),
            Input::PeerDisconnected(peer) => self.peer_left(peer),
            Input::Message { from, message } => self.message(now, from, message),
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
                if let Some(swarm) = self.swarms.get_mut(&release) {
                    swarm.durable(&indexes, now);
                }
            }
            Input::Uploaded { to, release, index, outcome } => self.uploaded(to, release, index, outcome),
            Input::Applied(release) => self.applied(release),
            Input::ApplyFailed { release, fault } => self.apply_failed(now, release, fault),
            Input::ApplyRequested => self.apply_complete(),
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
        let swarms = self.swarms.values().filter_map(Swarm::wakeup);
        let updates = self.updates.values().filter_map(Update::wakeup);
        swarms.chain(updates).chain(self.refresh.wakeup()).chain([self.gossip_at]).min()
    }

    /// Whether a chunk that a peer is sending is of use. A driver asks before it spends work on it.
    pub fn expects(&self, from: PeerId, release: ManifestId, index: u32) -> bool {
        self.swarms.get(&release).is_some_and(|swarm| swarm.expects(from, index))
    }

    /// The newest release of each channel that this node follows, and where it stands.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.updates.values()
    }

    /// A release as the mesh holds it, once it has a place here.
    pub fn swarm(&self, release: ManifestId) -> Option<&Swarm> {
        self.swarms.get(&release)
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

/// Peers come, speak and go.
impl Node {
    fn peer_connected(&mut self, peer: PeerId) {
        self.peers.connected(peer);
        let hello = Hello { features: 0, repository: self.trust.repository(), role: self.config.role };
        self.send(peer, Message::Hello(hello));
        self.send(peer, Message::Head(self.trust.head()));
        let holdings: Vec<Message> = self.swarms.values().map(|swarm| holdings(swarm, true)).collect();
        holdings.into_iter().for_each(|message| self.send(peer, message));
    }

    fn peer_left(&mut self, peer: PeerId) {
        if !self.peers.left(peer) {
            return;
        }
        self.uploads.peer_left(peer);
        self.refresh.peer_left(peer);
        self.swarms.values_mut().for_each(|swarm| swarm.peer_left(peer));
        for update in self.updates.values_mut() {
            if let Stage::Fetching(fetch) = &mut update.stage {
                fetch.peer_left(peer);
            }
        }
    }

    fn message(&mut self, now: Time, from: PeerId, message: Message) {
        if let Message::Hello(hello) = message {
            return self.hello(from, &hello);
        }
        let Some(role) = self.peers.role(from) else {
            return self.strike(from, "spoke before it introduced itself".to_owned());
        };
        match message {
            Message::Hello(_) => {}
            Message::Head(head) => self.refresh.peer_has(from, head),
            Message::WantMetadata(want) => self.want_metadata(from, &want),
            Message::Metadata(Metadata { role, bytes }) => {
                self.metadata(now, Source::Peer(from), &role, bytes.as_ref().map(|bytes| bytes.as_slice()));
            }
            Message::WantDocument(want) => self.outputs.push_back(Output::SendDocument { to: from, want }),
            Message::Slice(slice) => self.slice(now, from, slice),
            Message::NoDocument(id) => {
                for update in self.updates.values_mut() {
                    if let Stage::Fetching(fetch) = &mut update.stage
                        && fetch.document().id() == id
                    {
                        fetch.bench(from, now);
                    }
                }
            }
            Message::Holdings(told) => self.peer_holds(now, from, role, &told),
            Message::Gained(Chunks { release, indexes }) => {
                if let Some(swarm) = self.swarms.get_mut(&release) {
                    swarm.peer_gained(from, &indexes);
                }
            }
            Message::Want(want) => self.want(from, want),
            Message::Credit(Credit { release, chunks }) => {
                if self.config.role == Role::Seed {
                    self.uploads.credit(from, release, chunks);
                }
            }
            Message::Cancel(Chunks { release, indexes }) => self.uploads.cancel(from, release, &indexes),
            Message::Refuse(Chunks { release, indexes }) => {
                if let Some(swarm) = self.swarms.get_mut(&release) {
                    indexes.iter().for_each(|index| swarm.refused(from, *index));
                }
            }
        }
    }

    fn hello(&mut self, from: PeerId, hello: &Hello) {
        if hello.repository != self.trust.repository() {
            // Another school's node, on the same network by no fault of its own.
            self.peer_left(from);
            self.outputs.push_back(Output::Disconnect(from));
        } else if !self.peers.introduced(from, hello.role) {
            self.strike(from, "introduced itself twice".to_owned());
        }
    }

    fn peer_holds(&mut self, now: Time, from: PeerId, role: Role, told: &Holdings) {
        let Some(swarm) = self.swarms.get_mut(&told.release) else { return };
        let chunks = swarm.held().len();
        let held = match told.held.as_slice() {
            [] => Some(Bitmap::full(chunks)),
            bytes => Bitmap::from_bytes(chunks, bytes),
        };
        let Some(held) = held else {
            return self.strike(from, "told holdings that do not fit the release".to_owned());
        };
        swarm.peer_holds(from, role, held, now);
        if told.answer {
            let answer = holdings(swarm, false);
            self.send(from, answer);
        }
    }

    fn want(&mut self, from: PeerId, Chunks { release, indexes }: Chunks) {
        let held = self.swarms.get(&release).map(Swarm::held);
        let (have, lack): (Vec<u32>, Vec<u32>) =
            indexes.into_iter().partition(|index| held.is_some_and(|held| held.contains(*index)));
        if !lack.is_empty() {
            self.send(from, Message::Refuse(Chunks { release, indexes: lack }));
        }
        if !self.uploads.want(from, release, &have) {
            self.strike(from, "asked for more chunks at once than is lawful".to_owned());
        }
    }

    /// Counts an offence against a peer, and bans it once patience has ended.
    fn strike(&mut self, peer: PeerId, why: String) {
        if self.peers.strike(peer) {
            self.ban(peer, why);
        }
    }

    fn ban(&mut self, peer: PeerId, why: String) {
        self.peer_left(peer);
        self.outputs.push_back(Output::Ban(peer));
        self.outputs.push_back(Output::Event(Event::Banned { peer, why }));
    }

    fn send(&mut self, to: PeerId, message: Message) {
        self.outputs.push_back(Output::Send { to, message });
    }
}

/// Metadata and documents.
impl Node {
    fn want_metadata(&mut self, from: PeerId, want: &WantMetadata) {
        let bytes = self.trust.metadata(&want.role, want.version).map(|(_, bytes)| ByteBuf::from(bytes.to_vec()));
        self.send(from, Message::Metadata(Metadata { role: want.role.clone(), bytes }));
    }

    fn metadata(&mut self, now: Time, source: Source, role: &trust::Role, bytes: Option<&[u8]>) {
        let Some(request) = self.refresh.answered(source, role) else { return };
        let Some(bytes) = bytes else { return self.refresh.failed(&request, now) };
        match self.trust.offer(role, bytes) {
            Ok(Accepted::AlreadyKnown) => self.refresh.accepted(&request),
            Ok(Accepted::New) => {
                self.refresh.accepted(&request);
                self.outputs.push_back(Output::SaveTrust(self.trust.files()));
            }
            Err(rejection) => {
                self.refresh.failed(&request, now);
                let peer = match source {
                    Source::Peer(peer) => Some(peer),
                    Source::Origin => None,
                };
                let why = explained(&rejection);
                self.outputs.push_back(Output::Event(Event::MetadataRefused { peer, why: why.clone() }));
                if let (Some(peer), Blame::Peer) = (peer, rejection.blame()) {
                    self.strike(peer, why);
                }
            }
        }
    }

    fn document_read(&mut self, document: &Document, found: Option<VerifiedDocument>) {
        let Some(update) = self.updates.values_mut().find(|update| update.document().id() == document.id()) else {
            return;
        };
        match (&update.stage, found) {
            (Stage::Reading, Some(found)) => self.document_here(document, found),
            (Stage::Reading, None) => update.fetch_document(),
            _ => {}
        }
    }

    fn slice(&mut self, now: Time, from: PeerId, slice: Slice) {
        for update in self.updates.values_mut() {
            let Stage::Fetching(fetch) = &mut update.stage else { continue };
            match fetch.slice(from, slice.clone(), now) {
                None => continue,
                Some(Progress::More(want)) => return self.send(from, Message::WantDocument(want)),
                Some(Progress::Whole(base, bytes)) => {
                    let document = fetch.document().clone();
                    let Stage::Fetching(fetch) = std::mem::replace(&mut update.stage, Stage::Preparing) else {
                        return;
                    };
                    update.stage = Stage::Verifying(fetch);
                    return self.outputs.push_back(Output::VerifyDocument { document, base, bytes: bytes.into() });
                }
                Some(Progress::Absurd) => {
                    fetch.bench(from, now);
                    return self.strike(from, "sent an absurd slice of a document".to_owned());
                }
            }
        }
    }

    fn document_verified(&mut self, now: Time, document: &Document, verdict: Result<VerifiedDocument, DocumentFault>) {
        let verifying = self
            .updates
            .values_mut()
            .find(|update| matches!(&update.stage, Stage::Verifying(fetch) if fetch.document().id() == document.id()));
        let Some(update) = verifying else { return };
        let Stage::Verifying(mut fetch) = std::mem::replace(&mut update.stage, Stage::Reading) else { return };
        match verdict {
            Ok(found) => self.document_here(document, found),
            Err(DocumentFault::Unlawful(why)) => {
                let release = update.listed.manifest;
                update.refuse(why.clone());
                self.outputs.push_back(Output::Event(Event::Blocked { release, why }));
            }
            Err(DocumentFault::WrongBytes) => {
                let liar = fetch.wrong();
                if let Some(liar) = liar {
                    fetch.bench(liar, now);
                }
                update.stage = Stage::Fetching(fetch);
                if let Some(liar) = liar {
                    self.ban(liar, "sent a document that does not match its name".to_owned());
                }
            }
        }
    }

    fn document_here(&mut self, document: &Document, found: VerifiedDocument) {
        let Some(update) = self.updates.values_mut().find(|update| update.document().id() == document.id()) else {
            return;
        };
        match found {
            VerifiedDocument::Manifest(manifest) => {
                update.manifest = Some(manifest);
                update.stage = Stage::Reading;
                self.outputs.push_back(Output::ReadDocument(update.document()));
            }
            VerifiedDocument::Release(release) => {
                update.release = Some(release.clone());
                self.prepare(release);
            }
        }
    }
}

/// Releases and chunks.
impl Node {
    /// Looks for newer releases once the metadata is whole.
    fn hear_of_releases(&mut self) {
        for listed in Listed::newest(&self.trust) {
            let channel = listed.path.channel.clone();
            let follows = self.config.role == Role::Seed || self.config.channel.as_ref() == Some(&channel);
            let before = self.updates.get(&channel);
            if !follows || before.is_some_and(|before| before.listed.manifest == listed.manifest) {
                continue;
            }
            self.outputs.push_back(Output::Event(Event::Heard {
                channel: channel.to_string(),
                version: listed.path.version.to_string(),
                release: listed.manifest,
            }));
            let update = Update::new(listed, before);
            self.outputs.push_back(Output::ReadDocument(update.document()));
            self.updates.insert(channel, update);
        }
    }

    /// Makes a place for a release. What is half fetched of the one before is left to the driver, which
    /// takes from it what it can use; what is whole goes on being served until the place is made.
    fn prepare(&mut self, release: std::sync::Arc<Release>) {
        let id = release.id();
        if let Some(update) = self.update_mut(id) {
            update.stage = Stage::Preparing;
        }
        self.forget(|swarm| !swarm.held().is_full());
        self.outputs.push_back(Output::Prepare(release));
    }

    fn prepared(&mut self, now: Time, release: ManifestId, held: Bitmap, applied: bool) {
        let role = self.config.role;
        let Some(update) = self.updates.values_mut().find(|update| update.listed.manifest == release) else { return };
        let (Stage::Preparing, Some(content)) = (&update.stage, &update.release) else { return };
        update.stage = if applied { Stage::Applied } else { Stage::Filling };
        let swarm = Swarm::new(release, content.chunks().into(), held, role, now);
        let current: Vec<ManifestId> = self.updates.values().map(|update| update.listed.manifest).collect();
        self.forget(|swarm| !current.contains(&swarm.release()));
        let told = holdings(&swarm, true);
        self.swarms.insert(release, swarm);
        let peers: Vec<PeerId> = self.peers.devices_first().collect();
        peers.into_iter().for_each(|peer| self.send(peer, told.clone()));
    }

    fn chunk_arrived(
        &mut self,
        now: Time,
        from: PeerId,
        release: ManifestId,
        index: u32,
        bytes: u64,
        verdict: Verdict,
    ) {
        match verdict {
            Verdict::Unwanted => {
                if let Some(swarm) = self.swarms.get_mut(&release) {
                    swarm.unneeded(from, index, bytes, now);
                }
            }
            Verdict::WrongBytes => self.ban(from, format!("sent wrong bytes for chunk {index}")),
            Verdict::Stored => {
                let Some(swarm) = self.swarms.get_mut(&release) else { return };
                let asks = swarm.arrived(from, index, bytes, now);
                self.say(release, asks);
            }
        }
    }

    fn uploaded(&mut self, to: PeerId, release: ManifestId, index: u32, outcome: UploadOutcome) {
        self.uploads.done(to);
        if outcome != UploadOutcome::Spoilt {
            return;
        }
        let applied = self.update_mut(release).is_some_and(|update| matches!(update.stage, Stage::Applied));
        if let Some(swarm) = self.swarms.get_mut(&release) {
            swarm.spoilt(index, !applied);
        }
        if self.peers.role(to).is_some() {
            self.send(to, Message::Refuse(Chunks { release, indexes: vec![index] }));
        }
    }

    fn applied(&mut self, release: ManifestId) {
        if let Some(update) = self.update_mut(release) {
            update.stage = Stage::Applied;
            self.outputs.push_back(Output::Event(Event::Applied(release)));
        }
    }

    fn apply_failed(&mut self, now: Time, release: ManifestId, fault: ApplyFault) {
        match fault {
            ApplyFault::Failed(why) => self.blocked(now, release, why),
            ApplyFault::Damaged(indexes) => {
                if let Some(swarm) = self.swarms.get_mut(&release) {
                    indexes.iter().for_each(|index| swarm.spoilt(*index, true));
                }
                if let Some(update) = self.update_mut(release) {
                    update.stage = Stage::Filling;
                }
            }
        }
    }

    fn blocked(&mut self, now: Time, release: ManifestId, why: String) {
        if let Some(update) = self.update_mut(release) {
            update.block(why.clone(), now);
            self.outputs.push_back(Output::Event(Event::Blocked { release, why }));
        }
    }

    /// A person's word, or the node's own rule: what is complete is applied.
    fn apply_complete(&mut self) {
        for update in self.updates.values_mut().filter(|update| matches!(update.stage, Stage::Complete)) {
            update.stage = Stage::Applying;
            self.outputs.push_back(Output::Apply(update.listed.manifest));
        }
    }

    fn retry_blocked(&mut self, now: Time) {
        let due: Vec<(ManifestId, bool)> = self
            .updates
            .values()
            .filter_map(|update| match update.stage {
                Stage::Blocked { retry_at: Some(at), applying, .. } if at <= now => {
                    Some((update.listed.manifest, applying))
                }
                _ => None,
            })
            .collect();
        for (release, applying) in due {
            let Some(update) = self.update_mut(release) else { continue };
            if applying {
                update.stage = Stage::Complete;
            } else if let Some(content) = update.release.clone() {
                self.prepare(content);
            }
        }
    }

    fn forget(&mut self, unneeded: impl Fn(&Swarm) -> bool) {
        let releases: Vec<ManifestId> =
            self.swarms.values().filter(|swarm| unneeded(swarm)).map(Swarm::release).collect();
        for release in releases {
            self.swarms.remove(&release);
            self.uploads.forget(release);
            self.outputs.push_back(Output::Forget(release));
        }
    }

    fn update_mut(&mut self, release: ManifestId) -> Option<&mut Update> {
        self.updates.values_mut().find(|update| update.listed.manifest == release)
    }
}

/// What follows from the new state, whatever changed it.
impl Node {
    fn advance(&mut self, now: Time) {
        self.advance_metadata(now);
        self.advance_documents(now);
        self.retry_blocked(now);
        let releases: Vec<ManifestId> = self.swarms.keys().copied().collect();
        releases.into_iter().for_each(|release| self.advance_swarm(now, release));
        self.grant_uploads(now);
    }

    fn advance_metadata(&mut self, now: Time) {
        if let Some(request) = self.refresh.next(&self.trust, now) {
            let (role, version) = (request.role, request.version);
            match request.source {
                Source::Origin => self.outputs.push_back(Output::ReadMetadata { role, version }),
                Source::Peer(peer) => self.send(peer, Message::WantMetadata(WantMetadata { role, version })),
            }
        }
        let head = self.trust.head();
        let news = head != self.said_head;
        if news || self.updates.is_empty() {
            self.hear_of_releases();
        }
        if news || self.gossip_at <= now {
            let jitter = Span(self.rng.below(GOSSIP_EVERY.0 / 2));
            self.gossip_at = now + GOSSIP_EVERY + jitter;
            self.said_head.clone_from(&head);
            let peers: Vec<PeerId> = self.peers.devices_first().collect();
            peers.into_iter().for_each(|peer| self.send(peer, Message::Head(head)));
        }
    }

    fn advance_documents(&mut self, now: Time) {
        let mut wants = Vec::new();
        for update in self.updates.values_mut() {
            if let Stage::Fetching(fetch) = &mut update.stage {
                let mine = self.trust.head().map(|head| head.timestamp);
                let up_to_date = |peer: &PeerId| self.refresh.head_of(*peer).map(|head| head.timestamp) >= mine;
                wants.extend(fetch.ask(self.peers.devices_first().filter(up_to_date), now));
            }
        }
        wants.into_iter().for_each(|(peer, want)| self.send(peer, Message::WantDocument(want)));
    }

    fn advance_swarm(&mut self, now: Time, release: ManifestId) {
        let Some(swarm) = self.swarms.get_mut(&release) else { return };
        let asks = swarm.asks(now, &mut self.rng);
        let gained = swarm.announcement(now).map(|indexes| {
            let listeners: Vec<PeerId> = swarm.sources().map(|(peer, _)| peer).collect();
            (Message::Gained(Chunks { release, indexes }), listeners)
        });
        let complete = swarm.held().is_full();
        self.say(release, asks);
        if let Some((told, listeners)) = gained {
            listeners.into_iter().for_each(|peer| self.send(peer, told.clone()));
        }
        let applies = self.config.applies && !matches!(self.freshness(), Some(Freshness::Stale { .. }));
        let Some(update) = self.update_mut(release) else { return };
        if complete && matches!(update.stage, Stage::Filling) {
            update.stage = Stage::Complete;
            self.outputs.push_back(Output::Event(Event::Complete(release)));
        }
        if applies {
            self.apply_complete();
        }
    }

    fn say(&mut self, release: ManifestId, asks: Vec<(PeerId, Ask)>) {
        for (peer, ask) in asks {
            let message = match ask {
                Ask::Chunks(indexes) => Message::Want(Chunks { release, indexes }),
                Ask::Credit(chunks) => Message::Credit(Credit { release, chunks }),
                Ask::Cancel(indexes) => Message::Cancel(Chunks { release, indexes }),
            };
            self.send(peer, message);
        }
    }

    fn grant_uploads(&mut self, now: Time) {
        let Self { uploads, swarms, rng, outputs, .. } = self;
        let grants = uploads.grants(|peer, release| swarms.get_mut(&release)?.choose_for(peer, now, rng));
        outputs.extend(grants.into_iter().map(|grant| Output::Upload {
            to: grant.to,
            release: grant.release,
            index: grant.index,
        }));
    }
}

/// What a node holds of a release, as it tells a peer.
fn holdings(swarm: &Swarm, answer: bool) -> Message {
    let held = if swarm.held().is_full() { Vec::new() } else { swarm.held().to_bytes() };
    Message::Holdings(Holdings { release: swarm.release(), held: held.into(), answer })
}

/// An error with its causes, in one line.
fn explained(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
