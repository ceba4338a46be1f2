//! Bulk data in the model `maxmin`: all chunks that one host sends another on one connection are a flow, served in
//! order, and all flows share the access links at once, max-min fairly.
//!
//! Fair means: no flow can have more without another having less that has no more than it. Progressive filling finds
//! it: all rates rise together until a link is full, the flows of that link stay where they are, and the others rise on
//! (D. Bertsekas and R. Gallager, "Data Networks", 2nd edition, section 6.5.2). Such a link *binds* its flows. Rates are
//! whole bits a second, so a full link may leave less than one bit a second for each of its flows.
//!
//! When a flow comes or goes, rates change only where links that bind pass the change on: the flows of a binding link
//! that is touched, the binding links of those, and so on. Those are filled anew. Where that overfills a link that did
//! not bind, it joins, and filling begins again. All other flows keep their binding link and so their rate.

use crate::network::Parcel;
use crate::scenario::HostId;
use protocol::id::PeerId;
use protocol::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A connection in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId {
    /// The connection.
    pub peer: PeerId,
    /// The end that sends.
    pub from: HostId,
}

/// All bulk data under way.
pub struct Flows {
    links: BTreeMap<LinkId, Link>,
    flows: BTreeMap<FlowId, Flow>,
    /// When the first parcel of each flow that moves will have passed.
    ends: BTreeSet<(Time, FlowId)>,
    /// Links whose flows need new rates.
    touched: BTreeSet<LinkId>,
}

/// One direction of a host's access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkId {
    /// From the host.
    Up(HostId),
    /// To the host.
    Down(HostId),
}

struct Link {
    bits_per_s: u64,
    flows: BTreeSet<FlowId>,
    /// Whether its flows would have more if it were wider.
    binds: bool,
    /// The flow that paid for a control message last.
    paid: Option<FlowId>,
}

struct Flow {
    links: [LinkId; 2],
    parcels: VecDeque<Box<Parcel>>,
    bits_per_s: u64,
    /// Of the first parcel at `since`, in millionths of a bit, so that rate times microseconds is exact.
    left: u64,
    since: Time,
    /// Nobody answers at the other end, so nothing moves.
    stuck: bool,
}

impl Flows {
    /// No flow, between hosts with these rates up and down in bits a second.
    pub fn new(rates: impl Iterator<Item = (u64, u64)>) -> Self {
        let link = |bits_per_s| Link { bits_per_s, flows: BTreeSet::new(), binds: false, paid: None };
        let links = rates.zip(0..).flat_map(|((up, down), host)| {
            [(LinkId::Up(HostId(host)), link(up)), (LinkId::Down(HostId(host)), link(down))]
        });
        Self { links: links.collect(), flows: BTreeMap::new(), ends: BTreeSet::new(), touched: BTreeSet::new() }
    }

    /// Sends a parcel behind all that its flow carries.
    pub fn push(&mut self, parcel: Box<Parcel>, now: Time) {
        let id = FlowId { peer: parcel.peer, from: parcel.from };
        let links = [LinkId::Up(parcel.from), LinkId::Down(parcel.to)];
        let left = millionths(parcel.wire_bytes);
        if let Some(flow) = self.flows.get_mut(&id) {
            return flow.parcels.push_back(parcel);
        }
        let flow = Flow { links, parcels: [parcel].into(), bits_per_s: 0, left, since: now, stuck: false };
        self.flows.insert(id, flow);
        let mut binding = 0;
        for link in links {
            self.link(link).flows.insert(id);
            binding += usize::from(self.touch(link));
        }
        if binding == 0 {
            // Any of its links will do: should it overfill the other, that joins.
            self.touched.insert(links[0]);
        }
    }

    /// A control message takes so many bytes of a link. A link that is not full has them to spare; on one that is,
    /// its flows pay in turn.
    pub fn take(&mut self, link: LinkId, bytes: u64, now: Time) {
        let link = self.link(link);
        let after = link.paid.and_then(|paid| {
            link.flows.range((std::ops::Bound::Excluded(paid), std::ops::Bound::Unbounded)).next().copied()
        });
        let Some(pays) = after.or_else(|| link.flows.first().copied()).filter(|_| link.binds) else { return };
        link.paid = Some(pays);
        self.change(pays, now, |flow| flow.left += millionths(bytes));
    }

    /// When the next parcel will have passed. To be asked after each change, at the moment of the change.
    pub fn next_end(&mut self, now: Time) -> Option<Time> {
        while !self.touched.is_empty() {
            self.refill(now);
        }
        self.ends.first().map(|(end, _)| *end)
    }

