//! What the tree of one release holds of another: the work that needs no network.

use super::release::{Place, Release};

/// A chunk that stands in a tree already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// The chunk, as an index into the new release's chunks.
    pub chunk: u32,
    /// Where the old tree has it.
    pub place: Place,
}

/// The chunks of `new` that the tree of `old` holds, each once, in the order in which they stand in
/// the old tree, so that it is read from one end to the other.
pub fn reuse(old: &Release, new: &Release) -> Vec<Reuse> {
    let mut reuse: Vec<Reuse> = new
        .chunks()
        .iter()
        .zip(0..)
        .filter_map(|(chunk, index)| {
            let place = *old.places(old.index_of(&chunk.id)?).first()?;
            Some(Reuse { chunk: index, place })
        })
        .collect();
    reuse.sort_unstable_by_key(|reuse| reuse.place);
    reuse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::sample::{Sample, any_tree};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_update_that_moves_a_file_and_changes_another_reuses_the_rest() {
        let old = Sample::new().content(b"a", &[1, 2, 3]).content(b"b", &[4]).release();
        let new = Sample::new().content(b"a", &[1, 9, 3]).content(b"c", &[4, 4]).release();
        // In the new release the chunks 1, 9, 3, 4 have the indexes 0 to 3.
        let place = |entry, offset| Place { entry, offset };
        let expected = [(0, place(1, 0)), (2, place(1, 203)), (3, place(2, 0))];
        assert_eq!(reuse(&old, &new), expected.map(|(chunk, place)| Reuse { chunk, place }));
    }

    #[test]
    fn trees_with_nothing_in_common_reuse_nothing() {
        let [old, new] = [1, 2].map(|name| Sample::new().file(b"a", name).release());
        assert_eq!(reuse(&old, &new), []);
    }

    proptest! {
        #[test]
        fn exactly_what_both_have_is_reused_in_order(old in any_tree(), new in any_tree()) {
            let (old, new) = (old.release(), new.release());
            let found = reuse(&old, &new);
            prop_assert!(found.is_sorted_by_key(|reuse| reuse.place));
            let names: BTreeSet<_> = found.iter().map(|reuse| new.chunks()[reuse.chunk as usize].id).collect();
            prop_assert_eq!(names.len(), found.len());
            let held: BTreeSet<_> = old.chunks().iter().map(|chunk| chunk.id).collect();
            let wanted: BTreeSet<_> = new.chunks().iter().map(|chunk| chunk.id).collect();
            prop_assert_eq!(names, &held & &wanted);
            for reuse in found {
                prop_assert!(old.places(old.index_of(&new.chunks()[reuse.chunk as usize].id).unwrap()).contains(&reuse.place));
            }
        }
    }
}
