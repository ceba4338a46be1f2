//! Where our verifier and `sigstore-tuf` 0.15 judge otherwise, and why ours is right or does no harm. A run ends with a
//! list of those that did not show: what stands there after a long one was mended, and goes from here.

use super::Difference;
use protocol::trust::{Freshness, Role};

/// A kind of difference.
pub struct Known {
    /// What it is about, and why we judge as we do.
    pub name: &'static str,
    /// Whether it is this one.
    pub explains: fn(&Difference) -> bool,
}

impl Difference<'_> {
    /// Whether we refused, for a reason with these words, what they did not.
    fn we_refused(&self, words: &str) -> bool {
        let refused = match self.path {
            Some(path) => self.ours.found[path].as_ref().err(),
            None => self.ours.refused.as_ref(),
        };
        refused.is_some_and(|(_, why)| why.contains(words))
    }

    /// Whether something of this kind was done to the repository.
    fn was_done(&self, words: &str) -> bool {
        self.what.iter().any(|what| what.contains(words))
    }

    /// Whether a file says another version than it should, or is named by one.
    fn version_was_set(&self) -> bool {
        self.was_done("version = ") || self.was_done("is named as version")
    }

    /// Whether they refused, for a reason with these words, what we did not.
    fn they_refused(&self, words: &str) -> bool {
        let refused = match self.path {
            Some(path) => self.theirs.found[path].as_ref().err(),
            None => self.theirs.refused.as_ref(),
        };
        refused.is_some_and(|(_, why)| format!("{why:?} {why}").contains(words))
    }
}

/// A difference that shows in the words of our refusal.
macro_rules! we_refuse {
    ($words:literal, $name:literal) => {
        Known { name: $name, explains: |difference| difference.we_refused($words) }
    };
}

