//! While a school's server runs, it says daily that what is assigned is the newest, so that no device takes silence for
//! freshness, and nobody has to remember it; and it states the time to devices that ask.

use super::{AssignError, Office};
use crate::publisher::edition::DAY_S;
use crate::publisher::files::read;
use crate::publisher::keys::{KeyDirectory, KeyError, no_password};
use protocol::school::assignments;
use protocol::time::UnixTime;
use protocol::trust::date::Date;
use protocol::trust::sign::SecretKey;
use protocol::trust::stated_time::{Nonce, state_time};
use protocol::trust::{Role, TrustedSet};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How often it looks whether it is time: a release that is due at noon goes out a minute later at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After a failure, which a person must mend.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// Another root may name other keys for the time.
const READ_KEYS_EVERY: Duration = Duration::from_secs(600);
/// No server is off for so long that it should sign by itself when it comes back: more likely its clock is wrong, and
/// what is signed with a time to come can only be undone with other keys.
const CLOCK_AHEAD_MAX_S: i64 = 200 * DAY_S;

/// Signs for a school while its server runs.
pub struct Clerk {
    school: PathBuf,
    keys: PathBuf,
    looks_at: Instant,
    /// What signs the timestamp, and states the time; none where they could not be read.
    signers: Vec<SecretKey>,
    signers_until: Instant,
    at_work: Option<JoinHandle<Result<(), AssignError>>>,
}

impl Clerk {
    /// Whoever signs for the school at `school` with what is in `keys`.
    pub fn new(school: PathBuf, keys: PathBuf) -> Self {
        let now = Instant::now();
        Clerk { school, keys, looks_at: now, signers: Vec::new(), signers_until: now, at_work: None }
    }

    /// The school.
    pub fn school(&self) -> &Path {
        &self.school
    }

    /// Says so if what signs for the school is not here.
    pub fn check_keys(&self) {
        let lacks = || {
            let keys = KeyDirectory::open(&self.keys, no_password)?;
            let set = read(&self.school)?;
            for role in [Role::Targets, Role::Snapshot, Role::Timestamp] {
                keys.signers(&role, set.root().body.authority(&role))?;
            }
            Ok(())
        };
        match lacks() {
            // Somebody assigns something at this moment.
            Ok(()) | Err(AssignError::Key(KeyError::Busy { .. })) => {}
            Err(error) => tracing::warn!(
                "{} cannot be signed for: its devices will find it stale, and are not told the time: {:#}",
                self.school.display(),
                anyhow::Error::new(error)
            ),
        }
    }

    /// The time, stated to a device that asked with `nonce`; nothing where the keys are not here, or in use right now.
    pub fn state_time(&mut self, nonce: &Nonce) -> Option<Vec<u8>> {
        if self.signers_until <= Instant::now() {
            let signers = || {
                let set = read(&self.school).ok()?;
                let keys = KeyDirectory::open(&self.keys, no_password).ok()?;
                keys.signers(&Role::Timestamp, set.root().body.authority(&Role::Timestamp)).ok()
            };
            self.signers = signers().unwrap_or_default();
            let again_after = if self.signers.is_empty() { LOOK_EVERY } else { READ_KEYS_EVERY };
            self.signers_until = Instant::now() + again_after;
        }
        let keys: Vec<&SecretKey> = self.signers.iter().collect();
        (!keys.is_empty()).then(|| state_time(nonce, wall_clock(), &keys))
    }

    /// Signs if it is time, beside whatever the caller does.
    pub fn look(&mut self) {
        if let Some(work) = self.at_work.take_if(|work| work.is_finished())
            && let Ok(Err(error)) = work.join()
            // Somebody assigns something at this moment.
            && !matches!(error, AssignError::Key(KeyError::Busy { .. }))
        {
            let error = anyhow::Error::new(error);
            tracing::warn!(
                "{} cannot be signed anew, and devices will find it stale: {error:#}",
                self.school.display()
            );
            self.looks_at = Instant::now() + LOOK_AGAIN_AFTER;
        }
        if self.at_work.is_none() && self.looks_at <= Instant::now() {
            self.looks_at = Instant::now() + LOOK_EVERY;
            let (school, keys) = (self.school.clone(), self.keys.clone());
            self.at_work = Some(std::thread::spawn(move || sign_if_due(&school, &keys)));
        }
    }
}

fn sign_if_due(school: &Path, keys: &Path) -> Result<(), AssignError> {
    let (set, now) = (read(school)?, wall_clock());
    if is_far_ahead(&set, now) {
        tracing::warn!(
            "this clock is months ahead of what {} said last, so it is not signed anew; if the clock is right, run: \
             homeroom school refresh",
            school.display()
        );
    } else if is_due(&set, now) {
        Office::open(school, keys, no_password, now, false)?.refresh(0)?;
    }
    Ok(())
}

pub(super) fn is_far_ahead(set: &TrustedSet, now: UnixTime) -> bool {
    spoke_at(set).is_some_and(|spoke_at| now.0 - spoke_at.0 > CLOCK_AHEAD_MAX_S)
}

fn spoke_at(set: &TrustedSet) -> Option<UnixTime> {
    set.complete()?.timestamp().body.signed_at.map(Date::unix_time)
}

fn wall_clock() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX))
}

/// A day after it last spoke, and whenever the time has come for a release: a device whose own clock is dead takes the
/// time from what the school signed.
fn is_due(set: &TrustedSet, now: UnixTime) -> bool {
    let Some(spoke_at) = spoke_at(set) else { return true };
    let comes = |at: Date| spoke_at < at.unix_time() && at.unix_time() <= now;
    now.0 - spoke_at.0 >= DAY_S
        || assignments(set).any(|(_, it)| it.terms.and_then(|terms| terms.not_before).is_some_and(comes))
}
