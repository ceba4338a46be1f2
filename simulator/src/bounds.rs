//! How fast a distribution could be at best: the yardsticks beside every measured time.
//!
//! **Fluid.** R. Kumar and K. W. Ross, "Peer-assisted file distribution: the minimum distribution time", IEEE HotWeb
//! 2006. For a file of F bits, a seed with upload rate u_s, and N peers with upload rates u_i and download rates d_i,
//! no schedule is faster than max{F/u_s, F/d_min, N*F/(u_s + sum u_i)}, and one attains it if bits may be passed on as
//! they come. With bytes that some peers have already, each of the three still holds, with the bytes that it is about.
//! So it does when an uplink serves only at times: then the sum is what all uplinks can carry until then. Uplinks of
//! hosts that never send a right chunk are not counted.
//!
//! **Rounds.** J. Mundinger, R. Weber and G. Weiss, "Optimal scheduling of peer-to-peer file dissemination", Journal of
//! Scheduling 11, 2008 (arXiv cs/0606110). The file comes in M equal parts, a part is passed on only once it is there
//! whole, the seed and all N peers have the same upload rate u, and downlinks are no narrower. Then the least time is
//! that of broadcasting M messages where everybody can send one and receive one in each round: M + floor(log2 N) rounds
//! of the time that one part takes at the rate u. The last part leaves the seed in round M at the earliest, and its
//! holders at most double in each round after that. Peers that help and need not finish make this no faster.

use protocol::time::Span;

/// An uplink and when it serves, from the publication on.
#[derive(Clone, Copy, Debug)]
pub struct Uplink {
    /// Its rate in bits a second.
    pub bits_per_s: u64,
    /// From when.
    pub from: Span,
    /// Until when.
    pub until: Span,
}

/// What the fluid bound follows from.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Bytes that only the seed has in the beginning.
    pub fresh_bytes: u64,
    /// For each peer that must finish: the bytes it is missing, and its download rate in bits a second.
    pub missing: Vec<(u64, u64)>,
    /// The seed's uplink, once for each span in which it serves.
    pub seed: Vec<Uplink>,
    /// The uplinks of all peers that help, finished or not, likewise.
    pub peers: Vec<Uplink>,
}

/// The least time in which every peer can have what it misses, rounded down.
pub fn kumar_ross(work: &Work) -> Span {
    let spread = carried_after(work.fresh_bytes, &work.seed);
    let down = |bytes, bits_per_s| carried_after(bytes, &[Uplink { bits_per_s, from: Span(0), until: Span(u64::MAX) }]);
    let slowest = work.missing.iter().map(|(bytes, bits_per_s)| down(*bytes, *bits_per_s)).max().unwrap_or_default();
    let total = work.missing.iter().map(|(bytes, _)| bytes).sum();
    let all: Vec<Uplink> = work.seed.iter().chain(&work.peers).copied().collect();
    spread.max(slowest).max(carried_after(total, &all))
}

/// The least time in which `peers` peers can have all `parts`, rounded down, where every uplink has this rate.
pub fn mundinger_weber_weiss(parts: u64, part_bytes: u64, peers: u64, bits_per_s: u64) -> Span {
    let Some(doublings) = peers.checked_ilog2() else { return Span(0) };
    let bits = u128::from(parts + u64::from(doublings)) * u128::from(part_bytes) * 8;
    to_span(bits * 1_000_000 / u128::from(bits_per_s.max(1)))
}

/// When links that serve at times have carried so many bytes, rounded down; never is the end of time.
fn carried_after(bytes: u64, links: &[Uplink]) -> Span {
    let rate = |link: &Uplink| i128::from(link.bits_per_s);
    let starts = links.iter().map(|link| (link.from.0, rate(link)));
    let ends = links.iter().map(|link| (link.until.0, -rate(link)));
    let mut changes: Vec<(u64, i128)> = starts.chain(ends).collect();
    changes.sort_unstable();
    // What is left counts in bits times microseconds a second, so that no division comes before the last.
    let mut left = i128::from(bytes) * 8_000_000;
    let (mut now, mut together) = (0, 0);
    for (at, change) in changes {
        let carried = together * i128::from(at - now);
        if carried >= left {
            break;
        }
        (left, now, together) = (left - carried, at, together + change);
    }
    match (left, together) {
        (0, _) => Span(now),
        (_, 1..) => to_span(u128::from(now) + (left / together).unsigned_abs()),
        _ => Span(u64::MAX),
    }
}

fn to_span(micros: u128) -> Span {
    Span(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: u64 = 1_000_000;
    const GIB: u64 = 1 << 30;

    fn always(bits_per_s: u64) -> Uplink {
        Uplink { bits_per_s, from: Span(0), until: Span(u64::MAX) }
    }

    fn work(peers: usize, seed_up: u64, peer_up: u64, down: u64) -> Work {
        Work {
            fresh_bytes: GIB,
            missing: vec![(GIB, down); peers],
            seed: vec![always(seed_up)],
            peers: vec![always(peer_up); peers],
        }
    }

    /// Figures worked out by hand from the paper's formula, for 1 GiB = 8.59 Gbit.
    #[test]
    fn each_term_can_be_the_one_that_binds() {
        let tenths = |work: &Work| kumar_ross(work).0 / 100_000;
        assert_eq!(tenths(&work(30, 100 * MBIT, 1000 * MBIT, 1000 * MBIT)), 858); // F/u_s
        assert_eq!(tenths(&work(30, 100 * MBIT, 1000 * MBIT, 10 * MBIT)), 8589); // F/d_min
        assert_eq!(tenths(&work(30, 100 * MBIT, MBIT, 1000 * MBIT)), 19822); // N*F/(u_s + sum u_i)
    }

    #[test]
    fn nothing_missing_takes_no_time() {
        assert_eq!(kumar_ross(&Work::default()), Span(0));
        assert_eq!(mundinger_weber_weiss(10, 1000, 0, MBIT), Span(0));
    }

    /// The reference swarm: 1,000 parts of 1 MiB to 1,000 peers at 20 Mbit/s are 1,009 rounds of 0.419 s.
    #[test]
    fn the_last_part_still_has_to_double() {
        let rounds = |parts, peers| mundinger_weber_weiss(parts, 1 << 20, peers, 20 * MBIT).0 / 419_430;
        assert_eq!(rounds(1000, 1000), 1009);
        assert_eq!([1, 2, 3, 4, 7, 8].map(|peers| rounds(1, peers)), [1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn an_uplink_carries_nothing_while_it_is_off() {
        let mbit = |from: u64, until: u64| Uplink {
            bits_per_s: MBIT,
            from: Span::from_secs(from),
            until: Span::from_secs(until),
        };
        // Half of 1 MB goes out before the gap, at 1 Mbit/s, and half after it.
        assert_eq!(carried_after(1_000_000, &[mbit(0, 4), mbit(10, 100)]), Span::from_secs(14));
        assert_eq!(carried_after(1_000_000, &[mbit(0, 8)]), Span::from_secs(8));
        assert_eq!(carried_after(1_000_000, &[mbit(0, 4), mbit(2, 4)]), Span(u64::MAX));
        assert_eq!(carried_after(0, &[]), Span(0));
    }
}
