//! Who can reach whom: the hosts' ports, the graph of peers, the connections that stand, bans and partitions.

use crate::fault::Troubles;
use crate::host::Behaviour;
use crate::link::{Downlink, Uplink, carrying};
use crate::maxmin::Flows;
use crate::scenario::{Access, HostId, Model, Scenario};
use protocol::id::{ChunkId, ManifestId, PeerId};
use protocol::limits::PEERS_MAX;
use protocol::rng::Rng;
use protocol::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A chunk on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// On which connection.
    pub peer: PeerId,
    /// Who sends it.
    pub from: HostId,
    /// Who receives it.
    pub to: HostId,
    /// Of which release.
    pub release: ManifestId,
    /// Its index in the chunk list, as its header says.
    pub index: u32,
    /// What its bytes are, told by their hash: a liar's are not those of the index.
    pub content: ChunkId,
    /// Header and payload.
    pub wire_bytes: u64,
}

/// A host's access to the network.
pub struct Port {
    /// From the host.
    pub up: Uplink<Box<Parcel>>,
    /// To the host.
    pub down: Downlink,
}

/// What never changes of a host's access and every message to it asks for: apart from the ports, so that it stays in a
/// processor's cache.
struct Reach {
    down_bits_per_s: u64,
    /// From the host to the middle of the network.
    latency: Span,
}

/// A connection between two hosts. Both ends call it by the same number, which is never used again.
#[derive(Clone, Copy, Debug)]
struct Connection {
    ends: (HostId, HostId),
    /// When the last message to either end arrives.
    last_at: (Time, Time),
}

/// How far a connection can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// What is sent arrives.
    Open,
    /// What is sent is lost, and nobody has noticed yet.
    Silent,
    /// Both ends know that it is gone.
    Closed,
}

/// The network between the hosts.
pub struct Network {
    ports: Vec<Port>,
    reaches: Vec<Reach>,
    flows: Option<Flows>,
    peers: Vec<Vec<HostId>>,
    connections: Vec<Connection>,
    /// By connection; apart for the same reason.
    states: Vec<State>,
    /// By pair, the lower host first, the newest connection.
    newest: BTreeMap<(HostId, HostId), PeerId>,
    banned: BTreeSet<(HostId, HostId)>,
    /// By number of the partition, whom it cuts off while it lasts.
    cuts: BTreeMap<usize, BTreeSet<HostId>>,
}

impl Network {
    /// The network of a scenario: no connection stands. In the model `maxmin` the ports carry control messages only.
    pub fn new(scenario: &Scenario, troubles: &Troubles, rng_seed: &[u8; 32]) -> Self {
        let Access { up_bits_per_s, down_bits_per_s, latency } = scenario.seed;
        let seed = std::iter::once((up_bits_per_s, down_bits_per_s, latency));
        let laptops = scenario.each_laptop().map(|it| (it.up_bits_per_s, it.down_bits_per_s, it.latency));
        let slowed = |(number, (up, down, latency))| (troubles.up_bits_per_s(HostId(number), up), down, latency);
        let access: Vec<(u64, u64, Span)> = seed.chain(laptops).enumerate().map(slowed).collect();
        let port = |(up, down, _): &(u64, u64, Span)| Port { up: Uplink::new(*up), down: Downlink::new(*down) };
        let reach = |(_, down, latency): &(u64, u64, Span)| Reach { down_bits_per_s: *down, latency: *latency };
        let flows = || Flows::new(access.iter().map(|(up, down, _)| (*up, *down)));
        Self {
            ports: access.iter().map(port).collect(),
            reaches: access.iter().map(reach).collect(),
            flows: (scenario.model == Model::MaxMin).then(flows),
            peers: acquainted(scenario.laptop_count(), troubles, rng_seed),
            connections: Vec::new(),
            states: Vec::new(),
            newest: BTreeMap::new(),
            banned: BTreeSet::new(),
            cuts: BTreeMap::new(),
        }
    }

    /// A host's port.
    pub fn port(&mut self, host: HostId) -> &mut Port {
        &mut self.ports[host.0]
    }

    /// The bulk data under way, if the model has it in flows.
    pub fn flows(&mut self) -> Option<&mut Flows> {
        self.flows.as_mut()
    }

    /// Parcels on uplinks and in flows, for counting.
    pub fn parcels(&self) -> impl Iterator<Item = &Parcel> {
        let on_uplinks = self.ports.iter().flat_map(|port| port.up.parcels());
        on_uplinks.map(Box::as_ref).chain(self.flows.iter().flat_map(Flows::parcels))
    }

    /// Whom a host knows of.
    pub fn peers(&self, host: HostId) -> &[HostId] {
        &self.peers[host.0]
    }

