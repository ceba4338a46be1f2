//! What a swarm asks of whom next: the rarest chunks of fellow devices, credit for seeds, and what to do
//! when somebody does not deliver.

use super::{Ask, Swarm, touch};
use crate::bitmap::Bitmap;
use crate::id::PeerId;
use crate::limits::CHUNK_BYTES_AVERAGE;
use crate::mesh::picker::Picker;
use crate::mesh::source::Source;
use crate::mesh::spread::Spread;
use crate::mesh::{Bucket, Role};
use crate::rng::Rng;
use crate::time::{Span, Time};

/// With nothing arriving for this long, a device asks a seed by name, whatever devices owe it.
pub(super) const STARVES_AFTER: Span = Span::from_millis(500);
/// At the end, a chunk in flight for this long is asked of a second, idle peer too.
const HEDGE_AFTER: Span = Span::from_millis(500);
/// Peers that fall idle at the end are looked at together, this often.
const HEDGE_EVERY: Span = Span::from_millis(50);

/// While nothing at all may be asked, it is looked this often whether that has changed.
const QUIET_REVIEW: Span = Span::from_secs(1);

impl Swarm {
    /// What to ask of whom now, as far as `budget` goes. Call it whenever something changed or a wakeup is due.
    pub fn asks_within(&mut self, budget: &mut Bucket, now: Time, rng: &mut Rng) -> Vec<(PeerId, Ask)> {
        let mut asks = Vec::new();
        let review = self.review_at.is_some_and(|at| at <= now);
        if review {
            self.resume(now);
            asks = self.give_up_on_stalled(now);
        }
        self.ask_touched(budget, now, rng, &mut asks);
        if review {
            asks.extend(self.ask_seed_by_name(budget, now, rng));
            let hedge_at = self.hedge(budget, now, &mut asks);
            let stalls = self.sources.values().filter_map(Source::stalls_at);
            let resumes = self.sources.values().filter_map(Source::resumes_at);
            let can_ask_at = if budget.allows() { now } else { budget.ready_at().unwrap_or(now + QUIET_REVIEW) };
            let asks_at = self.starves_at().into_iter().chain(hedge_at).map(|at| at.max(can_ask_at));
            // Nobody but a review moves it to a later time.
            self.review_at = stalls.chain(resumes).chain(asks_at).min();
        }
        asks
    }

    /// The next moment at which `asks_within` or `announcement` may have something to say though nothing happened.
    pub fn wakeup(&self) -> Option<Time> {
        let spread = self.spread.as_ref().and_then(Spread::wakeup);
        [self.review_at, spread, self.announce_at].into_iter().flatten().min()
    }

    /// Takes back promises that were not kept.
    pub fn expire_promises(&mut self, now: Time) {
        if let Some(spread) = &mut self.spread {
            spread.expire(now);
        }
    }

