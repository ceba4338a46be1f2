//! What is complete may be applied: by itself, or because a person at the device says so.

use super::Node;
use crate::chain::Chain;
use crate::id::Signer;
use crate::listed::Listed;
use crate::output::{Event, Output};
use crate::time::UnixTime;
use crate::trust::Freshness;
use crate::trust::date::Date;
use crate::update::{Stage, Update};

const DAY_S: u64 = 86_400;

/// Why a release that is complete is not applied by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The device was told to leave it to a person.
    ForPerson,
    /// This signer's metadata has expired.
    Stale(Signer, Freshness),
    /// This signer's keys contradict themselves.
    Equivocation(Signer),
    /// The school holds it.
    Held,
    /// The school says when, and that has not come, by the best time that is known.
    NotBefore(Date),
}

impl Wait {
    /// Whether a person at the device may apply it all the same. The school's word is above that.
    pub fn yields_to_a_person(&self) -> bool {
        !matches!(self, Wait::Held | Wait::NotBefore(_))
    }
}

impl Node {
    /// What has every chunk is complete, and may be applied.
    pub(super) fn advance_filled(&mut self) {
        let Self { updates, swarms, outputs, .. } = self;
        let mut complete = false;
        for update in updates.iter_mut() {
            let release = update.listed.manifest;
            let filled = matches!(update.stage, Stage::Filling | Stage::Complete)
                && swarms.get(release).is_some_and(|swarm| swarm.held().is_full());
            if filled && matches!(update.stage, Stage::Filling) {
                update.stage = Stage::Complete;
                outputs.push_back(Output::Event(Event::Complete(release)));
            }
            complete |= filled;
        }
        if complete {
            self.apply_complete(|wait| wait.is_none());
        }
    }

    /// Applies what is complete and, by what it waits for, may be.
    pub(super) fn apply_complete(&mut self, may: impl Fn(Option<Wait>) -> bool) {
        let is_complete = |update: &Update| matches!(update.stage, Stage::Complete);
        let due: Vec<usize> = (0..self.updates.len())
            .filter(|at| is_complete(&self.updates[*at]) && may(self.waits_for(&self.updates[*at].listed)))
            .collect();
        for at in due {
            let update = &mut self.updates[at];
            update.stage = Stage::Applying;
            self.outputs.push_back(Output::Apply(update.listed.manifest));
        }
    }

    /// What a complete release waits for, if it is not applied by itself.
    pub fn waits_for(&self, listed: &Listed) -> Option<Wait> {
        let assignment = self.school().and_then(|school| school.assignment(&listed.path.channel));
        let terms = assignment.and_then(|assignment| assignment.terms).unwrap_or_default();
        if terms.held {
            return Some(Wait::Held);
        }
        if let Some(at) = terms.not_before
            && self.time().is_none_or(|now| now < at.unix_time())
        {
            return Some(Wait::NotBefore(at));
        }
        if !self.config.applies {
            return Some(Wait::ForPerson);
        }
        let goes_forward = self.config.applied.as_ref().is_none_or(|applied| *applied < listed.path.version);
        let grace_s = if goes_forward { u64::from(terms.stale_grace_days) * DAY_S } else { 0 };
        self.chains.iter().find_map(|chain| {
            let freshness = self.freshness(chain.signer());
            match freshness {
                Some(Freshness::Stale { expired_s, .. }) if expired_s >= grace_s => {
                    Some(Wait::Stale(chain.signer(), freshness?))
                }
                _ => chain.equivocation().map(|_| Wait::Equivocation(chain.signer())),
            }
        })
    }

    /// The best time that is known: what the school's server stated; or the wall clock's, unless it cannot be right; else
    /// the last moment at which a signer said something.
    fn time(&self) -> Option<UnixTime> {
        let said = |chain: &Chain| {
            chain.trust().complete().and_then(|set| set.timestamp().body.signed_at).map(Date::unix_time)
        };
        let said = self.chains.iter().filter_map(said).max();
        let is_right = |now: &UnixTime| {
            let mut freshness = self.chains.iter().map(|chain| chain.trust().freshness(*now));
            said.is_none_or(|said| said <= *now) && !freshness.any(|it| matches!(it, Freshness::TimeUnverified(_)))
        };
        self.stated_time().or(self.wall_clock.filter(is_right)).or(said)
    }
}