    /// How long a packet takes between two hosts.
    pub fn latency(&self, from: HostId, to: HostId) -> Span {
        Span(self.reaches[from.0].latency.0 + self.reaches[to.0].latency.0)
    }

    /// How long a host's downlink is busy with so many bytes.
    pub fn carrying_down(&self, to: HostId, bytes: u64) -> Span {
        carrying(bytes, self.reaches[to.0].down_bits_per_s)
    }

    /// The other end of a host's connection.
    pub fn other_end(&self, host: HostId, peer: PeerId) -> HostId {
        let (low, high) = self.connection(peer).ends;
        if low == host { high } else { low }
    }

    /// When a message on a connection arrives that would at `at`, but for those said before it.
    pub fn in_order(&mut self, peer: PeerId, to: HostId, at: Time) -> Time {
        let connection = self.connection_mut(peer);
        let (low, high) = &mut connection.last_at;
        let last_at = if connection.ends.0 == to { low } else { high };
        *last_at = at.max(*last_at);
        *last_at
    }

    /// Both ends of a connection.
    pub fn ends(&self, peer: PeerId) -> [HostId; 2] {
        let (low, high) = self.connection(peer).ends;
        [low, high]
    }

    /// How far a connection can be used.
    pub fn state(&self, peer: PeerId) -> State {
        self.states[at(peer)]
    }

    /// Whether two hosts may speak at all: neither banned the other, and no partition stands between.
    pub fn may_connect(&self, a: HostId, b: HostId) -> bool {
        !self.banned.contains(&pair(a, b)) && self.cuts.values().all(|cut| cut.contains(&a) == cut.contains(&b))
    }

    /// The newest connection of two hosts, unless it is closed.
    pub fn between(&self, a: HostId, b: HostId) -> Option<PeerId> {
        self.newest.get(&pair(a, b)).copied().filter(|peer| self.state(*peer) != State::Closed)
    }

    /// A new connection.
    pub fn connect(&mut self, a: HostId, b: HostId) -> PeerId {
        let peer = PeerId(self.connections.len() as u64);
        self.connections.push(Connection { ends: pair(a, b), last_at: Default::default() });
        self.states.push(State::Open);
        self.newest.insert(pair(a, b), peer);
        peer
    }

    /// A connection goes from one state to the next. Returns false if it was there already.
    pub fn change(&mut self, peer: PeerId, state: State) -> bool {
        std::mem::replace(&mut self.states[at(peer)], state) != state
    }

    /// Two hosts never speak again.
    pub fn ban(&mut self, a: HostId, b: HostId) {
        self.banned.insert(pair(a, b));
    }

    /// A partition begins.
    pub fn cut(&mut self, number: usize, hosts: &[HostId]) {
        self.cuts.insert(number, hosts.iter().copied().collect());
    }

    /// A partition ends.
    pub fn heal(&mut self, number: usize) {
        self.cuts.remove(&number);
    }

    /// The open connections that `cut_off` speaks of.
    pub fn open_where(&self, cut_off: impl Fn(HostId, HostId) -> bool) -> Vec<PeerId> {
        let open = |peer: &PeerId| self.state(*peer) == State::Open;
        self.newest.iter().filter(|((a, b), _)| cut_off(*a, *b)).map(|(_, peer)| *peer).filter(open).collect()
    }

    fn connection(&self, peer: PeerId) -> &Connection {
        &self.connections[at(peer)]
    }

    fn connection_mut(&mut self, peer: PeerId) -> &mut Connection {
        &mut self.connections[at(peer)]
    }
}

/// The place of a connection in a list of all.
fn at(peer: PeerId) -> usize {
    usize::try_from(peer.0).expect("connections fit in memory")
}

fn pair(a: HostId, b: HostId) -> (HostId, HostId) {
    (a.min(b), a.max(b))
}

/// Who knows whom: as [`peers`] says, but that adversaries have nothing to say to each other, and that who is eclipsed
/// knows all of them and one honest laptop.
fn acquainted(laptops: usize, troubles: &Troubles, rng_seed: &[u8; 32]) -> Vec<Vec<HostId>> {
    let mut peers = peers(laptops, rng_seed);
    let attacks = |host: HostId| matches!(troubles.behaviour(host), Behaviour::Attacks(_));
    let hosts: Vec<HostId> = (0..=laptops).map(HostId).collect();
    let adversaries: Vec<HostId> = hosts.iter().copied().filter(|host| attacks(*host)).collect();
    for host in &adversaries {
        peers[host.0].retain(|peer| !attacks(*peer));
    }
    for eclipsed in hosts.iter().copied().filter(|host| troubles.is_eclipsed(*host)) {
        let is_friend = |host: &HostId| *host != HostId::SEED && !attacks(*host) && !troubles.is_eclipsed(*host);
        let friends: Vec<HostId> = hosts.iter().copied().filter(is_friend).collect();
        let mut rng = Rng::new(rng_seed, eclipsed.0 as u64, "who is not hostile");
        let drawn = usize::try_from(rng.below(friends.len() as u64)).unwrap_or(0);
        let known = || adversaries.iter().chain(friends.get(drawn)).copied();
        peers.iter_mut().for_each(|peers| peers.retain(|peer| *peer != eclipsed));
        known().for_each(|peer| peers[peer.0].push(eclipsed));
        peers[eclipsed.0] = known().collect();
    }
    peers
}

