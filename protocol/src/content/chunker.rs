//! Cuts files into chunks where their content says so (FastCDC, 2020 variant), so that an insertion
//! changes the chunks around it and no others, and equal content in two releases gives equal chunks.
//!
//! Cut points are part of the data format in effect: another library version that cut elsewhere
//! would share nothing with the releases before it. The golden cuts below say no to that.

use super::manifest::ChunkerParameters;
use crate::limits::{CHUNK_BYTES_AVERAGE, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};
use fastcdc::v2020::{AVERAGE_MIN, FastCDC, MAXIMUM_MIN, MINIMUM_MIN};
use std::io::{self, Read};

impl Default for ChunkerParameters {
    /// What a publisher uses.
    fn default() -> Self {
        Self { min_bytes: CHUNK_BYTES_MIN, average_bytes: CHUNK_BYTES_AVERAGE, max_bytes: CHUNK_BYTES_MAX }
    }
}

impl ChunkerParameters {
    /// Whether a chunker can cut so: even sizes, in order, and no chunk beyond [`CHUNK_BYTES_MAX`].
    pub fn are_valid(&self) -> bool {
        let sizes = [self.min_bytes, self.average_bytes, self.max_bytes];
        let least = [MINIMUM_MIN, AVERAGE_MIN, MAXIMUM_MIN];
        sizes.is_sorted()
            && self.max_bytes <= CHUNK_BYTES_MAX
            && sizes.iter().zip(least).all(|(size, least)| size.is_multiple_of(2) && *size as usize >= least)
    }
}

/// Cuts one file after another. Its memory is one buffer of a few largest chunks.
pub struct Chunker {
    parameters: ChunkerParameters,
    buffer: Vec<u8>,
}

impl Chunker {
    /// A chunker that cuts by `parameters`.
    ///
    /// # Panics
    /// If the parameters are not [valid](ChunkerParameters::are_valid).
    pub fn new(parameters: ChunkerParameters) -> Self {
        assert!(parameters.are_valid(), "chunker parameters out of order: {parameters:?}");
        Self { parameters, buffer: vec![0; 4 * parameters.max_bytes as usize] }
    }

    /// The chunks of what `source` reads, in order; each is its bytes, and none is empty.
    pub fn chunks<R: Read>(&mut self, source: R) -> Chunks<'_, R> {
        Chunks { chunker: self, source, start: 0, end: 0, at_end: false }
    }
}

/// The chunks of one source. After an error there are no more.
pub struct Chunks<'a, R> {
    chunker: &'a mut Chunker,
    source: R,
    /// Where the bytes that are read and not yet cut stand in the buffer.
    start: usize,
    end: usize,
    at_end: bool,
}

