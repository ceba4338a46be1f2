//! A host: a node, and what its driver keeps for it. It hands inputs to the node and carries out what
//! the node asks for, as the driver on a real machine does; what concerns others it returns as effects.

mod belief;
mod places;
mod speech;

pub use speech::Behaviour;

use crate::adversary::Adversary;
use crate::check::{Believed, Check, Ledger, Rule};
use crate::disk::Disk;
use crate::network::Parcel;
use crate::scenario::HostId;
use crate::trace::Trace;
use crate::workload::{CHANNEL, Publisher, School, wall_clock};
use places::{Place, Places};
use protocol::bitmap::Bitmap;
use protocol::content::release::Release;
use protocol::id::{ChunkId, DocumentId, ManifestId, PeerId, Signer};
use protocol::input::{DocumentFault, Input, UploadOutcome, Verdict};
use protocol::mesh::{Caps, Role, Strategy};
use protocol::message::Message;
use protocol::node::{Config, Node};
use protocol::output::{Event, Output};
use protocol::policy::Policy;
use protocol::rng::Rng;
use protocol::time::{Span, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What reading or checking a small file takes.
const SMALL_READ: Span = Span::from_millis(1);
/// Before a frame stands its length.
pub const FRAME_PREFIX_BYTES: u64 = 4;
/// Chunks read ahead of the uplink: one under way, and some behind it so that it never idles.
const UPLOAD_SLOTS: usize = 4;

/// What a node saved of a signer, by name.
type TrustFiles = Vec<(String, Arc<[u8]>)>;

/// A simulated device.
pub struct Host {
    /// Who it is.
    pub id: HostId,
    /// How it treats others.
    pub behaviour: Behaviour,
    /// How often it was switched on.
    pub boot: u32,
    /// What it went through.
    pub record: Record,
    strategy: Strategy,
    rng_seed: [u8; 32],
    node: Option<Node>,
    /// What runs instead of a node.
    adversary: Option<Box<Adversary>>,
    /// What it believed before.
    believed: Believed,
    wake_at: Option<Time>,
    disk: Disk<(ManifestId, u32)>,
    /// What the node saved of each signer; before that it has the root that a person gave it.
    trust_files: BTreeMap<Signer, TrustFiles>,
    floor: u64,
    /// The highest counter that it applied while the publisher listed it.
    applied_counter: u64,
    /// Those that it has verified: two for each release.
    documents: Vec<DocumentId>,
    places: Places,
    applied: Option<usize>,
}

/// What a host went through, for the report. Bytes as they crossed the wire, unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// By position of the release, when it was applied.
    pub applied: BTreeMap<usize, Time>,
    /// By position of the release, plain bytes missing when its place was first made.
    pub missing_bytes: BTreeMap<usize, u64>,
    /// Plain bytes taken from what lay there.
    pub reused_bytes: u64,
    /// Chunks from the seed.
    pub from_seed_bytes: u64,
    /// Chunks from laptops.
    pub from_laptops_bytes: u64,
    /// What became of all chunks that it sent or was sent.
    pub ledger: Ledger,
}

/// Something that a host does by itself, later.
pub enum Task {
    /// The node wanted to be woken.
    Wake,
    /// The driver, or the network, has something for the node.
    Input(Box<Input>),
    /// A chunk was written.
    Written(Box<Parcel>),
    /// A sync of the disk has ended.
    Synced,
    /// A place was made for a release.
    Prepared(Box<(Arc<Release>, Bitmap)>),
    /// A release was laid out and switched to.
    Applied(Box<ManifestId>),
}

/// What a host does that concerns others.
pub enum Effect {
    /// Come back with this.
    Later(Time, Task),
    /// A message leaves.
    Say(PeerId, Said),
    /// The same message leaves for several.
    SayAll(Vec<PeerId>, Said),
    /// A chunk leaves.
    Upload(PeerId, ManifestId, u32, ChunkId),
    /// The connection is closed; for good if the peer is banned.
    Part(PeerId, bool),
    /// These chunks of a release survive from now on.
    Durable(ManifestId, Vec<u32>),
    /// It believes something new.
    Believes,
}

