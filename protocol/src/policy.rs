//! What a publisher says of a release beside its manifest's length and hash, and what a device takes of that.
//!
//! TUF has a place for it, the `custom` part of a target, so the keys that list a release sign that too. Fields that
//! nobody here knows are the publisher's own, and kept as they are. A field that is known and malformed makes the
//! release nobody's: a device that guessed could take what is not meant for it.

use crate::content::name::ChannelName;
use crate::content::version::Maturity;
use crate::limits::{CUSTOM_BYTES_MAX, HARDWARE_ID_BYTES_MAX};
use crate::listed::Listed;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What a publisher says of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    /// Rises when a release mends what nobody must go back below, and at no other time; so it says more than the version
    /// about where it is safe to go back to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub release_counter: u64,
    /// The data-format epoch: the same as in the manifest, told before that is fetched.
    #[serde(default, skip_serializing_if = "is_default")]
    pub epoch: u32,
    /// A waypoint: no device that has an older release passes it by.
    #[serde(default, skip_serializing_if = "is_default")]
    pub required: bool,
    /// Only for devices of the test ring, until it is promoted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub staged: bool,
    /// The hardware it is for; any, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<BTreeSet<HardwareId>>,
    /// The publisher's own fields.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

/// What a kind of machine calls itself, such as `xo-1.75` or `raspberrypi,4-model-b`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct HardwareId(String);

/// What a device takes of what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The channel that it follows.
    pub channel: ChannelName,
    /// It takes nothing less mature.
    pub maturity: Maturity,
    /// Whether it is of the test ring, which takes staged releases.
    pub test_ring: bool,
    /// What it is; without a name it takes only what is for any hardware.
    pub hardware: Option<HardwareId>,
}

/// Why the custom part of a target is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CustomError {
    /// Longer than it may be.
    #[error("the custom fields have more than the {CUSTOM_BYTES_MAX} bytes that those of a release may have")]
    TooLong,
    /// It is no object, or a field is not of its kind.
    #[error("the custom part is malformed")]
    Malformed(#[from] serde_json::Error),
    /// A list of hardware that names none.
    #[error("its list of hardware is empty, so it is for no device; leave the list out")]
    NoHardware,
}

/// A text names no hardware.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} cannot name hardware; use up to {HARDWARE_ID_BYTES_MAX} printable characters of ASCII, and no space")]
pub struct HardwareIdError(String);

impl Custom {
    /// The fields that are known here, and so cannot be a publisher's own.
    pub const FIELDS: [&str; 5] = ["release_counter", "epoch", "required", "staged", "hardware"];

    /// What the custom part of a target says; nothing in particular, if there is none.
    pub fn read(custom: Option<&Value>) -> Result<Self, CustomError> {
        let Some(value) = custom else { return Ok(Self::default()) };
        let read = Self::deserialize(value)?;
        read.check().map(|()| read)
    }

    /// Refuses what no device would take.
    pub fn check(&self) -> Result<(), CustomError> {
        if serde_json::to_vec(self)?.len() > CUSTOM_BYTES_MAX {
            return Err(CustomError::TooLong);
        }
        match &self.hardware {
            Some(hardware) if hardware.is_empty() => Err(CustomError::NoHardware),
            _ => Ok(()),
        }
    }

    /// The custom part that says this; none, if there is nothing to say.
    ///
    /// # Panics
    /// If `check` was not called.
    pub fn to_value(&self) -> Option<Value> {
        let value = serde_json::to_value(self).expect("a checked custom part is JSON");
        (*self != Self::default()).then_some(value)
    }

    /// Whether every device that may take a release of which `other` is said may take one of which this is said.
    pub(crate) fn is_for_all_of(&self, other: &Custom) -> bool {
        let hardware = match (&self.hardware, &other.hardware) {
            (None, _) => true,
            (Some(mine), Some(others)) => mine.is_superset(others),
            (Some(_), None) => false,
        };
        hardware && (!self.staged || other.staged)
    }
}

impl Policy {
    /// What a device takes of a channel if nothing else is said: final releases for everybody.
    pub fn new(channel: ChannelName) -> Self {
        Self { channel, maturity: Maturity::Stable, test_ring: false, hardware: None }
    }

    /// Whether the device takes a release.
    pub fn takes(&self, listed: &Listed) -> bool {
        let Listed { path, custom, .. } = listed;
        path.channel == self.channel
            && path.version.maturity() >= self.maturity
            && (self.test_ring || !custom.staged)
            && self.fits(listed)
    }

    /// Whether a release is for this device's hardware, whoever chose it.
    pub fn fits(&self, listed: &Listed) -> bool {
        let is_mine = |wanted: &BTreeSet<HardwareId>| self.hardware.as_ref().is_some_and(|mine| wanted.contains(mine));
        listed.custom.hardware.as_ref().is_none_or(is_mine)
    }
}

impl FromStr for HardwareId {
    type Err = HardwareIdError;

    fn from_str(text: &str) -> Result<Self, HardwareIdError> {
        let legal = (1..=HARDWARE_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
        if legal { Ok(Self(text.to_owned())) } else { Err(HardwareIdError(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for HardwareId {
    type Error = HardwareIdError;

    fn try_from(text: String) -> Result<Self, HardwareIdError> {
        text.parse()
    }
}

impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Custom, CustomError> {
        Custom::read(Some(&value))
    }

    #[test]
    fn what_is_said_is_read_back_and_what_is_not_known_stays() {
        let value = json!({
            "release_counter": u64::MAX, "epoch": 2, "required": true, "staged": true, "hardware": ["xo-1.75", "xo-4"],
            "x-notes": { "fr": "Corrige l'horloge", "list": [1, null, "two"] },
        });
        let custom = read(value.clone()).unwrap();
        assert_eq!((custom.release_counter, custom.epoch, custom.required, custom.staged), (u64::MAX, 2, true, true));
        assert_eq!(custom.hardware.as_ref().unwrap().len(), 2);
        assert_eq!(custom.own, *json!({ "x-notes": value["x-notes"] }).as_object().unwrap());
        let known = value.as_object().unwrap().keys().filter(|key| !key.starts_with("x-"));
        assert!(known.eq(BTreeSet::from(Custom::FIELDS)));
        assert_eq!(custom.to_value(), Some(value));
        assert_eq!(Custom::read(None).unwrap().to_value(), None);
        let own = json!({ "tlog_proof": "…" });
        assert_eq!(read(own.clone()).unwrap().to_value(), Some(own));
    }

    #[test]
    fn what_is_known_and_malformed_is_refused() {
        for value in [
            json!([]),
            json!("staged"),
            json!({ "release_counter": -1 }),
            json!({ "release_counter": "1" }),
            json!({ "epoch": 1u64 << 32 }),
            json!({ "required": 1 }),
            json!({ "staged": "true" }),
            json!({ "staged": null }),
            json!({ "hardware": "xo-4" }),
            json!({ "hardware": [] }),
            json!({ "hardware": ["xo 4"] }),
            json!({ "hardware": ["x".repeat(65)] }),
            json!({ "hardware": [4] }),
        ] {
            assert!(read(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn custom_fields_end_at_four_kibibytes() {
        let note = |bytes: usize| json!({ "note": "n".repeat(bytes) });
        let room = 4096 - r#"{"note":""}"#.len();
        assert!(read(note(room)).is_ok());
        assert!(matches!(read(note(room + 1)), Err(CustomError::TooLong)));
    }
}
