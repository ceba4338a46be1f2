//! How fast a distribution could be at best: the yardstick beside every measured time.
//!
//! R. Kumar and K. W. Ross, "Peer-assisted file distribution: the minimum distribution time", IEEE HotWeb
//! 2006. For a fluid file of F bits, a seed with upload rate u_s, and peers with upload rates u_i and download
//! rates d_i, no schedule is faster than max{F/u_s, F/d_min, N*F/(u_s + sum u_i)}, and one attains it.
//! With bytes that some peers have already, each of the three still holds, with the bytes that it is about.

use protocol::time::Span;

/// What a lower bound follows from.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Bytes that only the seed has in the beginning.
    pub fresh_bytes: u64,
    /// For each peer: the bytes it is missing, and its download rate in bits a second.
    pub missing: Vec<(u64, u64)>,
    /// The seed's upload rate in bits a second.
    pub seed_up_bits_per_s: u64,
    /// The upload rates of all peers together in bits a second, finished or not.
    pub peers_up_bits_per_s: u64,
}

/// The least time in which every peer can have what it misses, rounded down.
pub fn kumar_ross(work: &Work) -> Span {
    let spread = fluid(work.fresh_bytes, work.seed_up_bits_per_s);
    let slowest = work.missing.iter().map(|(bytes, down)| fluid(*bytes, *down)).max().unwrap_or_default();
    let total = work.missing.iter().map(|(bytes, _)| bytes).sum();
    let together = fluid(total, work.seed_up_bits_per_s.saturating_add(work.peers_up_bits_per_s));
    spread.max(slowest).max(together)
}

fn fluid(bytes: u64, bits_per_s: u64) -> Span {
    let micros = u128::from(bytes) * 8_000_000 / u128::from(bits_per_s.max(1));
    Span(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: u64 = 1_000_000;
    const GIB: u64 = 1 << 30;

    fn work(peers: usize, seed_up: u64, peer_up: u64, down: u64) -> Work {
        Work {
            fresh_bytes: GIB,
            missing: vec![(GIB, down); peers],
            seed_up_bits_per_s: seed_up,
            peers_up_bits_per_s: peer_up * peers as u64,
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
    }
}