/// A message as it is said, perhaps to many.
#[derive(Clone)]
pub struct Said {
    /// What.
    pub message: Arc<Message>,
    /// The message in its frame.
    pub wire_bytes: u64,
}

impl Said {
    fn new(message: Message) -> Self {
        Self { wire_bytes: FRAME_PREFIX_BYTES + message.encoded_bytes(), message: Arc::new(message) }
    }
}

/// What a host sees of the world while it acts.
pub struct Scene<'a, 'b> {
    /// The time.
    pub now: Time,
    /// The static repository, which only the seed reads, and the truth to compare with.
    pub publisher: &'a Publisher,
    /// The school, and its repository, if there is one.
    pub school: Option<&'a School>,
    /// Where its inputs and outputs are written down.
    pub trace: &'a mut Trace<'b>,
    /// What must hold.
    pub check: &'a mut Check,
    /// What it does that concerns others.
    pub effects: &'a mut Vec<Effect>,
}

impl Host {
    /// A host that was never switched on.
    pub fn new(
        id: HostId,
        behaviour: Behaviour,
        strategy: Strategy,
        disk: Disk<(ManifestId, u32)>,
        rng_seed: [u8; 32],
    ) -> Self {
        Self {
            id,
            behaviour,
            boot: 0,
            record: Record::default(),
            strategy,
            rng_seed,
            node: None,
            adversary: None,
            believed: Believed::default(),
            wake_at: None,
            disk,
            trust_files: BTreeMap::new(),
            floor: 0,
            applied_counter: 0,
            documents: Vec::new(),
            places: Places::default(),
            applied: None,
        }
    }

    /// Whether it is switched on.
    pub fn is_up(&self) -> bool {
        self.node.is_some() || self.adversary.is_some()
    }

    /// The position of the release that it has applied.
    pub fn applied(&self) -> Option<usize> {
        self.applied
    }

    /// What it holds durably of a release.
    pub fn held(&self, release: ManifestId) -> Option<&Bitmap> {
        self.places.get(release).map(|place| &place.durable)
    }

