//! What a scenario means for real hosts: who is there, what is done to whom and when, and what this machine cannot do.

use anyhow::ensure;
use protocol::time::Span;
use simulator::bounds::{Uplink, Work, kumar_ross};
use simulator::host::Behaviour;
use simulator::scenario::{HostId, Scenario};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::lan::Lan;

/// From here on a rate is not shaped, in bits a second: no virtual link is that fast.
const UNSHAPED_BITS_PER_S: u64 = 10_000_000_000;

/// What draws whom shares such as "30%" strike: the same hosts in each run.
const RNG_SEED: [u8; 32] = [0; 32];
/// When power lasts for ever, until then.
const FOR_EVER: Span = Span(u64::MAX);

/// A host and its part.
#[derive(Clone, Debug)]
pub struct Host {
    /// Who.
    pub id: HostId,
    /// What it can send, in bits a second.
    pub up_bits_per_s: u64,
    /// What it can be sent, in bits a second.
    pub down_bits_per_s: u64,
    /// How it treats others.
    pub behaviour: Behaviour,
    /// From when until when it has power, counted from the publication of the first release.
    pub powered: Vec<(Span, Span)>,
    /// Whether nothing happens to it: its time counts.
    pub steady: bool,
}

/// Something that is done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The power of a host fails: cable and process at once.
    PowerOff(HostId),
    /// It is switched on.
    PowerOn(HostId),
    /// The release with this number is published.
    Publish(usize),
}

/// A scenario, as it can be run here.
pub struct Plan<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Who takes part; the seed first.
    pub hosts: Vec<Host>,
    /// What is done when, in order, counted from the publication of the first release.
    pub acts: Vec<(Duration, Act)>,
    partitions: bool,
    lose_permille: u32,
}

impl Host {
    /// Whether it is there from the start.
    pub fn is_there(&self) -> bool {
        self.powered.first().is_some_and(|(from, _)| from.0 == 0)
    }

    /// Whether both its links are limited.
    pub fn is_shaped(&self) -> bool {
        self.up_bits_per_s < UNSHAPED_BITS_PER_S && self.down_bits_per_s < UNSHAPED_BITS_PER_S
    }
}