impl<R: Read> Chunks<'_, R> {
    /// Reads on until a largest chunk is at hand or the source ends.
    fn fill(&mut self) -> io::Result<()> {
        let buffer = &mut self.chunker.buffer;
        if self.end - self.start >= self.chunker.parameters.max_bytes as usize {
            return Ok(());
        }
        buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while !self.at_end && self.end < buffer.len() {
            match self.source.read(&mut buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(read_bytes) => self.end += read_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    (self.at_end, self.end) = (true, self.start);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Iterator for Chunks<'_, R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            return Some(Err(error));
        }
        let ChunkerParameters { min_bytes, average_bytes, max_bytes } = self.chunker.parameters;
        let bytes = &self.chunker.buffer[self.start..self.end];
        let cut = FastCDC::new(bytes, min_bytes as usize, average_bytes as usize, max_bytes as usize).next()?;
        let chunk = bytes[..cut.length].to_vec();
        self.start += cut.length;
        Some(Ok(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Steele, Lea and Flood's SplitMix64, little-endian: a stream that any language makes in three lines.
    fn splitmix64(mut state: u64, bytes: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        let mut stream: Vec<u8> = words.take(bytes.div_ceil(8)).flat_map(u64::to_le_bytes).collect();
        stream.truncate(bytes);
        stream
    }

    fn cut(source: impl Read) -> Vec<Vec<u8>> {
        Chunker::new(ChunkerParameters::default()).chunks(source).map(Result::unwrap).collect()
    }

    fn ends(chunks: &[Vec<u8>]) -> Vec<usize> {
        chunks
            .iter()
            .scan(0, |end, chunk| {
                *end += chunk.len();
                Some(*end)
            })
            .collect()
    }

    /// A source that gives odd little pieces, as a pipe may.
    struct Trickle<'a>(&'a [u8], Rng);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let some = usize::try_from(1 + self.1.below(40_000)).unwrap().min(buffer.len());
            self.0.read(&mut buffer[..some])
        }
    }

    /// The expected ends come from a program of our own in Python that follows the FastCDC papers a
    /// byte at a time (gear table: the first 8 bytes of the MD5 of each byte 64 times over;
    /// 16/64/256 KiB; normalisation level 1, masks 0xd90703537000 and 0xd90f03530000). The crate
    /// fastcdc 5.0.0 agrees. If this fails after an upgrade, do not change it: keep the old version,
    /// or every device fetches everything again.
    #[test]
    fn golden_cuts() {
        let expected = [
            31171, 69978, 198478, 277996, 437005, 482872, 561066, 590547, 614333, 679044, 792243, 911791, 987738,
            1055541, 1184468, 1218984, 1293052, 1384598, 1405346, 1496606, 1564146, 1618354, 1653627, 1734185, 1804264,
            1826185, 1950806, 2000001,
        ];
        assert_eq!(ends(&cut(&splitmix64(7, 2_000_001)[..])), expected);
    }

    #[test]
    fn a_file_without_structure_is_cut_at_the_largest_size() {
        assert_eq!(ends(&cut(&vec![0; 600_000][..])), [262_144, 524_288, 600_000]);
    }

    #[test]
    fn an_empty_file_has_no_chunks_and_a_small_one_has_one() {
        assert!(cut(&b""[..]).is_empty());
        assert_eq!(cut(&b"x"[..]), [b"x"]);
    }

    #[test]
    fn an_insertion_at_the_front_changes_few_chunks() {
        let old = splitmix64(1, 4_000_000);
        let new = [&b"one more line\n"[..], &old].concat();
        let held: BTreeSet<Vec<u8>> = cut(&old[..]).into_iter().collect();
        let missing = cut(&new[..]).into_iter().filter(|chunk| !held.contains(chunk)).count();
        assert!(missing <= 3, "{missing} of {} chunks changed", held.len());
    }

    #[test]
    fn a_failing_disk_is_reported_and_ends_the_file() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad sector"))
            }
        }
        let source = io::Cursor::new(vec![1; 1000]).chain(Failing);
        let mut chunker = Chunker::new(ChunkerParameters::default());
        let mut chunks = chunker.chunks(source);
        assert!(chunks.next().unwrap().is_err());
        assert!(chunks.next().is_none());
    }

    #[test]
    fn parameters_that_no_chunker_can_follow_are_seen() {
        let valid = ChunkerParameters::default();
        assert!(valid.are_valid());
        assert!(!ChunkerParameters { min_bytes: 0, ..valid }.are_valid());
        assert!(!ChunkerParameters { average_bytes: 65_535, ..valid }.are_valid());
        assert!(!ChunkerParameters { max_bytes: CHUNK_BYTES_MAX + 2, ..valid }.are_valid());
        assert!(!ChunkerParameters { min_bytes: CHUNK_BYTES_MAX, ..valid }.are_valid());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn chunks_are_the_file_and_keep_their_bounds(rng_seed: u64, bytes in 0usize..1_500_000, zeros in 0usize..600_000) {
            let mut file = splitmix64(rng_seed, bytes);
            let at = bytes / 2;
            file.splice(at..at, std::iter::repeat_n(0, zeros));
            let chunks = cut(&file[..]);
            prop_assert_eq!(&chunks.concat(), &file);
            let (last, others) = chunks.split_last().map_or((0, &chunks[..0]), |(last, others)| (last.len(), others));
            prop_assert!(last <= CHUNK_BYTES_MAX as usize);
            let bounds = CHUNK_BYTES_MIN as usize..=CHUNK_BYTES_MAX as usize;
            prop_assert!(others.iter().all(|chunk| bounds.contains(&chunk.len())));
            prop_assert_eq!(cut(Trickle(&file, Rng::new(&[0; 32], rng_seed, "trickle"))), chunks);
        }
    }
}
