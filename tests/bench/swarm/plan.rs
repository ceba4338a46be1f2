//! What a scenario means for real hosts: who is there, what is done to whom and when, and what this machine cannot do.

use anyhow::ensure;
use simulator::bounds::{Work, kumar_ross};
use simulator::host::Behaviour;
use simulator::scenario::{Fault, HostId, Scenario};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::lan::Lan;

/// From here on a rate is not shaped, in bits a second: no virtual link is that fast.
const UNSHAPED_BITS_PER_S: u64 = 10_000_000_000;

/// A host and its part.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Who.
    pub id: HostId,
    /// What it can send, in bits a second.
    pub up_bits_per_s: u64,
    /// What it can be sent, in bits a second.
    pub down_bits_per_s: u64,
    /// How it treats others.
    pub behaviour: Behaviour,
    /// Whether it is there from the start.
    pub there: bool,
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
        let cut_off = scenario.partitions.iter().flat_map(|partition| &partition.hosts);
        let troubled: BTreeSet<HostId> = scenario.faults.iter().map(Fault::host).chain(cut_off.copied()).collect();
        let seed = (scenario.seed.up_bits_per_s, scenario.seed.down_bits_per_s);
        let laptops = scenario.each_laptop().map(|laptop| (laptop.up_bits_per_s, laptop.down_bits_per_s));
        let all = std::iter::once(seed).chain(laptops).enumerate();
        let host = |(number, (up_bits_per_s, down_bits_per_s))| {
            let id = HostId(number);
            let mut host = Host {
                id,
                up_bits_per_s,
                down_bits_per_s,
                behaviour: Behaviour::Honest,
                there: true,
                steady: !troubled.contains(&id),
            };
            for fault in scenario.faults.iter().filter(|fault| fault.host() == id) {
                match fault {
                    Fault::Lies { .. } => host.behaviour = Behaviour::Lies,
                    Fault::Stalls { .. } => host.behaviour = Behaviour::Stalls,
                    Fault::Joins { .. } => host.there = false,
                    Fault::Dies { .. } => {}
                }
            }
            host
        };
        let hosts: Vec<Host> = all.map(host).filter(|host| host.steady || !steady_only).collect();
        ensure!(
            hosts.iter().any(|host| host.id == HostId::SEED),
            "something happens to the seed, so it cannot be left out"
        );
        ensure!(hosts.iter().any(|host| host.id != HostId::SEED && host.steady), "something happens to every laptop");
        let acts = acts(scenario, steady_only);
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
        let work = Work {
            fresh_bytes: bytes,
            missing: self.steady().map(|host| (bytes, real(host.down_bits_per_s))).collect(),
            seed_up_bits_per_s: real(self.hosts[0].up_bits_per_s),
            peers_up_bits_per_s: self.hosts[1..].iter().map(|host| real(host.up_bits_per_s)).sum(),
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

fn acts(scenario: &Scenario, steady_only: bool) -> Vec<(Duration, Act)> {
    let start = scenario.releases[0].at;
    let after = |at: protocol::time::Span| Duration::from_micros(at.0.saturating_sub(start.0));
    let mut acts: Vec<(Duration, Act)> = scenario
        .releases
        .iter()
        .enumerate()
        .map(|(number, release)| (after(release.at), Act::Publish(number)))
        .collect();
    for fault in scenario.faults.iter().filter(|_| !steady_only) {
        match fault {
            Fault::Dies { host, at, returns } => {
                acts.push((after(*at), Act::PowerOff(*host)));
                acts.extend(returns.map(|returns| (after(returns), Act::PowerOn(*host))));
            }
            Fault::Joins { host, at } => acts.push((after(*at), Act::PowerOn(*host))),
            Fault::Lies { .. } | Fault::Stalls { .. } => {}
        }
    }
    // Of what happens at once the publication comes first, because all is counted from it.
    acts.sort_by_key(|(at, act)| (*at, !matches!(act, Act::Publish(_))));
    acts
}
