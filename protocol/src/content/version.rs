//! Versions of releases: PEP 440, validated whole and ordered as it says.
//!
//! Two spellings can be the same version (`1.0` and `1.0.0`, `1.0-1` and `1.0.post1`); equality and
//! order see the version, [`Display`](fmt::Display) writes its one normal spelling. A local part
//! (`1.0+school.2`) orders above the same version without one; an epoch (`1!0.1`) above all that
//! have a lower one.

use crate::limits::VERSION_BYTES_MAX;
use pep440_rs::PrereleaseKind;
use std::fmt;
use std::str::FromStr;

/// The version of a release within its channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pep440_rs::Version);

/// How near a version is to being final, as its pre-release part says. A development release (`1.0.dev3`) is as far from
/// it as can be, and so counts among the alphas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maturity {
    /// `1.0a1`, `1.0.dev3`
    Alpha,
    /// `1.0b1`
    Beta,
    /// `1.0rc1`
    Rc,
    /// `1.0`, `1.0.post1`
    Stable,
}

/// A text names no maturity.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no maturity; say stable, rc, beta or alpha")]
pub struct MaturityError(String);

/// Why a text is no version.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// Longer than [`VERSION_BYTES_MAX`], as given or in its normal spelling.
    #[error("the version is longer than {VERSION_BYTES_MAX} bytes; choose a shorter one")]
    TooLong,
    /// Not PEP 440 from the first byte to the last.
    #[error("{0:?} is not a version; versions look like 1.0, 2026.4.1, 1.0rc2 or 1.0+local.1 (PEP 440)")]
    Malformed(String),
    /// A version, in another spelling than its normal one.
    #[error("the version {given:?} is not in its normal spelling; write it {normal:?}")]
    NotNormal {
        /// The text.
        given: String,
        /// What it should have been.
        normal: String,
    },
}

impl Version {
    /// The version that `text` spells in its normal form, as manifests and target paths must.
    pub fn from_normal(text: &str) -> Result<Self, VersionError> {
        let version: Self = text.parse()?;
        let normal = version.to_string();
        if normal == text { Ok(version) } else { Err(VersionError::NotNormal { given: text.to_owned(), normal }) }
    }

    /// How near it is to being final.
    pub fn maturity(&self) -> Maturity {
        match self.0.pre().map(|pre| pre.kind) {
            _ if self.0.is_dev() => Maturity::Alpha,
            Some(PrereleaseKind::Alpha) => Maturity::Alpha,
            Some(PrereleaseKind::Beta) => Maturity::Beta,
            Some(PrereleaseKind::Rc) => Maturity::Rc,
            None => Maturity::Stable,
        }
    }
}

impl FromStr for Maturity {
    type Err = MaturityError;

    fn from_str(text: &str) -> Result<Self, MaturityError> {
        let named = [Self::Alpha, Self::Beta, Self::Rc, Self::Stable].into_iter().find(|it| it.to_string() == text);
        named.ok_or_else(|| MaturityError(text.to_owned()))
    }
}

impl fmt::Display for Maturity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
            Self::Rc => "rc",
            Self::Stable => "stable",
        })
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text.len() > VERSION_BYTES_MAX {
            return Err(VersionError::TooLong);
        }
        // The library trims white space; a version is compared and printed as one word, so we do not.
        let parsed = if text.contains(|c: char| c.is_whitespace()) { None } else { text.parse().ok() };
        let version = Self(parsed.ok_or_else(|| VersionError::Malformed(text.to_owned()))?);
        if version.to_string().len() > VERSION_BYTES_MAX { Err(VersionError::TooLong) } else { Ok(version) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn order_is_that_of_pep_440() {
        // The examples of PEP 440 ("Summary of permitted suffixes and relative ordering"), and the
        // order that OLPC's updater relied on.
        let ascending = [
            "0.1a",
            "0.1b",
            "0.1rc",
            "0.1rc1",
            "0.1",
            "1.dev0",
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0+abc.5",
            "1.0+abc.7",
            "1.0+5",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.0.15",
            "1.1.dev1",
            "2013.10",
            "1!0.1",
            "1!1.0",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn spellings_of_one_version_are_equal() {
        // From PEP 440, "Normalization".
        for (spelling, normal) in [
            ("1.1RC1", "1.1rc1"),
            ("00", "0"),
            ("09000", "9000"),
            ("1.1-a1", "1.1a1"),
            ("1.1.a.1", "1.1a1"),
            ("1.1alpha1", "1.1a1"),
            ("1.1c3", "1.1rc3"),
            ("1.2a", "1.2a0"),
            ("1.2-post2", "1.2.post2"),
            ("1.0-r4", "1.0.post4"),
            ("1.0-1", "1.0.post1"),
            ("1.2-dev2", "1.2.dev2"),
            ("1.0+ubuntu-1", "1.0+ubuntu.1"),
            ("v1.0", "1.0"),
        ] {
            assert_eq!(version(spelling).to_string(), normal);
            assert!(Version::from_normal(spelling).is_err(), "{spelling}");
            assert!(Version::from_normal(normal).is_ok(), "{normal}");
        }
        assert_eq!(version("1.0"), version("1.0.0"));
    }

    #[test]
    fn maturity_is_what_the_pre_release_part_says() {
        // PEP 440's own examples of pre-releases, post-releases and development releases.
        for (maturity, versions) in [
            (Maturity::Alpha, &["1.0a1", "1.0.dev1", "1.0a1.dev2", "1.0b2.dev3", "1.0rc1.dev4", "1.0a2.post3"][..]),
            (Maturity::Beta, &["1.0b1", "1.0b2.post345"]),
            (Maturity::Rc, &["1.0rc1", "1!2.0rc1", "1.0rc1+school.2"]),
            (Maturity::Stable, &["1.0", "1.0.post1", "1.0+local.1", "2026.11"]),
        ] {
            assert!(versions.iter().all(|text| version(text).maturity() == maturity), "{maturity}");
            assert_eq!(maturity.to_string().parse::<Maturity>().unwrap(), maturity);
        }
        assert!(["", "Stable", "final"].iter().all(|text| text.parse::<Maturity>().is_err()));
    }

    #[test]
    fn what_is_not_a_version_to_its_last_byte_is_refused() {
        for text in [
            "",
            " ",
            "1.0.bogus",
            "1 0",
            " 1.0",
            "1.0 ",
            "1.0\n",
            "1.*",
            "v",
            "1..0",
            "1.0+",
            "1!",
            "../1",
            "1.0/2",
            "१",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
        assert!(matches!("1".repeat(65).parse::<Version>(), Err(VersionError::TooLong)));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_normal_spelling_is_stable(text in "[0-9a-z.!+_-]{0,20}|\\PC{0,20}") {
            if let Ok(version) = text.parse::<Version>() {
                let again = Version::from_normal(&version.to_string()).unwrap();
                prop_assert_eq!(again, version);
            }
        }
    }
}