    /// The next parcel that has passed by now.
    pub fn passed(&mut self, now: Time) -> Option<Box<Parcel>> {
        let (_, id) = self.ends.first().copied().filter(|(end, _)| *end <= now)?;
        let mut passed = None;
        self.change(id, now, |flow| {
            passed = flow.parcels.pop_front();
            flow.left = flow.parcels.front().map_or(0, |next| millionths(next.wire_bytes));
        });
        if self.flows[&id].parcels.is_empty() {
            self.close(id);
        }
        passed
    }

    /// The other end is silent: nothing of this flow moves any more.
    pub fn stick(&mut self, id: FlowId, now: Time) {
        if self.flows.contains_key(&id) {
            self.withdraw(id);
            self.change(id, now, |flow| (flow.stuck, flow.bits_per_s) = (true, 0));
        }
    }

    /// The connection is closed. Returns what had not passed.
    pub fn close(&mut self, id: FlowId) -> VecDeque<Box<Parcel>> {
        self.withdraw(id);
        let Some(flow) = self.flows.remove(&id) else { return VecDeque::new() };
        if let Some(end) = flow.end() {
            self.ends.remove(&(end, id));
        }
        flow.parcels
    }

    /// What a host is sending.
    pub fn sent_by(&self, host: HostId) -> Vec<FlowId> {
        self.flows.keys().filter(|flow| flow.from == host).copied().collect()
    }

    /// All that is under way.
    pub fn parcels(&self) -> impl Iterator<Item = &Parcel> {
        self.flows.values().flat_map(|flow| &flow.parcels).map(Box::as_ref)
    }

    fn link(&mut self, id: LinkId) -> &mut Link {
        self.links.get_mut(&id).expect("every host has both links")
    }

    /// The flows of a link need new rates if it binds them.
    fn touch(&mut self, id: LinkId) -> bool {
        let binds = self.link(id).binds;
        if binds {
            self.touched.insert(id);
        }
        binds
    }

    /// Takes a flow off its links.
    fn withdraw(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get(&id).filter(|flow| !flow.stuck) else { return };
        for link in flow.links {
            self.touch(link);
            self.link(link).flows.remove(&id);
        }
    }

    /// Brings a flow up to date, changes it, and plans its end anew.
    fn change(&mut self, id: FlowId, now: Time, change: impl FnOnce(&mut Flow)) {
        let flow = self.flows.get_mut(&id).expect("a link's flows are known");
        if let Some(end) = flow.end() {
            self.ends.remove(&(end, id));
        }
        flow.left = flow.left.saturating_sub(flow.bits_per_s.saturating_mul(now.since(flow.since).0));
        flow.since = now;
        change(flow);
        if let Some(end) = flow.end() {
            self.ends.insert((end, id));
        }
    }

    /// Gives new rates to all flows that what was touched can change, or finds more that is touched.
    fn refill(&mut self, now: Time) {
        let links = self.affected();
        let (rates, binding) = self.fill(&links);
        let overfilled = self.overfilled(&links, &rates);
        if !overfilled.is_empty() {
            return self.touched.extend(overfilled);
        }
        self.touched.clear();
        for link in links {
            self.link(link).binds = binding.contains(&link);
        }
        for (id, bits_per_s) in rates {
            if self.flows[&id].bits_per_s != bits_per_s {
                self.change(id, now, |flow| flow.bits_per_s = bits_per_s);
            }
        }
    }

    /// The touched links, the links that bind their flows, those that bind the flows of these, and so on.
    fn affected(&self) -> BTreeSet<LinkId> {
        let mut affected = self.touched.clone();
        let mut found: Vec<LinkId> = affected.iter().copied().collect();
        while let Some(link) = found.pop() {
            let beside = self.links[&link].flows.iter().flat_map(|id| self.flows[id].links);
            found.extend(beside.filter(|beside| self.links[beside].binds && affected.insert(*beside)));
        }
        affected
    }

    /// Progressive filling of these links by their flows. Returns the flows' rates, and which links bind.
    fn fill(&self, links: &BTreeSet<LinkId>) -> (BTreeMap<FlowId, u64>, BTreeSet<LinkId>) {
        let mut rates = BTreeMap::new();
        let mut binding = BTreeSet::new();
        // Of each link what is free, for how many flows, and so the level at which it is full.
        let room = |id: &LinkId| (*id, (self.links[id].bits_per_s, self.links[id].flows.len() as u64));
        let mut rooms: BTreeMap<LinkId, (u64, u64)> = links.iter().map(room).filter(|(_, (_, n))| *n > 0).collect();
        let mut levels: BTreeSet<(u64, LinkId)> = rooms.iter().map(|(id, (free, n))| (free / n, *id)).collect();
        while let Some((level, full)) = levels.pop_first() {
            binding.insert(full);
            rooms.remove(&full);
            for id in &self.links[&full].flows {
                if rates.contains_key(id) {
                    continue;
                }
                rates.insert(*id, level);
                for link in self.flows[id].links {
                    let Some((free, n)) = rooms.get_mut(&link) else { continue };
                    levels.remove(&(*free / *n, link));
                    (*free, *n) = (*free - level, *n - 1);
                    if let Some(next) = free.checked_div(*n) {
                        levels.insert((next, link));
                    } else {
                        rooms.remove(&link);
                    }
                }
            }
        }
        (rates, binding)
    }

