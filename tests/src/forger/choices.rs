//! Where decisions come from.

use protocol::rng::Rng;

/// A stream of decisions: drawn from an rng_seed, or read off a fuzzer's bytes. Both lead through the same code, so that
/// what a fuzzer finds is within reach of a seeded run.
pub enum Choices<'a> {
    /// Drawn.
    Drawn(Box<Rng>),
    /// Read; once they are used up, the first of every list is chosen.
    Given(&'a [u8]),
}

impl Choices<'_> {
    /// The decisions of one case of a run.
    pub fn drawn(rng_seed: u64, case: u64) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&rng_seed.to_le_bytes());
        Choices::Drawn(Box::new(Rng::new(&seed, case, "forger")))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        match self {
            Choices::Drawn(rng) => usize::try_from(rng.below(bound as u64)).unwrap_or(0),
            Choices::Given(bytes) => {
                let digits = if bound <= 256 { 1 } else { 2 };
                let (now, later) = bytes.split_at(digits.min(bytes.len()));
                *bytes = later;
                now.iter().fold(0, |number, byte| number * 256 + usize::from(*byte)) % bound
            }
        }
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 1
    }

    /// One of a list, which is not empty.
    pub fn pick<'b, T>(&mut self, list: &'b [T]) -> &'b T {
        &list[self.below(list.len())]
    }
}
