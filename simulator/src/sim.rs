//! The engine: takes events from the queue, drives the hosts, and carries what they do to others over the network.

mod end;
mod world;

use crate::check::{Check, Rule};
use crate::disk::Disk;
use crate::fault::{Fault, Troubles};
use crate::host::{Behaviour, Effect, FRAME_PREFIX_BYTES, Host, Said, Scene, Task};
use crate::maxmin::LinkId;
use crate::network::{Network, Parcel, State};
use crate::outcome::{Outcome, Spread};
use crate::queue::Queue;
use crate::scenario::{HostId, Scenario};
use crate::trace::Trace;
use crate::traffic::Traffic;
use crate::workload::{Publisher, School};
use protocol::id::{ChunkId, ManifestId, PeerId};
use protocol::input::{Input, UploadOutcome};
use protocol::message::ChunkHeader;
use protocol::rng::Rng;
use protocol::time::{Span, Time};
use std::io;

/// A peer that went silent is noticed after this long; the transport's keep-alive does that on real machines.
const SILENCE_NOTICED_AFTER: Span = Span::from_secs(20);
/// Laptops are switched on within this span, in an order that the rng_seed decides.
const SWITCHED_ON_WITHIN: Span = Span::from_millis(100);
/// An adversary that was banned comes back after this long.
const NEW_NAME_AFTER: Span = Span::from_secs(5);

/// Something that will happen.
enum Event {
    /// The scenario says so.
    World(World),
    /// A host does something by itself, if it was not switched off in between.
    Task(HostId, u32, Task),
    /// A message has passed the receiver's downlink, unless others were before it.
    Arrives(Letter),
    /// It has passed behind others.
    Delivered(Letter),
    /// The parcel under way on an uplink has passed.
    Uplink(HostId, u32),
    /// A parcel has passed the receiver's downlink, unless others were before it.
    ParcelArrives(Box<Parcel>),
    /// It has passed behind others.
    ParcelDelivered(Box<Parcel>),
    /// Both ends notice that a connection is gone.
    Closes(PeerId),
    /// An adversary comes back under a new name.
    Returns(HostId),
    /// The first parcel of a flow should have passed, in the model `maxmin`.
    FlowEnds,
}

/// What a scenario does to the world; partitions, and what a publisher does, by their number in it.
#[derive(Clone, Copy, Debug)]
enum World {
    Publish(usize),
    Withdraw(usize),
    Assign(usize),
    Rotate(usize),
    SwitchOn(HostId),
    PowerCut(HostId),
    Cut(usize),
    Heal(usize),
}

/// A message on its way.
struct Letter {
    peer: PeerId,
    to: HostId,
    said: Said,
}

/// One run.
pub struct Sim<'a> {
    scenario: &'a Scenario,
    troubles: Troubles,
    rng_seed: u64,
    now: Time,
    queue: Queue<Event>,
    events: u64,
    /// World events still to come.
    world_left: usize,
    hosts: Vec<Host>,
    network: Network,
    /// When the next end of a flow is planned for.
    flow_ends_at: Option<Time>,
    publisher: Publisher,
    school: Option<School>,
    /// By position of the release, which chunks the honest laptops hold together.
    spreads: Vec<Spread>,
    trace: Trace<'a>,
    traffic: Traffic,
    check: Check,
    lost_bytes: u64,
    effects: Vec<Effect>,
    /// Whether somebody believes something new since last asked.
    news: bool,
}