    /// Links outside the affected ones that the new rates do not fit.
    fn overfilled(&self, links: &BTreeSet<LinkId>, rates: &BTreeMap<FlowId, u64>) -> Vec<LinkId> {
        let passed = rates.keys().flat_map(|id| self.flows[id].links);
        let beyond: BTreeSet<LinkId> = passed.filter(|link| !links.contains(link)).collect();
        let rate = |id: &FlowId| rates.get(id).copied().unwrap_or(self.flows[id].bits_per_s);
        let is_full = |link: &LinkId| {
            let Link { bits_per_s, flows, .. } = &self.links[link];
            flows.iter().map(rate).sum::<u64>() > *bits_per_s
        };
        beyond.into_iter().filter(is_full).collect()
    }
}

impl Flow {
    /// When its first parcel will have passed; a flow without a rate never ends.
    fn end(&self) -> Option<Time> {
        let micros = self.left.checked_div(self.bits_per_s)? + u64::from(!self.left.is_multiple_of(self.bits_per_s));
        Some(self.since + Span(micros))
    }
}

fn millionths(bytes: u64) -> u64 {
    bytes.saturating_mul(8_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::id::{ChunkId, ManifestId};
    use protocol::rng::Rng;

    const MBIT: u64 = 1_000_000;

    fn parcel(peer: u64, from: usize, to: usize, wire_bytes: u64) -> Box<Parcel> {
        let (from, to, release, content) = (HostId(from), HostId(to), ManifestId([0; 32]), ChunkId([0; 32]));
        Box::new(Parcel { peer: PeerId(peer), from, to, release, index: 0, content, wire_bytes })
    }

    fn id(peer: u64, from: usize) -> FlowId {
        FlowId { peer: PeerId(peer), from: HostId(from) }
    }

    /// Every parcel with the moment at which it passes, if nothing more happens.
    fn passing(flows: &mut Flows, mut now: Time) -> Vec<(u64, u64)> {
        let mut passed = Vec::new();
        while let Some(end) = flows.next_end(now) {
            now = end;
            passed.extend(std::iter::from_fn(|| flows.passed(now)).map(|parcel| (now.0, parcel.peer.0)));
        }
        passed
    }

    #[test]
    fn flows_of_one_uplink_share_it_and_one_that_ends_leaves_its_share() {
        let mut flows = Flows::new([(8 * MBIT, 8 * MBIT); 4].into_iter());
        flows.push(parcel(1, 0, 1, 100), Time(0)); // at 8 Mbit/s a byte takes 1 us
        flows.push(parcel(2, 0, 2, 300), Time(0));
        assert_eq!(passing(&mut flows, Time(0)), [(200, 1), (400, 2)]);
    }

    #[test]
    fn what_one_flow_cannot_use_another_has() {
        // Host 1 takes 2 Mbit/s at most, so host 2 gets 6 of the 8.
        let mut flows = Flows::new([(8 * MBIT, MBIT), (MBIT, 2 * MBIT), (MBIT, 8 * MBIT)].into_iter());
        flows.push(parcel(1, 0, 1, 200), Time(0));
        flows.push(parcel(2, 0, 2, 600), Time(0));
        assert_eq!(passing(&mut flows, Time(0)), [(800, 1), (800, 2)]);
    }

    #[test]
    fn parcels_of_one_flow_pass_in_order() {
        let mut flows = Flows::new([(8 * MBIT, 8 * MBIT); 2].into_iter());
        flows.push(parcel(1, 0, 1, 10), Time(0));
        assert_eq!(flows.next_end(Time(0)), Some(Time(10)));
        flows.push(parcel(1, 0, 1, 30), Time(5));
        assert_eq!(passing(&mut flows, Time(5)), [(10, 1), (40, 1)]);
    }

    #[test]
    fn a_control_message_takes_its_bytes_from_a_full_link_only() {
        let mut flows = Flows::new([(8 * MBIT, 16 * MBIT); 2].into_iter());
        flows.push(parcel(1, 0, 1, 100), Time(0));
        assert_eq!(flows.next_end(Time(0)), Some(Time(100)));
        flows.take(LinkId::Down(HostId(1)), 50, Time(10));
        assert_eq!(flows.next_end(Time(10)), Some(Time(100)));
        flows.take(LinkId::Up(HostId(0)), 50, Time(20));
        assert_eq!(flows.next_end(Time(20)), Some(Time(150)));
    }

    #[test]
    fn a_silent_end_leaves_its_share_and_keeps_its_parcels() {
        let mut flows = Flows::new([(8 * MBIT, 8 * MBIT); 3].into_iter());
        flows.push(parcel(1, 0, 1, 100), Time(0));
        flows.push(parcel(2, 0, 2, 100), Time(0));
        flows.next_end(Time(0));
        flows.stick(id(1, 0), Time(100));
        assert_eq!(passing(&mut flows, Time(100)), [(150, 2)]);
        assert_eq!(flows.close(id(1, 0)).len(), 1);
        assert_eq!(flows.parcels().count(), 0);
    }

    /// Rates found from scratch, in the plainest way: fill the fullest link, again and again.
    fn reference(flows: &Flows) -> BTreeMap<FlowId, f64> {
        let mut rates: BTreeMap<FlowId, f64> = BTreeMap::new();
        let moving = |link: &Link| link.flows.len();
        while rates.len() < flows.flows.values().filter(|flow| !flow.stuck).count() {
            let level = |link: &Link| {
                let fixed: f64 = link.flows.iter().filter_map(|id| rates.get(id)).sum();
                let open = link.flows.iter().filter(|id| !rates.contains_key(id)).count();
                (open > 0).then(|| (link.bits_per_s as f64 - fixed) / open as f64)
            };
            let levels =
                flows.links.values().filter(|link| moving(link) > 0).filter_map(|link| Some((level(link)?, link)));
            let (level, full) = levels.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            let open: Vec<FlowId> = full.flows.iter().filter(|id| !rates.contains_key(id)).copied().collect();
            rates.extend(open.into_iter().map(|id| (id, level)));
        }
        rates
    }

    /// No link carries more than it can, and each flow passes one that is full where none has more than it.
    fn assert_max_min_fair(flows: &Flows) {
        for (id, link) in &flows.links {
            let sum: u64 = link.flows.iter().map(|flow| flows.flows[flow].bits_per_s).sum();
            assert!(sum <= link.bits_per_s, "{id:?} carries {sum} of {}", link.bits_per_s);
        }
        for (id, flow) in flows.flows.iter().filter(|(_, flow)| !flow.stuck) {
            let holds_back = |link: &LinkId| {
                let rates: Vec<u64> = flows.links[link].flows.iter().map(|id| flows.flows[id].bits_per_s).collect();
                let free = flows.links[link].bits_per_s - rates.iter().sum::<u64>();
                free < rates.len() as u64 && rates.iter().all(|rate| *rate <= flow.bits_per_s)
            };
            assert!(flow.links.iter().any(holds_back), "{id:?} could have more than {}", flow.bits_per_s);
        }
    }

    #[test]
    fn whatever_comes_and_goes_rates_are_those_found_from_scratch() {
        for rng_seed in 0..200_u8 {
            let mut rng = Rng::new(&[rng_seed; 32], 0, "flows");
            let hosts = 2 + rng.below(8);
            let rates: Vec<(u64, u64)> =
                (0..hosts).map(|_| (MBIT * (1 + rng.below(20)), MBIT * (1 + rng.below(40)))).collect();
            let mut flows = Flows::new(rates.into_iter());
            let mut now = Time(0);
            let mut carried = [0_u64; 2];
            for peer in 0..60 {
                let from = rng.below(hosts) as usize;
                let to = (from + 1 + rng.below(hosts - 1) as usize) % hosts as usize;
                let old = flows.flows.keys().nth(rng.below(8) as usize).copied();
                match (rng.below(8), old) {
                    (0, Some(old)) => {
                        carried[1] += flows.close(old).iter().map(|parcel| parcel.wire_bytes).sum::<u64>()
                    }
                    (1, Some(old)) => flows.stick(old, now),
                    (2, _) => flows.take(LinkId::Up(HostId(from)), rng.below(1000), now),
                    (3 | 4, _) => now = flows.next_end(now).unwrap_or(now),
                    _ => {
                        let parcel = parcel(peer, from, to, 1 + rng.below(100_000));
                        carried[0] += parcel.wire_bytes;
                        flows.push(parcel, now);
                    }
                }
                carried[1] += std::iter::from_fn(|| flows.passed(now)).map(|parcel| parcel.wire_bytes).sum::<u64>();
                flows.next_end(now);
                assert_max_min_fair(&flows);
                let slack = flows.flows.len() as f64;
                for (id, rate) in reference(&flows) {
                    let ours = flows.flows[&id].bits_per_s as f64;
                    assert!((ours - rate).abs() <= slack, "rng_seed {rng_seed}: {id:?} has {ours} and not {rate}");
                }
            }
            let left: u64 = flows.parcels().map(|parcel| parcel.wire_bytes).sum();
            assert_eq!(carried[0], carried[1] + left, "every byte passed, was given back or is there");
        }
    }
}