    /// Where the newest release stands that it has heard of.
    pub fn stage(&self) -> Option<&'static str> {
        self.node.as_ref()?.updates().next().map(protocol::update::Update::stage_name)
    }

    /// The power is switched on: the node starts from what is durable.
    pub fn switch_on(&mut self, scene: &mut Scene) {
        self.boot += 1;
        if let Behaviour::Attacks(attack) = self.behaviour {
            let rng = Rng::new(&self.rng_seed, self.id.0 as u64, "adversary");
            self.adversary = Some(Box::new(Adversary::new(attack, scene.publisher, rng, scene.now)));
            return self.plan_wake(scene.now, scene.effects);
        }
        let is_seed = self.id == HostId::SEED;
        let config = Config {
            role: if is_seed { Role::Seed } else { Role::Device },
            policy: (!is_seed).then(|| Policy::new(CHANNEL.parse().expect("the workload's channel is a lawful name"))),
            applied: self.applied.map(|position| scene.publisher.version(position)),
            floor: self.floor,
            applies: !is_seed,
            has_origin: is_seed,
            strategy: self.strategy,
            upload_slots: UPLOAD_SLOTS,
            caps: Caps::default(),
        };
        let chains = self.restored(scene);
        let mut rng = Rng::new(&self.rng_seed, self.id.0 as u64, "node");
        let mut rng_seed = [0; 32];
        rng_seed[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
        rng_seed[8..12].copy_from_slice(&self.boot.to_le_bytes());
        self.node = Some(Node::restore(config, chains, rng_seed));
        self.check_belief(true, scene);
        self.drive(Input::WallClock(wall_clock(scene.now)), scene);
    }

    /// The power fails: what was not durable is gone.
    pub fn power_cut(&mut self) {
        (self.node, self.adversary) = (None, None);
        self.wake_at = None;
        self.disk.power_cut();
        self.places.iter_mut().for_each(|place| place.landing.clear());
    }

    /// The moment of a task has come.
    pub fn perform(&mut self, task: Task, scene: &mut Scene) {
        match task {
            Task::Wake => self.wake(scene),
            Task::Input(input) => self.drive(*input, scene),
            Task::Written(parcel) => self.written(&parcel, scene),
            Task::Synced => self.synced(scene),
            Task::Prepared(place) => self.prepared(place.0, place.1, scene),
            Task::Applied(release) => self.has_applied(*release, scene),
        }
    }

    /// A chunk has arrived whole.
    pub fn receive(&mut self, parcel: Box<Parcel>, scene: &mut Scene) {
        let Some(node) = &self.node else {
            // An adversary has no use for it.
            return self.record.ledger.duplicate_bytes += parcel.wire_bytes;
        };
        let Parcel { peer, release, index, content, wire_bytes, .. } = *parcel;
        let arrived = |verdict| Input::ChunkArrived { from: peer, release, index, wire_bytes, verdict };
        let place = self.places.get_mut(release).filter(|_| node.expects(peer, release, index));
        let Some(place) = place else {
            self.record.ledger.duplicate_bytes += wire_bytes;
            return self.drive(arrived(Verdict::Unwanted), scene);
        };
        let chunk = place.release.chunks()[index as usize];
        if chunk.id != content && !scene.check.is_broken(Rule::Stored) {
            self.record.ledger.wrong_bytes += wire_bytes;
            return self.drive(arrived(Verdict::WrongBytes), scene);
        }
        if !place.lands(index) {
            // Two peers sent it at once, and the first is still being written.
            self.record.ledger.duplicate_bytes += wire_bytes;
            return self.drive(arrived(Verdict::Stored), scene);
        }
        if !scene.check.is_broken(Rule::Conserved) {
            self.record.ledger.received_bytes += wire_bytes;
        }
        match parcel.from {
            HostId::SEED => self.record.from_seed_bytes += wire_bytes,
            _ => self.record.from_laptops_bytes += wire_bytes,
        }
        let written_at = self.disk.write(u64::from(chunk.bytes), scene.now);
        scene.effects.push(Effect::Later(written_at, Task::Written(parcel)));
    }

    /// Hands an input to the node and carries out all that it asks for.
    pub fn drive(&mut self, input: Input, scene: &mut Scene) {
        if self.adversary.is_some() {
            return self.drive_adversary(&input, scene);
        }
        let Some(node) = &mut self.node else { return };
        if belief::is_overheard(self.id, &input, node, scene.check) {
            return;
        }
        scene.trace.input(scene.now, self.id, &input);
        // Tests look each time, and so at the predicate too.
        let may_learn = cfg!(debug_assertions) || !input.moves_only_chunks();
        node.handle(scene.now, input);
        while let Some(output) = self.node.as_mut().and_then(Node::poll_output) {
            scene.trace.output(scene.now, self.id, &output);
            self.carry_out(output, scene);
        }
        if may_learn {
            self.check_belief(false, scene);
        }
        self.plan_wake(scene.now, scene.effects);
    }

    fn wake(&mut self, scene: &mut Scene) {
        if self.wake_at != Some(scene.now) {
            return; // Planned before the node named an earlier moment.
        }
        self.wake_at = None;
        if self.next_wakeup().is_none_or(|at| at > scene.now) {
            return self.plan_wake(scene.now, scene.effects);
        }
        if !scene.check.is_broken(Rule::Woken) {
            self.drive(Input::Wakeup, scene);
        }
        scene.check.woken(scene.now, self.id, self.next_wakeup());
    }

    fn next_wakeup(&self) -> Option<Time> {
        match &self.adversary {
            Some(adversary) => Some(adversary.next_wakeup()),
            None => self.node.as_ref().and_then(Node::next_wakeup),
        }
    }

    fn plan_wake(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(at) = self.next_wakeup() else { return };
        let at = at.max(now + Span(1));
        if self.wake_at.is_none_or(|planned| at < planned) {
            self.wake_at = Some(at);
            effects.push(Effect::Later(at, Task::Wake));
        }
    }

    fn carry_out(&mut self, output: Output, scene: &mut Scene) {
        let soon = scene.now + SMALL_READ;
        let mut answer = |at, input| scene.effects.push(Effect::Later(at, Task::Input(Box::new(input))));
        match output {
            Output::Send { to, message } => self.say(message, |said| Effect::Say(to, said), scene),
            Output::SendAll { to, message } => self.say(message, |said| Effect::SayAll(to, said), scene),
            Output::Upload { to, release, index } => self.upload(to, release, index, scene),
            Output::SendDocument { to, want } => {
                let message = self.slice(&want, scene.publisher);
                scene.effects.push(Effect::Say(to, Said::new(message)));
            }
            Output::Disconnect(peer) => scene.effects.push(Effect::Part(peer, false)),
            Output::Ban(peer) => scene.effects.push(Effect::Part(peer, true)),
            Output::ReadMetadata { signer, role, version } => {
                let bytes = match signer {
                    Signer::Publisher => scene.publisher.metadata(&role, version),
                    Signer::School => scene.school.and_then(|school| school.metadata(&role, version)),
                };
                let bytes = bytes.map(|bytes| bytes.to_vec());
                answer(soon, Input::OriginMetadata { signer, role, bytes });
            }
            Output::ReadDocument(document) => {
                let found = scene.publisher.document(&document.id()).filter(|_| self.has(&document.id()));
                let found = found.map(|(_, verified)| verified.clone());
                answer(soon, Input::DocumentRead(document, found));
            }
            Output::VerifyDocument { document, bytes, .. } => {
                let verdict = match scene.publisher.document(&document.id()) {
                    Some((genuine, verified)) if genuine[..] == bytes[..] => Ok(verified.clone()),
                    _ => Err(DocumentFault::WrongBytes),
                };
                if verdict.is_ok() && !self.documents.contains(&document.id()) {
                    self.documents.push(document.id());
                }
                answer(soon, Input::DocumentVerified(document, verdict));
            }
            Output::SaveTrust { signer, files } => {
                self.trust_files.insert(signer, files);
                self.check_belief(true, scene);
                scene.effects.push(Effect::Believes);
            }
            Output::RaiseFloor(floor) => self.floor = floor,
            Output::StateTime { to, nonce } => self.state_time(to, &nonce, scene),
            Output::Prepare(release) => self.prepare(release, scene),
            Output::Apply(release) => {
                self.check_taken(release, scene);
                let at = scene.now + self.disk.sync();
                scene.effects.push(Effect::Later(at, Task::Applied(Box::new(release))));
            }
            Output::Forget(release) => {
                if let Some(place) = self.places.get_mut(release) {
                    place.forgotten = true;
                }
            }
            Output::Event(Event::Complete(release)) => self.check_taken(release, scene),
            Output::Event(Event::Equivocation { version, .. }) => scene.check.accused(scene.now, self.id, version),
            Output::Event(Event::Heard { .. }) if scene.check.is_broken(Rule::Accused) => {
                scene.check.accused(scene.now, self.id, 1);
            }
            Output::Event(_) => {}
        }
    }

    /// The static repository holds every document; a laptop holds those that it has verified.
    fn has(&self, document: &DocumentId) -> bool {
        self.id == HostId::SEED || self.documents.contains(document)
    }

    /// The repository holds the whole release; a laptop starts with what it has of it, and what it can
    /// copy from other releases that lie here.
    fn prepare(&mut self, release: Arc<Release>, scene: &mut Scene) {
        if self.id == HostId::SEED {
            let held = Bitmap::full(release.chunk_count());
            let prepared = Task::Prepared(Box::new((release, held)));
            return scene.effects.push(Effect::Later(scene.now + SMALL_READ, prepared));
        }
        let mut held = Bitmap::new(release.chunk_count());
        let mut copied_bytes = 0;
        let here = self.places.get(release.id()).map(|place| &place.durable);
        let others: Vec<&Place> = self.places.iter().filter(|place| place.release.id() != release.id()).collect();
        for (chunk, index) in release.chunks().iter().zip(0..) {
            let durable =
                |place: &&Place| place.release.index_of(&chunk.id).is_some_and(|index| place.durable.contains(index));
            if here.is_some_and(|here| here.contains(index)) {
                held.insert(index);
            } else if others.iter().any(durable) {
                held.insert(index);
                copied_bytes += u64::from(chunk.bytes);
            }
        }
        self.record.reused_bytes += copied_bytes;
        let at = self.disk.write(copied_bytes, scene.now) + self.disk.sync();
        scene.effects.push(Effect::Later(at, Task::Prepared(Box::new((release, held)))));
    }

    fn prepared(&mut self, release: Arc<Release>, held: Bitmap, scene: &mut Scene) {
        let id = release.id();
        let position = scene.publisher.position(id);
        let applied = self.id == HostId::SEED || (position.is_some() && self.applied == position);
        let missing = release.chunks().iter().zip(0..).filter(|(_, index)| !held.contains(*index));
        let missing_bytes = missing.map(|(chunk, _)| u64::from(chunk.bytes)).sum();
        if let Some(position) = position {
            self.record.missing_bytes.entry(position).or_insert(missing_bytes);
        }
        let applied_release = self.applied.and_then(|at| scene.publisher.published().get(at)).map(|at| at.release.id());
        let place = Place { release, durable: held.clone(), landing: Vec::new(), forgotten: false };
        self.places.insert(place, applied_release);
        scene.effects.push(Effect::Durable(id, held.iter().collect()));
        self.drive(Input::Prepared { release: id, held, applied }, scene);
        if scene.check.is_broken(Rule::Applied) {
            scene.effects.push(Effect::Later(scene.now, Task::Applied(Box::new(id))));
        }
    }

    fn written(&mut self, parcel: &Parcel, scene: &mut Scene) {
        let Parcel { peer, release, index, content, wire_bytes, .. } = *parcel;
        let published = scene.publisher.position(release).and_then(|at| scene.publisher.published().get(at));
        let published = published.map(|published| published.release.chunks()[index as usize].id);
        scene.check.stored(scene.now, self.id, published, content);
        if let Some(at) = self.disk.written((release, index), scene.now) {
            scene.effects.push(Effect::Later(at, Task::Synced));
        }
        self.drive(Input::ChunkArrived { from: peer, release, index, wire_bytes, verdict: Verdict::Stored }, scene);
        if self.behaviour == Behaviour::Honest && scene.check.is_broken(Rule::Announced) {
            self.drive(Input::Durable { release, indexes: vec![index] }, scene);
        }
    }

    fn synced(&mut self, scene: &mut Scene) {
        let (durable, next) = self.disk.synced(scene.now);
        if let Some(at) = next {
            scene.effects.push(Effect::Later(at, Task::Synced));
        }
        let mut by_release: Vec<(ManifestId, Vec<u32>)> = Vec::new();
        for (release, index) in durable {
            let Some(place) = self.places.get_mut(release) else { continue };
            place.landed(index);
            match by_release.iter_mut().find(|(of, _)| *of == release) {
                Some((_, indexes)) => indexes.push(index),
                None => by_release.push((release, vec![index])),
            }
        }
        by_release.sort_unstable();
        for (release, indexes) in by_release {
            scene.effects.push(Effect::Durable(release, indexes.clone()));
            self.drive(Input::Durable { release, indexes }, scene);
        }
    }

    /// A granted upload has ended.
    pub fn uploaded(&mut self, parcel: &Parcel, outcome: UploadOutcome, scene: &mut Scene) {
        let Parcel { peer, release, index, .. } = *parcel;
        self.drive(Input::Uploaded { to: peer, release, index, outcome }, scene);
    }
}
