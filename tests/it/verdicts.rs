//! A second verdict: our verifier and `sigstore-tuf`, which shares no code with it, judge the same repositories, in each of
//! which something is wrong. Where they differ, [`known`] must say why.
//!
//! The usual run is short, because a debug build takes some 3 ms for each case. A long one, by another rng_seed, and one
//! case of it:
//!
//!     RNG_SEED=2 MUTATIONS=1000000 cargo test --release -p tests --test it verdicts -- --nocapture
//!     RNG_SEED=2 CASE=4711 MUTATIONS=1 cargo test --release -p tests --test it verdicts -- --nocapture

mod known;
mod ours;
mod theirs;

use known::{KNOWN, Known};
use ours::Ours;
use protocol::trust::Freshness;
use std::collections::BTreeMap;
use std::thread;
use tests::forger::choices::Choices;
use tests::forger::history::{PATHS, good};
use tests::forger::tampering::{Case, tampered};
use theirs::Theirs;

/// A target as metadata states it: length and hashes.
type Target = (u64, BTreeMap<String, String>);

/// What a client makes of what is served at one moment.
#[derive(Debug)]
struct Verdict<Why> {
    /// Versions of the root and of the timestamp that are believed.
    trusted: (u64, Option<u64>),
    /// The file at which a refresh ended, and why.
    refused: Option<(String, Why)>,
    /// What a search for each path ends with; nothing at all after a refresh that ended early.
    found: Vec<Result<Option<Target>, (String, Why)>>,
}

/// Where two clients differ.
struct Difference<'a> {
    /// What is wrong with the repository.
    what: &'a [String],
    ours: &'a Verdict<String>,
    theirs: &'a Verdict<sigstore_tuf::Error>,
    /// The place of the path, if they differ only in what they find.
    path: Option<usize>,
    /// What our set says of its age once it is complete.
    freshness: Option<Freshness>,
    /// Whether the path is delegated to a role whose file cannot be followed.
    is_silent: bool,
    /// How many steps were judged before.
    step: usize,
    /// Whether a file was refused in one of them.
    was_refused: bool,
    /// Whether there was a new root since the first.
    root_changed: bool,
    /// Whether keys of the timestamp or the snapshot were revoked.
    keys_revoked: bool,
}

/// What became of a case.
enum Outcome {
    /// Both say the same, and both found so many targets.
    Agreed(usize),
    /// They differ, and it is known why.
    Explained(&'static Known),
    /// They differ.
    Unexplained(String),
}

/// Both clients judge one case, up to the first step at which they differ.
fn judge(case: &Case) -> Outcome {
    let Some(root) = case.steps[0].get("1.root.json") else { return Outcome::Agreed(0) };
    let (mut ours, mut theirs) = match (Ours::new(root), Theirs::new(root)) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(_), Err(_)) => return Outcome::Agreed(0),
        (ours, theirs) => return explain(case, &Difference::of(case, &Verdict::pin(ours), &Verdict::pin(theirs))),
    };
    let first = ours.set().root().body.clone();
    let (mut found, mut was_refused) = (0, false);
    for (step, served) in case.steps.iter().enumerate() {
        let (ours_now, theirs_now) = (ours.judge(served, &case.paths), theirs.judge(served, &case.paths));
        let root = &ours.set().root().body;
        let difference = Difference {
            freshness: case.is_dated().then(|| ours.freshness(served)).flatten(),
            step,
            was_refused,
            root_changed: first != *root,
            keys_revoked: ours.keys_revoked,
            ..Difference::of(case, &ours_now, &theirs_now)
        };
        if difference.is_of_the_refresh() {
            return explain(case, &difference);
        }
        let places = 0..case.paths.len();
        if let Some(path) = places.clone().find(|path| ours_now.target(*path) != theirs_now.target(*path)) {
            let is_silent = ours.is_silent_about(case.paths[path]);
            return explain(case, &Difference { path: Some(path), is_silent, ..difference });
        }
        was_refused |= ours_now.refused.is_some();
        found += places.filter_map(|path| ours_now.target(path)).count();
    }
    Outcome::Agreed(found)
}

impl<Why> Verdict<Why> {
    /// The verdict on the root that a person vouches for.
    fn pin<Client>(client: Result<Client, Why>) -> Self {
        let refused = client.err().map(|why| ("1.root.json".to_owned(), why));
        Verdict { trusted: (0, None), refused, found: Vec::new() }
    }

    fn target(&self, at: usize) -> Option<&Target> {
        self.found.get(at)?.as_ref().ok()?.as_ref()
    }

    fn ended_at(&self) -> Option<&String> {
        self.refused.as_ref().map(|(file, _)| file)
    }
}

