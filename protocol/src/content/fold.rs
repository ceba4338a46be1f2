//! Paths that a file system which does not tell upper from lower case would take for one. Whoever
//! lays a release out asks only where the target folds; elsewhere such trees are lawful (Linux's own
//! sources have some).
//!
//! Folding is Unicode's lower case of each path. File systems differ in the rarest letters, and some
//! also join composed and decomposed accents, which this does not see.

use super::manifest::Entry;

/// Pairs of indexes of entries whose paths differ in case only, each with the one that folds alike
/// before it, in the order of the folded paths.
pub fn collisions(entries: &[Entry]) -> Vec<(usize, usize)> {
    let mut folded: Vec<(Vec<u8>, usize)> =
        entries.iter().enumerate().map(|(at, entry)| (fold(&entry.path), at)).collect();
    folded.sort_unstable();
    folded.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| (pair[0].1, pair[1].1)).collect()
}

fn fold(path: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(path) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => path.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::sample::Sample;

    fn collisions_of(paths: &[&str]) -> Vec<(usize, usize)> {
        let tree = paths.iter().fold(Sample::new(), |tree, path| tree.file(path.as_bytes(), 1));
        collisions(&tree.manifest().entries)
    }

    #[test]
    fn names_that_differ_in_case_only_collide() {
        // Entries: root, README, Readme, dir, dir/empty, readme.
        assert_eq!(collisions_of(&["README", "Readme", "readme"]), [(1, 2), (2, 5)]);
        assert_eq!(collisions_of(&["ÉCOLE", "école"]).len(), 1);
    }

    #[test]
    fn other_names_do_not_collide() {
        assert_eq!(collisions_of(&["a", "b", "a-b", "dir/a"]), []);
    }
}