impl<'a> Sim<'a> {
    /// The world of a scenario before anything happened. The trace's lines go to `text` if there is one.
    pub fn new(scenario: &'a Scenario, rng_seed: u64, text: Option<&'a mut dyn io::Write>) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&rng_seed.to_le_bytes());
        let publisher = Publisher::new(key, scenario.signers);
        let troubles = scenario.troubles(&key);
        // The seed serves from its repository, so its disk is never written.
        let disks = std::iter::once((1, Span::default()));
        let disks = disks.chain(scenario.each_laptop().map(|laptop| (laptop.disk_bytes_per_s, laptop.disk_sync)));
        let hosts = disks.zip(0..).map(|((bytes_per_s, sync), number)| {
            let (host, disk) = (HostId(number), Disk::new(bytes_per_s, sync));
            Host::new(host, troubles.behaviour(host), scenario.strategy.rules(), disk, key)
        });
        let hosts = hosts.collect();
        let mut sim = Self {
            scenario,
            rng_seed,
            now: Time::default(),
            queue: Queue::new(),
            events: 0,
            world_left: 0,
            hosts,
            network: Network::new(scenario, &troubles, &key),
            flow_ends_at: None,
            troubles,
            publisher,
            school: (!scenario.assignments.is_empty()).then(|| School::new(key)),
            spreads: Vec::new(),
            trace: Trace::new(text),
            traffic: Traffic::default(),
            check: Check::default(),
            lost_bytes: 0,
            effects: Vec::new(),
            news: false,
        };
        sim.plan_world(&key);
        sim
    }

    /// Runs until every honest host that lives has the newest release and nothing more will happen to the world, and
    /// for as long after that as the scenario says; or until time is up or a check found something.
    ///
    /// # Errors
    /// If the trace's text cannot be written.
    pub fn run(mut self) -> io::Result<Outcome> {
        let mut until = Time::default() + self.scenario.until;
        while let Some((at, event)) = self.queue.pop() {
            if at > until {
                // It may be a chunk that is still on its way.
                self.queue.push(at, event);
                self.now = until;
                break;
            }
            self.now = at;
            self.events += 1;
            let done = self.happen(event) | std::mem::take(&mut self.news);
            self.plan_flows();
            if done && !self.traffic.is_idle() && self.is_done() {
                self.traffic.begin_idle(self.now);
                until = self.now + self.scenario.idle;
            }
            if !self.check.violations().is_empty() || (self.traffic.is_idle() && self.now == until) {
                break;
            }
        }
        self.finish()
    }

    /// From now on hosts break this rule on purpose.
    #[cfg(test)]
    pub fn break_rule(&mut self, rule: Rule) {
        self.check.broken = Some(rule);
    }

    fn plan_world(&mut self, key: &[u8; 32]) {
        for (number, release) in self.scenario.releases.iter().enumerate() {
            self.plan(release.at, World::Publish(number));
        }
        for (number, withdrawal) in self.scenario.withdrawals.iter().enumerate() {
            self.plan(withdrawal.at, World::Withdraw(number));
        }
        for (number, assignment) in self.scenario.assignments.iter().enumerate() {
            self.plan(assignment.at, World::Assign(number));
        }
        for (number, rotation) in self.scenario.rotations.iter().enumerate() {
            self.plan(rotation.at, World::Rotate(number));
        }
        self.plan(Span::default(), World::SwitchOn(HostId::SEED));
        for laptop in (1..self.hosts.len()).map(HostId) {
            let joins = self.troubles.joins_at(laptop);
            let soon = Span(Rng::new(key, laptop.0 as u64, "switched on").below(SWITCHED_ON_WITHIN.0));
            self.plan(joins.unwrap_or(soon), World::SwitchOn(laptop));
        }
        for (host, fault) in self.troubles.clone().each() {
            if let Fault::Dies { at, returns, .. } = fault {
                self.plan(*at, World::PowerCut(host));
                if let Some(returns) = returns {
                    self.plan(*returns, World::SwitchOn(host));
                }
            }
        }
        for (number, partition) in self.scenario.partitions.iter().enumerate() {
            self.plan(partition.from, World::Cut(number));
            self.plan(partition.until, World::Heal(number));
        }
    }

    fn plan(&mut self, at: Span, world: World) {
        self.world_left += 1;
        self.queue.push(Time::default() + at, Event::World(world));
    }

    /// Returns whether the run may be done with it.
    fn happen(&mut self, event: Event) -> bool {
        match event {
            Event::World(world) => {
                self.world_left -= 1;
                self.change_world(world);
                if matches!(world, World::PowerCut(_) | World::Cut(_) | World::Heal(_)) {
                    self.check.conserved(self.now, &self.ledger(), self.on_the_way_bytes());
                }
                return true;
            }
            Event::Task(host, boot, task) => {
                if self.is_up(host, boot) {
                    let applied = matches!(task, Task::Applied(_));
                    self.with(host, |host, scene| host.perform(task, scene));
                    return applied;
                }
            }
            Event::Arrives(letter) => {
                if self.can_reach(letter.peer, letter.to) {
                    match self.control(LinkId::Down(letter.to), letter.said.wire_bytes) {
                        at if at > self.now => self.queue.push(at, Event::Delivered(letter)),
                        _ => self.hand_over(letter),
                    }
                }
            }
            Event::Delivered(letter) => {
                if self.can_reach(letter.peer, letter.to) {
                    self.hand_over(letter);
                }
            }
            Event::Uplink(host, boot) => self.uplink(host, boot),
            Event::ParcelArrives(parcel) => self.parcel_arrives(parcel),
            Event::ParcelDelivered(parcel) => self.deliver(parcel),
            Event::Closes(peer) => self.close(peer),
            Event::Returns(host) => self.connect_to_neighbours(host),
            Event::FlowEnds => self.flow_ends(),
        }
        false
    }

    /// Lets a host act, and carries out what concerns others.
    fn with(&mut self, host: HostId, act: impl FnOnce(&mut Host, &mut Scene)) {
        let Self { now, publisher, school, trace, check, effects, hosts, .. } = self;
        let mut scene = Scene { now: *now, publisher, school: school.as_ref(), trace, check, effects };
        act(&mut hosts[host.0], &mut scene);
        let mut effects = std::mem::take(&mut self.effects);
        effects.drain(..).for_each(|effect| self.carry_out(host, effect));
        self.effects = effects;
    }

    fn carry_out(&mut self, host: HostId, effect: Effect) {
        match effect {
            Effect::Later(at, task) => self.queue.push(at, Event::Task(host, self.hosts[host.0].boot, task)),
            Effect::Say(peer, said) => self.say(host, peer, self.network.other_end(host, peer), said),
            Effect::SayAll(peers, said) => {
                // Looked up together, the connections are waited for at once and not one after another.
                let to: Vec<HostId> = peers.iter().map(|peer| self.network.other_end(host, *peer)).collect();
                peers.into_iter().zip(to).for_each(|(peer, to)| self.say(host, peer, to, said.clone()));
            }
            Effect::Upload(peer, release, index, content) => self.upload(host, peer, release, index, content),
            Effect::Part(peer, banned) => {
                let other = self.network.other_end(host, peer);
                if matches!(self.hosts[other.0].behaviour, Behaviour::Attacks(_)) {
                    self.queue.push(self.now + NEW_NAME_AFTER, Event::Returns(other));
                } else if banned {
                    self.network.ban(host, other);
                }
                self.close(peer);
            }
            Effect::Durable(release, indexes) => {
                let honest = host != HostId::SEED && self.hosts[host.0].behaviour == Behaviour::Honest;
                if let Some(at) = self.publisher.position(release).filter(|_| honest) {
                    self.spreads[at].add(&indexes, self.now);
                }
            }
            Effect::Believes => self.news = true,
        }
    }

    fn is_up(&self, host: HostId, boot: u32) -> bool {
        self.hosts[host.0].is_up() && self.hosts[host.0].boot == boot
    }

    fn can_reach(&self, peer: PeerId, to: HostId) -> bool {
        self.network.state(peer) == State::Open && self.hosts[to.0].is_up()
    }
}

