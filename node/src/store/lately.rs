//! Chunks that were lent lately, in the form in which they go out. A device that got a chunk first gives it to most
//! of the class within seconds, and what was read, checked and compressed for the first need not be for the others.

use protocol::content::encoding::Encoding;
use protocol::id::ManifestId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Bytes that are kept: of what a class passes on, nearly all is asked for again before so much else was.
const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What a chunk takes beside its own bytes, about.
const ENTRY_BYTES: usize = 128;

/// A chunk as it goes out.
type Encoded = (Encoding, Arc<Vec<u8>>);

/// The chunks lent last, within a bound of bytes.
#[derive(Debug, Default)]
pub struct Lately {
    chunks: BTreeMap<(ManifestId, u32), Encoded>,
    /// The same, the longest kept first.
    order: VecDeque<(ManifestId, u32)>,
    bytes: usize,
}

impl Lately {
    /// A chunk as it went out before, or else as `read` from the disk.
    pub fn lend(
        &mut self,
        release: ManifestId,
        index: u32,
        read: impl FnOnce() -> Option<(Encoding, Vec<u8>)>,
    ) -> Option<Encoded> {
        if let Some(known) = self.chunks.get(&(release, index)) {
            return Some(known.clone());
        }
        let (encoding, mut payload) = read()?;
        payload.shrink_to_fit(); // It may have been made with room for the plain chunk.
        let payload = Arc::new(payload);
        self.bytes += payload.len() + ENTRY_BYTES;
        self.order.push_back((release, index));
        self.chunks.insert((release, index), (encoding, payload.clone()));
        while self.bytes > KEPT_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.drop_chunk(oldest);
        }
        Some((encoding, payload))
    }

    /// Nothing of this release is lent any more.
    pub fn forget(&mut self, release: ManifestId) {
        let (gone, kept): (VecDeque<_>, _) = self.order.drain(..).partition(|(of, _)| *of == release);
        self.order = kept;
        gone.into_iter().for_each(|chunk| self.drop_chunk(chunk));
    }

    fn drop_chunk(&mut self, chunk: (ManifestId, u32)) {
        if let Some((_, payload)) = self.chunks.remove(&chunk) {
            self.bytes -= payload.len() + ENTRY_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: ManifestId = ManifestId([7; 32]);

    /// Whether the chunk is still here.
    fn is_kept(lately: &mut Lately, release: ManifestId, index: u32) -> bool {
        lately.lend(release, index, || None).is_some()
    }

    #[test]
    fn more_is_lent_than_is_kept() {
        let mut lately = Lately::default();
        for index in 0..6 {
            assert!(
                lately
                    .lend(RELEASE, index, || Some((Encoding::Raw, vec![1; KEPT_BYTES_MAX / 4 - ENTRY_BYTES])))
                    .is_some()
            );
        }
        let kept: Vec<u32> = (0..6).filter(|index| is_kept(&mut lately, RELEASE, *index)).collect();
        assert_eq!((kept, lately.bytes), (vec![2, 3, 4, 5], KEPT_BYTES_MAX));
    }

    #[test]
    fn a_release_is_forgotten_and_another_is_not() {
        let mut lately = Lately::default();
        let other = ManifestId([8; 32]);
        for release in [RELEASE, other] {
            assert!(lately.lend(release, 3, || Some((Encoding::Zstd, vec![1; 100]))).is_some());
        }
        lately.forget(RELEASE);
        assert_eq!([RELEASE, other].map(|release| is_kept(&mut lately, release, 3)), [false, true]);
        assert_eq!(lately.bytes, 100 + ENTRY_BYTES);
    }
}
