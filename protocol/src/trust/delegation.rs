//! Who may name which path.

use super::metadata::DelegatedRole;
use crate::limits::SEARCH_STEPS_MAX;
use sha2::{Digest, Sha256};

/// What it costs to begin with a pattern, in steps: as long as some characters take.
const STEPS_PER_PATTERN: u32 = 2;
/// Characters that stand at the beginning of both, and are no wildcards, are held against each other quickly.
const BYTES_PER_STEP: usize = 8;

/// A path that is searched for, in so many steps and no more: whoever delegates chooses the patterns, and a pattern can
/// be made to take long.
pub struct Sought<'a> {
    path: &'a str,
    /// Hexadecimal SHA-256, once somebody delegates by that.
    digest: Option<String>,
    steps_left: u32,
}

impl<'a> Sought<'a> {
    /// The path, before anybody is asked.
    pub fn new(path: &'a str) -> Self {
        Sought { path, digest: None, steps_left: SEARCH_STEPS_MAX }
    }

    /// Whether it has taken too many steps to go on.
    pub fn is_given_up(&self) -> bool {
        self.steps_left == 0
    }

    fn step(&mut self, steps: u32) -> bool {
        self.steps_left = self.steps_left.saturating_sub(steps);
        !self.is_given_up()
    }

    /// Whether the path has the form of `pattern`, where `*` stands for any characters and `?` for one, and neither for
    /// a `/`.
    fn fits(&mut self, pattern: &str) -> bool {
        let (pattern, path) = (pattern.as_bytes(), self.path.as_bytes());
        let literal = |(of_pattern, of_path): &(&u8, &u8)| of_pattern == of_path && !b"*?".contains(of_pattern);
        let same = pattern.iter().zip(path).take_while(literal).count();
        self.step(STEPS_PER_PATTERN + u32::try_from(same / BYTES_PER_STEP).unwrap_or(u32::MAX));
        let (mut at_pattern, mut at_path) = (same, same);
        // Where to go on when the rest does not fit: behind the last `*`, and the first character it has not eaten.
        let mut retry = None;
        while self.step(1) {
            match (pattern.get(at_pattern), path.get(at_path)) {
                (None, None) => return true,
                (Some(b'*'), _) => {
                    at_pattern += 1;
                    retry = Some((at_pattern, at_path));
                }
                (Some(b'?'), Some(first)) if *first != b'/' => {
                    at_pattern += 1;
                    at_path += character_bytes(*first);
                }
                (Some(expected), Some(found)) if expected == found => {
                    retry = retry.filter(|_| *found != b'/'); // No `*` eats its way into the next name.
                    at_pattern += 1;
                    at_path += 1;
                }
                _ => {
                    let Some((behind, eaten_to)) = retry else { return false };
                    let Some(eaten) = path.get(eaten_to).filter(|eaten| **eaten != b'/') else { return false };
                    (at_pattern, at_path) = (behind, eaten_to + character_bytes(*eaten));
                    retry = Some((at_pattern, at_path));
                }
            }
        }
        false
    }

    fn begins_with(&mut self, prefix: &str) -> bool {
        let path = self.path;
        self.step(1) && self.digest.get_or_insert_with(|| hex::encode(Sha256::digest(path))).starts_with(prefix)
    }
}

impl DelegatedRole {
    /// Whether the delegator trusts this role for the path.
    pub fn may_name(&self, path: &mut Sought) -> bool {
        let patterns = self.paths.iter().flatten();
        let prefixes = self.path_hash_prefixes.iter().flatten();
        path.step(1)
            && (patterns.into_iter().any(|pattern| path.fits(pattern))
                || prefixes.into_iter().any(|prefix| path.begins_with(prefix)))
    }
}

/// The length of a character of UTF-8 that begins so.
fn character_bytes(first: u8) -> usize {
    (first.leading_ones() as usize).max(1)
}

