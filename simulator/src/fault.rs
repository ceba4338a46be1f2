//! What goes wrong with single hosts, as a scenario asks for it and as it strikes.

use crate::adversary::Attack;
use crate::host::Behaviour;
use crate::scenario::{HostId, HostIdError};
use crate::units;
use protocol::rng::Rng;
use protocol::time::Span;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Whom a fault strikes: one host by its name, or a share of the laptops such as `"30%"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Whom {
    /// This host.
    Host(HostId),
    /// So many of a hundred laptops, drawn from the rng_seed among those that nothing else strikes.
    Percent(u32),
}

/// What goes wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Fault {
    /// Its power fails; what was not durable is lost.
    Dies {
        /// Who.
        host: Whom,
        /// When.
        #[serde(deserialize_with = "units::span")]
        at: Span,
        /// When it comes back, if it does.
        #[serde(default, deserialize_with = "units::span_if_any")]
        returns: Option<Span>,
    },
    /// It is switched on late.
    Joins {
        /// Who.
        host: Whom,
        /// When.
        #[serde(deserialize_with = "units::span")]
        at: Span,
    },
    /// It sends slower than the others of its group, though it means well.
    Slow {
        /// Who.
        host: Whom,
        /// Its upload rate in bits a second.
        #[serde(rename = "up", deserialize_with = "units::bits_per_s")]
        up_bits_per_s: u64,
    },
    /// It sends wrong bytes for every chunk.
    Lies {
        /// Who.
        host: Whom,
    },
    /// It takes requests for chunks and never answers them.
    Stalls {
        /// Who.
        host: Whom,
    },
    /// It says that it holds every chunk, and never sends one.
    Boasts {
        /// Who.
        host: Whom,
        /// Whether it says no to each request; it keeps silent otherwise.
        #[serde(default)]
        refuses: bool,
    },
    /// It is no node at all but an adversary, and comes back under a new name whenever it is banned.
    Attacks {
        /// Who.
        host: Whom,
        /// What it does to the metadata of others.
        attack: Attack,
    },
    /// It knows nobody but the adversaries, and one honest laptop that the rng_seed draws.
    Eclipsed {
        /// Who.
        host: Whom,
    },
}

/// Hosts that cannot reach all others for a while, though each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Who is cut off.
    pub hosts: Vec<HostId>,
    /// From when.
    #[serde(deserialize_with = "units::span")]
    pub from: Span,
    /// Until when.
    #[serde(deserialize_with = "units::span")]
    pub until: Span,
}

/// The faults of one run, by the host that each strikes.
#[derive(Clone, Debug, Default)]
pub struct Troubles(BTreeMap<HostId, Vec<Fault>>);

impl Fault {
    /// Who is meant.
    pub fn whom(&self) -> Whom {
        match self {
            Fault::Dies { host, .. }
            | Fault::Joins { host, .. }
            | Fault::Slow { host, .. }
            | Fault::Lies { host }
            | Fault::Stalls { host }
            | Fault::Boasts { host, .. }
            | Fault::Attacks { host, .. }
            | Fault::Eclipsed { host } => *host,
        }
    }
}

impl Troubles {
    /// Hands the faults out to hosts: first to those that are named, then each share to laptops that are well.
    pub fn draw(faults: &[Fault], laptops: usize, rng_seed: &[u8; 32]) -> Self {
        let mut troubles = Self::default();
        for fault in faults {
            if let Whom::Host(host) = fault.whom() {
                troubles.strike(host, fault);
            }
        }
        let mut rng = Rng::new(rng_seed, 0, "whom a share strikes");
        for fault in faults {
            let Whom::Percent(percent) = fault.whom() else { continue };
            let mut well: Vec<HostId> = (1..=laptops).map(HostId).filter(|host| troubles.is_steady(*host)).collect();
            let struck = (laptops * percent as usize / 100).min(well.len());
            for _ in 0..struck {
                let at = usize::try_from(rng.below(well.len() as u64)).unwrap_or(0);
                troubles.strike(well.swap_remove(at), fault);
            }
        }
        troubles
    }

    /// Every fault with the host that it strikes.
    pub fn each(&self) -> impl Iterator<Item = (HostId, &Fault)> {
        self.0.iter().flat_map(|(host, faults)| faults.iter().map(|fault| (*host, fault)))
    }

    /// Whether nothing happens to a host.
    pub fn is_steady(&self, host: HostId) -> bool {
        !self.0.contains_key(&host)
    }

    /// How a host treats others.
    pub fn behaviour(&self, host: HostId) -> Behaviour {
        let bad = self.of(host).find_map(|fault| match fault {
            Fault::Lies { .. } => Some(Behaviour::Lies),
            Fault::Stalls { .. } => Some(Behaviour::Stalls),
            Fault::Boasts { refuses, .. } => Some(Behaviour::Boasts { refuses: *refuses }),
            Fault::Attacks { attack, .. } => Some(Behaviour::Attacks(*attack)),
            Fault::Dies { .. } | Fault::Joins { .. } | Fault::Slow { .. } | Fault::Eclipsed { .. } => None,
        });
        bad.unwrap_or(Behaviour::Honest)
    }

    /// Whether a host is cut off from all honest ones but one.
    pub fn is_eclipsed(&self, host: HostId) -> bool {
        self.of(host).any(|fault| matches!(fault, Fault::Eclipsed { .. }))
    }

    /// The upload rate of a host that would otherwise have this one, in bits a second.
    pub fn up_bits_per_s(&self, host: HostId, otherwise: u64) -> u64 {
        let slow = self.of(host).find_map(|fault| match fault {
            Fault::Slow { up_bits_per_s, .. } => Some(*up_bits_per_s),
            _ => None,
        });
        slow.unwrap_or(otherwise)
    }

    /// When a host is switched on first, if late.
    pub fn joins_at(&self, host: HostId) -> Option<Span> {
        self.of(host).find_map(|fault| match fault {
            Fault::Joins { at, .. } => Some(*at),
            _ => None,
        })
    }

    /// From when until when a host has power.
    pub fn powered(&self, host: HostId) -> Vec<(Span, Span)> {
        let mut switched = vec![(self.joins_at(host).unwrap_or_default(), true)];
        for fault in self.of(host) {
            if let Fault::Dies { at, returns, .. } = fault {
                switched.push((*at, false));
                switched.extend(returns.map(|returns| (returns, true)));
            }
        }
        switched.sort();
        let mut spans = Vec::new();
        let mut since = None;
        for (at, on) in switched {
            match (on, since) {
                (true, None) => since = Some(at),
                (false, Some(from)) => {
                    spans.push((from, at));
                    since = None;
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        spans.extend(since.map(|from| (from, Span(u64::MAX))));
        spans
    }

    fn of(&self, host: HostId) -> impl Iterator<Item = &Fault> {
        self.0.get(&host).into_iter().flatten()
    }

    fn strike(&mut self, host: HostId, fault: &Fault) {
        self.0.entry(host).or_default().push(fault.clone());
    }
}

impl FromStr for Whom {
    type Err = HostIdError;

    fn from_str(text: &str) -> Result<Self, HostIdError> {
        match text.strip_suffix('%').and_then(|number| number.parse().ok()) {
            Some(percent @ 1..=100) => Ok(Whom::Percent(percent)),
            _ => text.parse().map(Whom::Host),
        }
    }
}

impl TryFrom<String> for Whom {
    type Error = HostIdError;

    fn try_from(text: String) -> Result<Self, HostIdError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [5; 32];

    #[test]
    fn a_share_strikes_so_many_laptops_and_none_that_is_struck_already() {
        let liars = Fault::Lies { host: Whom::Percent(30) };
        let boasters = Fault::Boasts { host: Whom::Percent(5), refuses: false };
        let late = Fault::Joins { host: Whom::Host(HostId(7)), at: Span(1) };
        let troubles = Troubles::draw(&[liars, boasters, late], 100, &KEY);
        let behaving = |wanted: Behaviour| (0..=100).filter(|host| troubles.behaviour(HostId(*host)) == wanted).count();
        assert_eq!(behaving(Behaviour::Lies), 30);
        assert_eq!(behaving(Behaviour::Boasts { refuses: false }), 5);
        assert_eq!(troubles.behaviour(HostId(7)), Behaviour::Honest);
        assert!(troubles.is_steady(HostId::SEED));
    }

    #[test]
    fn another_rng_seed_strikes_others() {
        let liars = [Fault::Lies { host: Whom::Percent(50) }];
        let struck = |key| Troubles::draw(&liars, 40, &[key; 32]).each().map(|(host, _)| host).collect::<Vec<_>>();
        assert_eq!(struck(1), struck(1));
        assert_ne!(struck(1), struck(2));
    }

    #[test]
    fn power_is_there_but_for_the_time_between_death_and_return() {
        let host = Whom::Host(HostId(1));
        let dies = |at, returns| Fault::Dies { host, at: Span(at), returns };
        let faults =
            [Fault::Joins { host, at: Span(2) }, dies(30, None), dies(5, Some(Span(20))), dies(10, Some(Span(12)))];
        let troubles = Troubles::draw(&faults, 1, &KEY);
        assert_eq!(troubles.powered(HostId(1)), [(Span(2), Span(5)), (Span(12), Span(30))]);
        assert_eq!(troubles.powered(HostId::SEED), [(Span(0), Span(u64::MAX))]);
    }
}
