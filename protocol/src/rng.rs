//! Randomness that is a function of its inputs: one independent stream for each
//! (rng_seed, entity, purpose), so that adding a node or a probe never shifts another's draws.

/// A deterministic stream of random numbers: BLAKE3 in its extendable-output mode, keyed by the
/// rng_seed. Not for keys; real nodes seed it from the operating system.
pub struct Rng {
    stream: blake3::OutputReader,
    /// A block of the stream, of which `used` bytes are drawn: the hash makes no shorter piece for less work.
    block: [u8; 64],
    used: usize,
}

impl Rng {
    /// The stream of `entity` for `purpose` under `rng_seed`.
    pub fn new(rng_seed: &[u8; 32], entity: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(rng_seed);
        hasher.update(&entity.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self { stream: hasher.finalize_xof(), block: [0; 64], used: 64 }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        if self.used == self.block.len() {
            self.stream.fill(&mut self.block);
            self.used = 0;
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.block[self.used..self.used + 8]);
        self.used += 8;
        u64::from_le_bytes(bytes)
    }

    /// Puts a list in an order drawn at random.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, usize::try_from(self.below(last as u64 + 1)).unwrap_or(0));
        }
    }

    /// A number below `bound` (0 if `bound` is 0), by multiply-shift; the bias is below 2^-32 for
    /// any bound that fits a `u32`.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_independent() {
        let draw = |entity, purpose| Rng::new(&[7; 32], entity, purpose).next_u64();
        assert_eq!(draw(1, "pick"), draw(1, "pick"));
        assert_ne!(draw(1, "pick"), draw(2, "pick"));
        assert_ne!(draw(1, "pick"), draw(1, "jitter"));
    }

    #[test]
    fn a_bounded_draw_stays_below_its_bound() {
        let mut rng = Rng::new(&[0; 32], 0, "test");
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.below(0), 0);
    }
}