/// Whether `path` has the form of `pattern`.
pub fn matches(pattern: &str, path: &str) -> bool {
    Sought::new(path).fits(pattern)
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
            ("*??", "xü€"),
            ("*€", "ü€"),
            ("a*/b*", "a*/b"),
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
            ("??", "€"),
            ("*??", "€"),
            ("a?", "a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        assert!(!matches(&"*a".repeat(1000), &"a".repeat(999)));
    }

    #[test]
    fn patterns_that_take_long_are_given_up() {
        let role = |patterns: Vec<String>, prefixes: Option<Vec<String>>| DelegatedRole {
            name: "os".into(),
            authority: super::super::metadata::Authority { keyids: vec![], threshold: 1 },
            terminating: false,
            paths: Some(patterns).filter(|_| prefixes.is_none()),
            path_hash_prefixes: prefixes,
        };
        let asked = |role: DelegatedRole| {
            let mut sought = Sought::new("os/a");
            (role.may_name(&mut sought), sought.is_given_up())
        };
        // A delegation takes 1 step, a prefix 1, and a pattern 3, if it fails at once or has no wildcards.
        let vain = |steps: usize| vec!["x".to_owned(); steps / 3];
        let with = |mut patterns: Vec<String>, last: &str| {
            patterns.push(last.to_owned());
            patterns
        };
        let steps = SEARCH_STEPS_MAX as usize;
        assert_eq!(asked(role(with(vain(steps - 16), "os/a"), None)), (true, false));
        assert_eq!(asked(role(vain(2 * steps), None)), (false, true));
        assert_eq!(asked(role(with(vain(2 * steps), "os/a"), None)), (false, true));
        let long = "o".repeat(steps);
        let mut sought = Sought::new(&long);
        assert!(!sought.fits("*x") && sought.is_given_up());
        assert_eq!(asked(role(vec![], Some(vec![String::new()]))), (true, false), "every digest begins with nothing");
        let bins = |count: usize| role(vec![], Some(with(vec!["x".to_owned(); count], "")));
        assert_eq!(asked(bins(steps - 6)), (true, false));
        assert_eq!(asked(bins(steps)), (false, true));
        // Every delegation that is asked has to do with what is left.
        let mut sought = Sought::new("os/a");
        let other = role(vec!["x".to_owned()], None);
        let asked = (0..steps).take_while(|_| !other.may_name(&mut sought) && !sought.is_given_up());
        assert_eq!(asked.count(), (steps - 1) / 4);
        let long = "a".repeat(800);
        let mut sought = Sought::new(&long);
        assert!(!sought.fits(&format!("{}b", &long[1..])));
        assert_eq!(SEARCH_STEPS_MAX - sought.steps_left, 2 + 799 / 8 + 1);
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
        let may_name = |prefixes: &[&str]| role(prefixes).may_name(&mut Sought::new("abc"));
        assert!(may_name(&["00", "ba78"]));
        assert!(!may_name(&["00", "ba79"]));
        assert!(!may_name(&[]));
    }

    proptest! {
        /// A second, plainly recursive reading of the same rule.
        #[test]
        fn the_matcher_agrees_with_its_definition(pattern in "[ab/?*]{0,7}", name in "[ab/é]{0,7}") {
            fn defined(pattern: &[char], name: &[char]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some(('*', rest)), None | Some(('/', _))) => defined(rest, name),
                    (Some(('*', rest)), Some((_, tail))) => defined(rest, name) || defined(pattern, tail),
                    (Some(('?', _)), Some(('/', _))) => false,
                    (Some((p, rest)), Some((n, tail))) => (*p == '?' || p == n) && defined(rest, tail),
                    _ => false,
                }
            }
            let [pattern_chars, name_chars] = [&pattern, &name].map(|text| text.chars().collect::<Vec<_>>());
            prop_assert_eq!(matches(&pattern, &name), defined(&pattern_chars, &name_chars));
        }
    }
}