/// Every laptop knows the seed. Up to the bound on peers all laptops know each other; beyond it each
/// knows about that many at random, which keeps the graph connected.
fn peers(laptops: usize, rng_seed: &[u8; 32]) -> Vec<Vec<HostId>> {
    let mut linked: Vec<BTreeSet<HostId>> = vec![BTreeSet::new(); laptops + 1];
    let mut link = |a: usize, b: usize| {
        let full = |host: usize| host != HostId::SEED.0 && linked[host].len() > PEERS_MAX;
        if a != b && !full(a) && !full(b) {
            linked[a].insert(HostId(b));
            linked[b].insert(HostId(a));
        }
    };
    (1..=laptops).for_each(|laptop| link(laptop, 0));
    for laptop in 1..=laptops {
        if laptops <= PEERS_MAX + 1 {
            (1..laptop).for_each(|other| link(laptop, other));
        } else {
            let mut rng = Rng::new(rng_seed, laptop as u64, "peers");
            (0..4 * PEERS_MAX).for_each(|_| {
                let other = 1 + usize::try_from(rng.below(laptops as u64)).unwrap_or(0);
                link(laptop, other);
            });
        }
    }
    let mut rng = Rng::new(rng_seed, 0, "order of peers");
    let shuffled = |linked: BTreeSet<HostId>| {
        let mut hosts: Vec<(u64, HostId)> = linked.into_iter().map(|host| (rng.next_u64(), host)).collect();
        hosts.sort_unstable();
        hosts.into_iter().map(|(_, host)| host).collect()
    };
    linked.into_iter().map(shuffled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::Attack;
    use crate::fault::{Fault, Whom};

    #[test]
    fn a_short_message_never_overtakes_a_long_one_of_the_same_connection() {
        let scenario = Scenario::parse(include_str!("../scenarios/tiny.toml"), "tiny.toml").unwrap();
        let mut network = Network::new(&scenario, &scenario.troubles(&[0; 32]), &[0; 32]);
        let [seed, laptop] = [HostId::SEED, HostId(1)];
        let peer = network.connect(seed, laptop);
        assert_eq!(network.in_order(peer, laptop, Time(500)), Time(500));
        assert_eq!(network.in_order(peer, laptop, Time(400)), Time(500));
        assert_eq!(network.in_order(peer, seed, Time(400)), Time(400));
    }

    #[test]
    fn who_is_eclipsed_knows_all_adversaries_and_one_honest_laptop() {
        let text = include_str!("../scenarios/tiny.toml").replace("count = 2", "count = 40");
        let mut scenario = Scenario::parse(&text, "tiny.toml").unwrap();
        let attacks = |host| Fault::Attacks { host: Whom::Host(HostId(host)), attack: Attack::Tease };
        scenario.faults.extend((21..=40).map(attacks));
        scenario.faults.push(Fault::Eclipsed { host: Whom::Host(HostId(3)) });
        let graph = acquainted(40, &scenario.troubles(&[0; 32]), &[1; 32]);
        let (hostile, honest): (Vec<HostId>, Vec<HostId>) = graph[3].iter().partition(|peer| peer.0 > 20);
        assert_eq!((hostile.len(), honest.len()), (20, 1));
        for (host, peers) in graph.iter().enumerate() {
            assert_eq!(peers.contains(&HostId(3)), host > 20 || HostId(host) == honest[0], "{host}");
            assert!(
                host <= 20 || peers.iter().all(|peer| peer.0 <= 20),
                "adversaries have nothing to say to each other"
            );
        }
    }

    #[test]
    fn a_classroom_knows_each_other() {
        let graph = peers(20, &[1; 32]);
        assert!(graph.iter().all(|hosts| hosts.len() == 20));
    }

    #[test]
    fn beyond_the_bound_each_laptop_knows_the_seed_and_some_others() {
        let graph = peers(200, &[1; 32]);
        assert_eq!(graph[0].len(), 200);
        for hosts in &graph[1..] {
            assert!(hosts.contains(&HostId::SEED));
            assert!((PEERS_MAX - 6..=PEERS_MAX + 1).contains(&hosts.len()), "{}", hosts.len());
        }
    }
}