    /// Whether something would be asked if the budget were larger.
    pub fn waits(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Whoever is not asked because the budget is spent is the first to be asked later.
    fn ask_touched(&mut self, budget: &mut Bucket, now: Time, rng: &mut Rng, asks: &mut Vec<(PeerId, Ask)>) {
        let mut touched = std::mem::take(&mut self.touched).into_iter();
        while budget.allows()
            && let Some(peer) = touched.next()
        {
            if let Some(source) = self.sources.get_mut(peer) {
                source.touched = false;
                asks.extend(self.ask_source(peer, budget, now, rng).map(|ask| (peer, ask)));
                self.review_no_later_than(peer, now);
            }
        }
        self.touched.extend(touched);
    }

    /// What was asked of a source, or what it brought, may bring the next review forward.
    fn review_no_later_than(&mut self, peer: PeerId, now: Time) {
        let stalls_at = self.sources.get(peer).and_then(Source::stalls_at);
        let next = if self.picker.open_count() > 0 {
            let waits = if self.starving { Span::default() } else { STARVES_AFTER };
            (now + Span(1)).max(self.progress_at + waits)
        } else {
            now + HEDGE_EVERY
        };
        let unfinished = self.held.count() + self.landed.count() < self.held.len();
        let next = unfinished.then_some(next);
        self.review_at = [self.review_at, stalls_at, next].into_iter().flatten().min();
    }

    fn resume(&mut self, now: Time) {
        for (peer, source) in self.sources.iter_mut() {
            if source.resume(now) {
                touch(&mut self.touched, peer, source);
            }
        }
    }

    fn ask_source(&mut self, peer: PeerId, budget: &mut Bucket, now: Time, rng: &mut Rng) -> Option<Ask> {
        let missing = self.picker.open_count() > 0;
        let source = self.sources.get_mut(peer)?;
        if source.role == Role::Seed && !self.strategy.super_seeding {
            return self.fill_window(peer, budget, now, rng, unheld_or_rarest);
        }
        if source.role == Role::Seed {
            let credit = if missing { source.credit_room() } else { 0 };
            source.credit += credit;
            budget.spend(u64::from(credit) * u64::from(CHUNK_BYTES_AVERAGE));
            return (credit > 0).then_some(Ask::Credit(credit));
        }
        let rarest =
            |picker: &Picker, held: &Bitmap, rng: &mut Rng| picker.pick_rarest(rng, |index| held.contains(index));
        self.fill_window(peer, budget, now, rng, rarest)
    }

    /// Asks a peer for as many chunks as it has room for. One that holds nothing to `pick` is dry: from then on
    /// only what is news of it is looked at. What one that stalled is asked for stays open, so that others are
    /// asked for it too: it may never answer.
    fn fill_window(
        &mut self,
        peer: PeerId,
        budget: &mut Bucket,
        now: Time,
        rng: &mut Rng,
        pick: impl Fn(&Picker, &Bitmap, &mut Rng) -> Option<u32>,
    ) -> Option<Ask> {
        let source = self.sources.get_mut(peer)?;
        let mut indexes = Vec::new();
        for _ in 0..source.room() {
            if !budget.allows() {
                touch(&mut self.touched, peer, source);
                break;
            }
            let picked = match source.dry {
                true => self.picker.take_rarest_of(&mut source.news, rng),
                false => pick(&self.picker, &source.held, rng),
            };
            let Some(index) = picked else {
                source.dry = true;
                source.news.clear(); // All of it was looked at.
                break;
            };
            source.asked(index, now);
            budget.spend(u64::from(self.chunks[index as usize].bytes));
            if !source.is_late() {
                self.picker.close(index);
            }
            self.askers[index as usize] += 1;
            indexes.push(index);
        }
        (!indexes.is_empty()).then_some(Ask::Chunks(indexes))
    }

    /// With nothing arriving for long enough, whatever devices owe it, the first seed that can is asked by name.
    fn ask_seed_by_name(&mut self, budget: &mut Bucket, now: Time, rng: &mut Rng) -> Option<(PeerId, Ask)> {
        if !budget.allows() || self.starves_at().is_none_or(|at| now < at) {
            return None;
        }
        let can = |(_, source): &(PeerId, &Source)| source.role == Role::Seed && source.gives() && source.room() > 0;
        let (peer, _) = self.sources.iter().find(can)?;
        self.starving = true;
        Some((peer, self.fill_window(peer, budget, now, rng, unheld_or_rarest)?))
    }

    /// When this device will have waited long enough in vain, whatever devices owe it: only while something is missing
    /// and there is a seed to ask. Once it starves it does not wait again for each window.
    fn starves_at(&self) -> Option<Time> {
        if self.picker.open_count() == 0 {
            return None;
        }
        let seeds = self.sources.values().filter(|source| source.role == Role::Seed);
        let ready = seeds.filter(|seed| seed.gives() && (seed.room() > 0 || seed.resumes_at().is_some()));
        let ready_at = ready.map(|seed| seed.resumes_at().unwrap_or_default()).min()?;
        let waits = if self.starving { Span::default() } else { STARVES_AFTER };
        Some(ready_at.max(self.progress_at + waits))
    }

    /// At the end, with every missing chunk in flight: asks an idle peer that has not stalled for one that another
    /// has owed for long, once per chunk. The school is spared unless nothing arrives at all. Returns when to look again.
    fn hedge(&mut self, budget: &mut Bucket, now: Time, asks: &mut Vec<(PeerId, Ask)>) -> Option<Time> {
        if self.picker.open_count() > 0 {
            return None;
        }
        let starves_at = self.progress_at + STARVES_AFTER;
        let idle =
            |(_, source): &(PeerId, &Source)| source.in_flight.is_empty() && source.room() > 0 && !source.is_late();
        let idle: Vec<(PeerId, Role)> =
            self.sources.iter().filter(idle).map(|(peer, source)| (peer, source.role)).collect();
        let mut look_at: Option<Time> = None;
        for (peer, role) in idle {
            let Some((asked, index)) = self.longest_owed_that(peer) else { continue };
            let late_at = asked + HEDGE_AFTER;
            let due = if role == Role::Seed { late_at.max(starves_at) } else { late_at };
            if due > now {
                look_at = Some(look_at.map_or(due, |at| at.min(due)));
                continue;
            }
            if !budget.allows() {
                return Some(now);
            }
            self.askers[index as usize] += 1;
            budget.spend(u64::from(self.chunks[index as usize].bytes));
            if let Some(source) = self.sources.get_mut(peer) {
                source.asked(index, now);
            }
            asks.push((peer, Ask::Chunks(vec![index])));
        }
        look_at
    }

    /// Of the chunks that exactly one other peer owes and `peer` holds, the one asked first.
    fn longest_owed_that(&self, peer: PeerId) -> Option<(Time, u32)> {
        let idle = self.sources.get(peer)?;
        let owed = self.sources.values().flat_map(|source| source.in_flight.iter());
        owed.filter(|(_, index)| self.askers[*index as usize] == 1 && idle.held.contains(*index)).min()
    }

    fn give_up_on_stalled(&mut self, now: Time) -> Vec<(PeerId, Ask)> {
        let late = |source: &Source| source.stalls_at().is_some_and(|at| at <= now);
        let stalled: Vec<PeerId> =
            self.sources.iter().filter(|(_, source)| late(source)).map(|(peer, _)| peer).collect();
        let mut asks = Vec::new();
        for peer in stalled {
            let owed = self.sources.get_mut(peer).map(|source| source.stalled(now)).unwrap_or_default();
            owed.iter().for_each(|index| self.unask(*index));
            asks.push((peer, Ask::Cancel(owed)));
        }
        asks
    }
}

/// What is asked of a seed by name: what no device has, or else what few have.
fn unheld_or_rarest(picker: &Picker, held: &Bitmap, rng: &mut Rng) -> Option<u32> {
    picker.pick_unheld_or_rarest(rng, |index| held.contains(index))
}