/// What is on its way.
impl Sim<'_> {
    fn say(&mut self, from: HostId, peer: PeerId, to: HostId, said: Said) {
        if self.network.state(peer) == State::Closed {
            return;
        }
        self.traffic.said(&said.message, said.wire_bytes, self.now);
        let passed = self.control(LinkId::Up(from), said.wire_bytes);
        let arrives = passed + self.network.latency(from, to);
        // Most find the downlink free, and need no event but their end.
        let at = arrives + self.network.carrying_down(to, said.wire_bytes);
        let at = self.network.in_order(peer, to, at);
        self.queue.push(at, Event::Arrives(Letter { peer, to, said }));
    }

    fn hand_over(&mut self, Letter { peer, to, said }: Letter) {
        let input = Input::Message { from: peer, message: said.message };
        self.with(to, |host, scene| host.drive(input, scene));
    }

    fn upload(&mut self, from: HostId, peer: PeerId, release: ManifestId, index: u32, content: ChunkId) {
        if self.network.state(peer) == State::Closed {
            return self.give(from, Input::Uploaded { to: peer, release, index, outcome: UploadOutcome::Lost });
        }
        let wire_bytes = self.wire_bytes(release, index);
        let to = self.network.other_end(from, peer);
        self.hosts[from.0].record.ledger.sent_bytes += wire_bytes;
        let parcel = Box::new(Parcel { peer, from, to, release, index, content, wire_bytes });
        if let Some(flows) = self.network.flows() {
            return flows.push(parcel, self.now);
        }
        if let Some(at) = self.network.port(from).up.push(parcel, wire_bytes, self.now) {
            self.queue.push(at, Event::Uplink(from, self.hosts[from.0].boot));
        }
    }

    /// What a chunk costs: its header and, since it is random, its plain bytes.
    fn wire_bytes(&self, release: ManifestId, index: u32) -> u64 {
        if self.check.is_broken(Rule::Bounded) {
            return 1;
        }
        let published = self.publisher.position(release).and_then(|at| self.publisher.published().get(at));
        let bytes = published.map_or(0, |published| published.release.chunks()[index as usize].bytes);
        let encoding = protocol::content::encoding::Encoding::Raw;
        let header = ChunkHeader { release, index, encoding, wire_bytes: bytes };
        FRAME_PREFIX_BYTES + header.encode().len() as u64 + u64::from(bytes)
    }

    fn uplink(&mut self, from: HostId, boot: u32) {
        if !self.is_up(from, boot) {
            return;
        }
        let (parcel, next) = self.network.port(from).up.passed(self.now);
        if let Some(at) = next {
            self.queue.push(at, Event::Uplink(from, boot));
        }
        self.left(parcel);
    }

    /// A parcel has left its sender.
    fn left(&mut self, parcel: Box<Parcel>) {
        let from = parcel.from;
        self.traffic.chunk(parcel.wire_bytes, self.now);
        let state = self.network.state(parcel.peer);
        let outcome = if state == State::Closed {
            UploadOutcome::Lost
        } else {
            UploadOutcome::Sent { wire_bytes: parcel.wire_bytes }
        };
        self.with(from, |host, scene| host.uploaded(&parcel, outcome, scene));
        if state == State::Open {
            let arrives = self.now + self.network.latency(from, parcel.to);
            // A flow has passed the receiver's downlink as well.
            let passing = match self.network.flows() {
                Some(_) => Span::default(),
                None => self.network.carrying_down(parcel.to, parcel.wire_bytes),
            };
            self.queue.push(arrives + passing, Event::ParcelArrives(parcel));
        } else {
            self.lost_bytes += parcel.wire_bytes;
        }
    }

    /// Carries a control message over an uplink from now on, or through a downlink that it has passed by now unless
    /// others were before it. Returns when it has passed.
    fn control(&mut self, link: LinkId, wire_bytes: u64) -> Time {
        if let Some(flows) = self.network.flows() {
            flows.take(link, wire_bytes, self.now);
        }
        match link {
            LinkId::Up(host) => self.network.port(host).up.control(wire_bytes, self.now),
            LinkId::Down(host) => self.network.port(host).down.control(wire_bytes, self.now),
        }
    }

    fn flow_ends(&mut self) {
        if self.flow_ends_at != Some(self.now) {
            return; // Planned before an earlier end was.
        }
        self.flow_ends_at = None;
        while let Some(parcel) = self.network.flows().and_then(|flows| flows.passed(self.now)) {
            self.left(parcel);
        }
    }

    /// Sees to it that the next end of a flow is not missed.
    fn plan_flows(&mut self) {
        let Some(at) = self.network.flows().and_then(|flows| flows.next_end(self.now)) else { return };
        if self.flow_ends_at.is_none_or(|planned| at < planned) {
            self.flow_ends_at = Some(at);
            self.queue.push(at, Event::FlowEnds);
        }
    }

    fn parcel_arrives(&mut self, parcel: Box<Parcel>) {
        if !self.can_reach(parcel.peer, parcel.to) || self.network.flows().is_some() {
            return self.deliver(parcel);
        }
        match self.network.port(parcel.to).down.parcel(parcel.wire_bytes, self.now) {
            at if at > self.now => self.queue.push(at, Event::ParcelDelivered(parcel)),
            _ => self.deliver(parcel),
        }
    }

    fn deliver(&mut self, parcel: Box<Parcel>) {
        if self.can_reach(parcel.peer, parcel.to) {
            self.with(parcel.to, |host, scene| host.receive(parcel, scene));
        } else {
            self.lost_bytes += parcel.wire_bytes;
        }
    }
}
