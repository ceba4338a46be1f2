//! Who may name which path.

use super::metadata::DelegatedRole;
use sha2::{Digest, Sha256};

impl DelegatedRole {
    /// Whether the delegator trusts this role for `path`.
    pub fn may_name(&self, path: &str) -> bool {
        if let Some(patterns) = &self.paths {
            return patterns.iter().any(|pattern| matches(pattern, path));
        }
        let digest = hex::encode(Sha256::digest(path));
        self.path_hash_prefixes.iter().flatten().any(|prefix| digest.starts_with(prefix))
    }
}

/// Whether `path` has the form of `pattern`, where `*` stands for any characters and `?` for one,
/// and neither for a `/`. Takes time of at most the product of the lengths.
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern_names = pattern.split('/');
    let path_names = path.split('/');
    pattern_names.clone().count() == path_names.clone().count()
        && pattern_names.zip(path_names).all(|(pattern, name)| name_matches(pattern, name))
}

fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at_pattern, mut at_name) = (0, 0);
    // Where to go on when the rest does not fit: the last `*`, and the first character it has not eaten.
    let mut retry = None;
    while at_name < name.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                retry = Some((at_pattern, at_name));
                at_pattern += 1;
            }
            Some(&expected) if expected == '?' || expected == name[at_name] => {
                at_pattern += 1;
                at_name += 1;
            }
            _ => {
                let Some((star, eaten_to)) = retry else { return false };
                retry = Some((star, eaten_to + 1));
                at_pattern = star + 1;
                at_name = eaten_to + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_stay_within_a_name() {
        for (pattern, path) in [
            ("os/*", "os/a.manifest"),
            ("os/*", "os/"),
            ("*/*", "os/a"),
            ("foo-?.tgz", "foo-a.tgz"),
            ("a*b*c", "aXbXbXc"),
            ("é?", "éü"),
            ("*", ""),
            ("a[b]", "a[b]"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("os/*", "os/a/b"),
            ("os/*", "os"),
            ("*", "os/a"),
            ("os/*", "apps/a"),
            ("os?a", "os/a"),
            ("foo-?.tgz", "foo-.tgz"),
            ("a*b*c", "aXbX"),
            ("", "a"),
            ("a[b]", "ab"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        assert!(!matches(&"*a".repeat(1000), &"a".repeat(999)));
    }

    #[test]
    fn a_hash_prefix_names_a_share_of_the_paths() {
        // sha256("abc") begins with ba7816bf (FIPS 180-4).
        let role = |prefixes: &[&str]| DelegatedRole {
            name: "bin".into(),
            authority: super::super::metadata::Authority { keyids: vec![], threshold: 1 },
            terminating: false,
            paths: None,
            path_hash_prefixes: Some(prefixes.iter().map(|prefix| (*prefix).to_owned()).collect()),
        };
        assert!(role(&["00", "ba78"]).may_name("abc"));
        assert!(!role(&["00", "ba79"]).may_name("abc"));
        assert!(!role(&[]).may_name("abc"));
    }

    proptest! {
        /// A second, plainly recursive reading of the same rule.
        #[test]
        fn the_matcher_agrees_with_its_definition(pattern in "[ab?*]{0,7}", name in "[ab]{0,7}") {
            fn defined(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), None) => defined(rest, name),
                    (Some((b'*', rest)), Some((_, tail))) => defined(rest, name) || defined(pattern, tail),
                    (Some((p, rest)), Some((n, tail))) => (*p == b'?' || p == n) && defined(rest, tail),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &name), defined(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