impl<'a> Plan<'a> {
    /// Plans a scenario, or that of its hosts to which nothing happens, on a network that loses so many of a thousand
    /// frames.
    ///
    /// # Errors
    /// If nobody is left whose time counts.
    pub fn of(scenario: &'a Scenario, steady_only: bool, lose_permille: u32) -> anyhow::Result<Plan<'a>> {
        let troubles = scenario.troubles(&RNG_SEED);
        let cut_off: BTreeSet<HostId> =
            scenario.partitions.iter().flat_map(|partition| &partition.hosts).copied().collect();
        let start = scenario.releases[0].at;
        let after = |at: Span| if at == FOR_EVER { at } else { Span(at.0.saturating_sub(start.0)) };
        let seed = (scenario.seed.up_bits_per_s, scenario.seed.down_bits_per_s);
        let laptops = scenario.each_laptop().map(|laptop| (laptop.up_bits_per_s, laptop.down_bits_per_s));
        let all = std::iter::once(seed).chain(laptops).zip(0..);
        let host = |((up_bits_per_s, down_bits_per_s), number)| {
            let id = HostId(number);
            Host {
                id,
                up_bits_per_s: troubles.up_bits_per_s(id, up_bits_per_s),
                down_bits_per_s,
                behaviour: troubles.behaviour(id),
                powered: troubles.powered(id).into_iter().map(|(from, until)| (after(from), after(until))).collect(),
                steady: troubles.is_steady(id) && !cut_off.contains(&id),
            }
        };
        let hosts: Vec<Host> = all.map(host).filter(|host| host.steady || !steady_only).collect();
        ensure!(
            hosts.iter().any(|host| host.id == HostId::SEED),
            "something happens to the seed, so it cannot be left out"
        );
        ensure!(hosts.iter().any(|host| host.id != HostId::SEED && host.steady), "something happens to every laptop");
        let acts = acts(scenario, &hosts);
        Ok(Plan { scenario, hosts, acts, partitions: !scenario.partitions.is_empty(), lose_permille })
    }

    /// Makes the network, with nobody on it.
    ///
    /// # Errors
    /// When the machine does not let it.
    pub fn network(&self) -> std::io::Result<Lan> {
        let names: Vec<String> = self.hosts.iter().map(|host| host.id.to_string()).collect();
        let lan = Lan::up(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        for host in self.hosts.iter().filter(|host| host.is_shaped()) {
            lan.shape(&host.id.to_string(), host.up_bits_per_s, host.down_bits_per_s)?;
        }
        if self.lose_permille > 0 {
            lan.lose(self.lose_permille)?;
        }
        Ok(lan)
    }

    /// The laptops whose times count.
    pub fn steady(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.steady && host.id != HostId::SEED)
    }

    /// Two steady laptops, or the seed and the only one.
    pub fn pair(&self) -> [&Host; 2] {
        let mut steady = self.steady();
        match (steady.next(), steady.next()) {
            (Some(first), Some(second)) => [first, second],
            (Some(first), None) => [&self.hosts[0], first],
            (None, _) => unreachable!("a plan has a steady laptop"),
        }
    }

    /// The least seconds in which all steady laptops can have so many bytes that only the seed has, when links carry
    /// this share of what they are set to.
    pub fn bound_s(&self, bytes: u64, share: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, scaled by about one")]
        let real = |bits_per_s: u64| (bits_per_s as f64 * share) as u64;
        let uplinks = |host: &Host| {
            let bits_per_s = real(host.up_bits_per_s);
            let spans = host.powered.iter().filter(|(from, until)| from < until);
            spans.map(|(from, until)| Uplink { bits_per_s, from: *from, until: *until }).collect::<Vec<_>>()
        };
        let honest = self.hosts[1..].iter().filter(|host| host.behaviour == Behaviour::Honest);
        let work = Work {
            fresh_bytes: bytes,
            missing: self.steady().map(|host| (bytes, real(host.down_bits_per_s))).collect(),
            seed: uplinks(&self.hosts[0]),
            peers: honest.flat_map(uplinks).collect(),
        };
        kumar_ross(&work).0 as f64 / 1e6
    }

    /// What of the scenario is another thing here, in sentences.
    pub fn not_honoured(&self) -> Vec<&'static str> {
        let mut keys = vec![
            "latency (the kernel's own few microseconds instead)",
            "disk_write and disk_sync (this machine's own tmpfs or disk instead)",
            "chunks and chunk (their product is the release's bytes; the publisher cuts them where content says so)",
        ];
        if self.partitions {
            keys.push("partition (the network stays whole)");
        }
        if self.hosts.iter().any(|host| host.behaviour != Behaviour::Honest) {
            keys.push(
                "lies and stalls as the simulator means them (here such a host also claims to hold everything at once)",
            );
        }
        keys
    }
}

fn acts(scenario: &Scenario, hosts: &[Host]) -> Vec<(Duration, Act)> {
    let duration = |at: Span| Duration::from_micros(at.0);
    let since_first = |at: Span| duration(Span(at.0.saturating_sub(scenario.releases[0].at.0)));
    let releases = scenario.releases.iter().enumerate();
    let mut acts: Vec<(Duration, Act)> =
        releases.map(|(number, release)| (since_first(release.at), Act::Publish(number))).collect();
    for host in hosts {
        for (from, until) in &host.powered {
            acts.extend((from.0 > 0).then(|| (duration(*from), Act::PowerOn(host.id))));
            acts.extend((*until < FOR_EVER).then(|| (duration(*until), Act::PowerOff(host.id))));
        }
    }
    // Of what happens at once the publication comes first, because all is counted from it.
    acts.sort_by_key(|(at, act)| (*at, !matches!(act, Act::Publish(_))));
    acts
}