impl<'a> Difference<'a> {
    fn of(case: &'a Case, ours: &'a Verdict<String>, theirs: &'a Verdict<sigstore_tuf::Error>) -> Self {
        let (step, was_refused, root_changed, keys_revoked) = (0, false, false, false);
        let (what, path, freshness) = (&case.what, None, None);
        let is_silent = false;
        Difference { what, ours, theirs, path, freshness, is_silent, step, was_refused, root_changed, keys_revoked }
    }

    /// Whether they believe or refuse different files, or one takes for fresh what is stale to the other.
    fn is_of_the_refresh(&self) -> bool {
        let is_stale = self.freshness.as_ref().is_some_and(|freshness| !matches!(freshness, Freshness::Fresh { .. }));
        self.ours.ended_at() != self.theirs.ended_at()
            || self.ours.trusted != self.theirs.trusted
            || (is_stale && self.theirs.refused.is_none())
    }
}

fn explain(case: &Case, difference: &Difference) -> Outcome {
    if let Some(known) = KNOWN.iter().find(|known| (known.explains)(difference)) {
        return Outcome::Explained(known);
    }
    let Difference { what, ours, theirs, path, freshness, .. } = difference;
    let at = path.map(|path| format!("{}: {:?} and {:?}", case.paths[path], ours.found[path], theirs.found[path]));
    let (ours, theirs) = ((&ours.trusted, &ours.refused), (&theirs.trusted, &theirs.refused));
    let at = at.unwrap_or_default();
    Outcome::Unexplained(format!("{what:#?}\n    we:   {ours:?} {freshness:?}\n    they: {theirs:?}\n    {at}"))
}

/// A number from the environment, or else the usual one.
fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect(variable))
}

/// What came of many cases.
#[derive(Default)]
struct Tally {
    agreed: u64,
    found: usize,
    explained: BTreeMap<&'static str, u64>,
    unexplained: Vec<String>,
}

impl Tally {
    fn run(rng_seed: u64, cases: impl Iterator<Item = u64>) -> Tally {
        let mut tally = Tally::default();
        for number in cases {
            let case = tampered(&mut Choices::drawn(rng_seed, number));
            match judge(&case) {
                Outcome::Agreed(found) => {
                    tally.agreed += 1;
                    tally.found += found;
                }
                Outcome::Explained(known) => *tally.explained.entry(known.name).or_default() += 1,
                Outcome::Unexplained(how) => {
                    tally.unexplained.push(format!("RNG_SEED={rng_seed} CASE={number} MUTATIONS=1: {how}"))
                }
            }
        }
        tally
    }

    fn add(&mut self, other: Tally) {
        self.agreed += other.agreed;
        self.found += other.found;
        self.unexplained.extend(other.unexplained);
        for (name, count) in other.explained {
            *self.explained.entry(name).or_default() += count;
        }
    }
}

#[test]
fn two_verifiers_judge_what_was_tampered_with_alike() {
    let (rng_seed, first, cases) = (number("RNG_SEED", 1), number("CASE", 0), number("MUTATIONS", 10_000));
    let workers = thread::available_parallelism().map_or(1, |workers| workers.get() as u64);
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let share = |worker: u64| (first + worker..first + cases).step_by(workers as usize);
        let running: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || Tally::run(rng_seed, share(worker)))).collect();
        running.into_iter().for_each(|worker| tally.add(worker.join().unwrap()));
    });
    let Tally { agreed, found, explained, unexplained } = &tally;
    println!("RNG_SEED={rng_seed}: {cases} cases, {agreed} agreed, {found} targets found by both, {explained:#?}");
    let some: Vec<&String> = unexplained.iter().take(24).collect();
    assert!(some.is_empty(), "{} differences that nobody explained, as:\n{}", unexplained.len(), join(&some));
    let idle: Vec<&str> = KNOWN.iter().map(|known| known.name).filter(|name| !explained.contains_key(name)).collect();
    println!("known differences that did not show: {idle:#?}");
    assert!(*agreed >= cases / 2, "the cases do not test much: {agreed} of {cases} agreed");
}

fn join(texts: &[&String]) -> String {
    texts.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn good_histories_are_good_to_both() {
    for number in 0..40 {
        let history = good(&mut Choices::drawn(2, number));
        let steps: Vec<_> = history.iter().map(|publication| publication.served()).collect();
        let count = steps.len();
        let case = Case { what: vec![format!("good history {number}")], steps, paths: PATHS.to_vec() };
        match judge(&case) {
            Outcome::Agreed(found) => assert!(found >= count * 5, "history {number}: only {found} targets are found"),
            Outcome::Explained(known) => panic!("history {number} is not good: {}", known.name),
            Outcome::Unexplained(how) => panic!("{how}"),
        }
    }
}
