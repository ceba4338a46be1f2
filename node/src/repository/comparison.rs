//! What a release changes for those who have the one before: told to the publisher before it is signed.

use protocol::content::manifest::{Entry, Kind};
use std::collections::BTreeMap;

/// A release beside the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Paths that both have, with other content, kind or attributes.
    pub changed: Paths,
    /// Paths that only the newer one has.
    pub appeared: Paths,
    /// Paths that only the older one has.
    pub vanished: Paths,
}

/// Some paths of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Ascending.
    pub paths: Vec<Vec<u8>>,
    /// What their files have together, in bytes.
    pub bytes: u64,
}

impl Comparison {
    /// What `newer` changes of `older`, both as their manifests list them.
    pub fn of(older: &[Entry], newer: &[Entry]) -> Self {
        let mut gone: BTreeMap<&[u8], &Entry> = older.iter().map(|entry| (&*entry.path, entry)).collect();
        let mut comparison = Self::default();
        for entry in newer {
            match gone.remove(&*entry.path) {
                Some(before) if before == entry => {}
                Some(_) => comparison.changed.add(entry),
                None => comparison.appeared.add(entry),
            }
        }
        gone.into_values().for_each(|entry| comparison.vanished.add(entry));
        comparison
    }
}

impl Paths {
    fn add(&mut self, entry: &Entry) {
        self.paths.push(entry.path.clone());
        if let Kind::File { bytes, .. } = entry.kind {
            self.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::content::manifest::Attributes;

    fn tree(entries: &[(&str, u64, u8)]) -> Vec<Entry> {
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0, xattrs: BTreeMap::new() };
        let entry = |(path, bytes, content): &(&str, u64, u8)| Entry {
            path: path.as_bytes().to_vec(),
            kind: Kind::File { bytes: *bytes, blake3: [*content; 32] },
            attributes: Some(attributes.clone()),
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn what_changed_appeared_and_vanished_is_told_with_its_bytes() {
        let older = tree(&[("a", 10, 1), ("b", 20, 2), ("c", 30, 3)]);
        let newer = tree(&[("a", 10, 1), ("b", 25, 9), ("d", 40, 3), ("e", 50, 5)]);
        let Comparison { changed, appeared, vanished } = Comparison::of(&older, &newer);
        let paths =
            |names: &[&str], bytes| Paths { paths: names.iter().map(|it| it.as_bytes().to_vec()).collect(), bytes };
        assert_eq!(changed, paths(&["b"], 25));
        assert_eq!(appeared, paths(&["d", "e"], 90));
        assert_eq!(vanished, paths(&["c"], 30));
        assert_eq!(Comparison::of(&newer, &newer), Comparison::default());
    }

    #[test]
    fn another_owner_is_a_change() {
        let older = tree(&[("a", 10, 1)]);
        let mut newer = older.clone();
        newer[0].attributes.as_mut().unwrap().uid = 7;
        assert_eq!(Comparison::of(&older, &newer).changed.bytes, 10);
    }
}