/// All that are known.
pub const KNOWN: &[Known] = &[
    // Who has signed.
    Known {
        name: "one key under two ids: we count keys, they count ids",
        explains: |difference| {
            difference.was_done("one key under two ids") && difference.we_refused("1 of the keys that may sign")
        },
    },
    Known {
        name: "revoked keys of timestamp or snapshot: we forget both files (5.3.11), they keep what is still signed",
        explains: |difference| {
            let [ours, theirs] = [difference.ours.trusted.1, difference.theirs.trusted.1];
            let floor = ["Rollback", "snapshot removes"].iter().any(|words| difference.they_refused(words));
            difference.keys_revoked && (floor || difference.we_refused("missing") || ours < theirs)
        },
    },
    Known {
        name: "a key type that is not the scheme's: we look at both, they look at the scheme",
        explains: |difference| {
            let unsigned = ["of the keys that may sign", "is not over these bytes"];
            difference.was_done("/keytype") && unsigned.iter().any(|words| difference.we_refused(words))
        },
    },
    Known {
        name: "a blank after a key: they cut it off",
        explains: |difference| {
            difference.was_done("/keyval/public") && difference.we_refused("of the keys that may sign")
        },
    },
    // What is remembered.
    Known {
        name: "delegated roles, which they ask for anew at each refresh, and we only if the snapshot names others",
        explains: |difference| {
            let gone = ["not found", "does not match snapshot pin", "IntegrityMismatch", "Malformed"];
            difference.step > 0
                && difference.path.is_some_and(|path| difference.ours.found[path].is_ok())
                && gone.iter().any(|words| difference.they_refused(words))
        },
    },
    Known {
        name: "a version that they have already, with another hash: they keep what they have, we look for the other",
        explains: |difference| {
            let other = ["is a file which says version", "are not those of", "was offered where version", "missing"];
            let of_the_other = ["is not signed as it must be", " back from version ", "cannot be read"];
            let kept_it = difference.version_was_set() && difference.theirs.refused.is_none();
            let refused = |words: &[&str]| words.iter().any(|words| difference.we_refused(words));
            difference.step > 0
                && difference.path.is_none()
                && difference.ours.trusted == difference.theirs.trusted
                && (refused(&other) || (kept_it && refused(&of_the_other)))
        },
    },
    Known {
        name: "a file that is named as before: they ask for it anew, and it is another or gone, and we have it",
        explains: |difference| {
            let gone = ["not found", "does not match snapshot pin", "IntegrityMismatch"];
            difference.step > 0
                && difference.path.is_none()
                && difference.ours.refused.is_none()
                && difference.ours.trusted == difference.theirs.trusted
                && difference.version_was_set()
                && gone.iter().any(|words| difference.they_refused(words))
        },
    },
    Known {
        name: "two files of one version, and no hash that says which: we keep the first, they take the newest",
        explains: |difference| {
            let found_both = |path| difference.ours.target(path).is_some() && difference.theirs.target(path).is_some();
            difference.step > 0 && difference.path.is_some_and(found_both) && difference.was_done("version = ")
        },
    },
    Known {
        name: "a new root after a snapshot was refused: they forget the snapshot before it, and with it the floor",
        explains: |difference| {
            let back = difference.we_refused(" takes ") && difference.we_refused(" back from version ");
            difference.root_changed && difference.was_refused && back
        },
    },
    Known {
        name: "a root that was there before, in the place of the next: as good as none to us, they refuse the refresh",
        explains: |difference| {
            let same_root = difference.ours.trusted.0 == difference.theirs.trusted.0;
            same_root && difference.was_done(".root.json is ") && difference.they_refused("BadRootVersion")
        },
    },
    // Where a search leads.
    Known {
        name: "a delegated role that the snapshot does not name: the search ends, and with them it goes on",
        explains: |difference| difference.path.is_some() && difference.we_refused("broken"),
    },
    Known {
        name: "a delegated role whose file cannot be followed: to us all of it says nothing, they follow the rest of it",
        explains: |difference| {
            // What the search then comes to elsewhere may be an error too.
            difference.is_silent && difference.path.is_some()
        },
    },
    Known {
        name: "delegations beneath the 33rd role of a set: a bound, which they apply to each search alone",
        explains: |difference| {
            let unreached = ["is no role of the newest snapshot", "metadata that tells whether to believe it"];
            difference.was_done("others that name everything")
                && unreached.iter().any(|words| difference.we_refused(words))
        },
    },
    Known {
        name: "brackets in a pattern: to us they are themselves, to them a class, or an error that ends the search",
        explains: |difference| {
            let error = difference.they_refused("invalid delegation path pattern");
            difference.path.is_some() && (error || difference.was_done("[ab]") || difference.was_done("[!s]"))
        },
    },
    // How old it is.
    Known {
        name: "expired: they refuse the file, and we take it, and call the set stale",
        explains: |difference| {
            difference.they_refused("Expired") && !matches!(difference.freshness, Some(Freshness::Fresh { .. }))
        },
    },
    Known {
        name: "a file that expires this very second: expired by the specification, not by them",
        explains: |difference| {
            let now = matches!(difference.freshness, Some(Freshness::Stale { expired_s: 0, .. }));
            now && difference.path.is_none() && difference.was_done("2026-12-01T00:00:00Z")
        },
    },
    Known {
        name: "a delegated role that expired: our set is as old as its oldest file, they look at what they search",
        explains: |difference| {
            let role = |freshness: &Freshness| matches!(freshness, Freshness::Stale { role: Role::Delegated(_), .. });
            difference.path.is_none() && difference.freshness.as_ref().is_some_and(role)
        },
    },
    Known {
        name: "signed after now: our field x-signed-at, which they skip, says that the clock is wrong",
        explains: |difference| {
            let unverified = matches!(difference.freshness, Some(Freshness::TimeUnverified(_)));
            unverified && difference.path.is_none() && difference.theirs.refused.is_none()
        },
    },
    // How a text is read.
    we_refuse!("occurs twice", "a key twice in one object: readers differ in which they take"),
    we_refuse!("32 levels", "more than 32 levels: they stop at 128"),
    we_refuse!("invalid type: floating point", "a float beside what is signed: they look at it only in what is signed"),
    // What a file may say.
    Known {
        name: "x-signed-at that is no date: a field of ours, which they skip",
        explains: |difference| difference.was_done("/x-signed-at") && difference.we_refused("not TUF metadata"),
    },
    Known {
        name: "the last day of the year 9999, which their calendar does not have",
        explains: |difference| {
            difference.they_refused("not in the required range") && difference.was_done("9999-12-31")
        },
    },
    we_refuse!("versions count from 1", "version 0: there is none, and a floor of 0 is no floor"),
    we_refuse!("is not a date of the form", "a date in another spelling than TUF's: they take all of RFC 3339"),
    we_refuse!(
        "one of the four top-level roles is missing",
        "a root that names no keys for a role: they find out later"
    ),
    we_refuse!("a role lists one key id twice", "a key id twice in a role: it cannot be meant"),
    we_refuse!("two signatures by one key id", "two signatures by one key id: they look only at keys that may sign"),
    we_refuse!("more signatures than any lawful", "more than 64 signatures: a bound"),
    we_refuse!("has the threshold 0", "threshold 0 of a role that is not asked: they refuse when they ask it"),
    we_refuse!("it names no snapshot.json", "a timestamp without a snapshot: they find out later"),
    we_refuse!("it names no targets.json", "a snapshot without targets: they find out later"),
    we_refuse!("no proper SHA-256 or SHA-512", "a hash that is none: they find out when the file comes"),
    we_refuse!("more delegations than any lawful", "more than 256 delegations in a file: a bound"),
    we_refuse!("delegates to one role twice", "one role twice in a file: which keys are its own?"),
    we_refuse!("needs either paths or", "both paths and hash prefixes, or neither: the specification wants one"),
    we_refuse!("succinct_roles", "succinct_roles, which neither follows: they pass over it, and its targets"),
    we_refuse!("cannot name a delegated role", "a delegated role that is called like a top-level one, or not at all"),
    we_refuse!("missing field `terminating`", "a delegation that does not say whether it ends a search"),
];
