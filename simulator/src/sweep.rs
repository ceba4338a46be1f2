//! Many runs of one scenario, a row for each rng_seed, and what is usual and what is extreme among them.

use crate::outcome::Outcome;
use crate::report::{ratio, seconds};
use serde_json::json;
use std::fmt::Write as _;

/// Something that is measured of each run, with the name of its column.
type Measure = (&'static str, fn(&Row) -> Option<f64>);

const MEASURES: [Measure; 6] = [
    ("time_s", |row| row.time_s),
    ("ratio", |row| row.ratio),
    ("rounds_ratio", |row| row.rounds_ratio),
    ("seed_copies", |row| Some(row.seed_copies)),
    ("duplicate_percent", |row| Some(row.duplicate_percent)),
    ("waste_percent", |row| Some(row.waste_percent)),
];

/// One run in short.
#[derive(Clone, Debug)]
pub struct Row {
    /// What its randomness came from.
    pub rng_seed: u64,
    /// From publication until every steady laptop had applied it, over all releases; nothing if one never did.
    pub time_s: Option<f64>,
    /// That time over the bound of Kumar and Ross.
    pub ratio: Option<f64>,
    /// That time over the bound of Mundinger, Weber and Weiss, where it applies.
    pub rounds_ratio: Option<f64>,
    /// How often the seed sent what only it had.
    pub seed_copies: f64,
    /// Of all bytes of chunks sent, those that arrived and were of no use.
    pub duplicate_percent: f64,
    /// Of all bytes of chunks that honest laptops received, those that were of no use or wrong.
    pub waste_percent: f64,
    /// Events that happened.
    pub events: u64,
    /// The hash over all that happened.
    pub trace_hash: String,
    /// What should never have happened.
    pub violations: Vec<String>,
}

/// Runs of one scenario, by rng_seed.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// A row a run.
    pub rows: Vec<Row>,
}

/// What is usual among numbers, and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Half of them are at most this; between the middle two if there are two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Row {
    /// A run in short.
    pub fn of(outcome: &Outcome) -> Self {
        let time = outcome.applied_everywhere().then(|| outcome.time());
        Self {
            rng_seed: outcome.rng_seed,
            time_s: time.map(|time| seconds(time.0)),
            ratio: time.map(|time| ratio(time, outcome.bound())),
            rounds_ratio: time.zip(outcome.rounds_bound()).map(|(time, bound)| ratio(time, bound)),
            seed_copies: outcome.seed_copies(),
            duplicate_percent: outcome.duplicate_percent(),
            waste_percent: outcome.waste_percent(),
            events: outcome.events,
            trace_hash: outcome.trace_hash.clone(),
            violations: outcome.violations.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Sweep {
    /// The runs in which something was found.
    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.violations.is_empty())
    }

    /// Each measure with its range over all runs that have it.
    pub fn ranges(&self) -> Vec<(&'static str, Range)> {
        let range = |(name, of): Measure| Some((name, Range::of(self.rows.iter().filter_map(of).collect())?));
        MEASURES.into_iter().filter_map(range).collect()
    }

    /// The ranges as a table for people.
    pub fn table(&self) -> String {
        let mut text = format!("{:<18} {:>9} {:>9} {:>9}\n", "", "median", "min", "max");
        for (name, range) in self.ranges() {
            let Range { median, min, max } = range;
            writeln!(text, "{name:<18} {median:>9.3} {min:>9.3} {max:>9.3}").expect("a String takes any text");
        }
        text
    }

    /// The ranges for programs.
    pub fn json(&self) -> serde_json::Value {
        let ranges = self.ranges().into_iter().map(|(name, Range { median, min, max })| {
            (name.to_owned(), json!({ "median": median, "min": min, "max": max }))
        });
        let mut told: serde_json::Map<String, serde_json::Value> = ranges.collect();
        told.insert("runs".to_owned(), self.rows.len().into());
        told.insert("failed".to_owned(), self.failed().map(|row| row.rng_seed).collect());
        told.into()
    }

    /// A row a run.
    pub fn csv(&self) -> String {
        let measures = MEASURES.map(|(name, _)| name).join(",");
        let mut text = format!("rng_seed,{measures},events,violations,trace_hash\n");
        for row in &self.rows {
            let measured = MEASURES.map(|(_, of)| of(row).map(|number| number.to_string()).unwrap_or_default());
            let Row { rng_seed, events, violations, trace_hash, .. } = row;
            let (measured, found) = (measured.join(","), violations.len());
            writeln!(text, "{rng_seed},{measured},{events},{found},{trace_hash}").expect("a String takes any text");
        }
        text
    }
}

impl Range {
    /// The range of some numbers, if there are any.
    pub fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (min, max) = (*numbers.first()?, *numbers.last()?);
        let half = numbers.len() / 2;
        let odd = numbers.len() % 2 == 1;
        let median = if odd { numbers[half] } else { (numbers[half - 1] + numbers[half]) / 2.0 };
        Some(Self { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(Range::of(vec![]), None);
        assert_eq!(Range::of(vec![3.0, 1.0, 8.0]), Some(Range { median: 3.0, min: 1.0, max: 8.0 }));
        assert_eq!(Range::of(vec![3.0, 1.0, 8.0, 4.0]), Some(Range { median: 3.5, min: 1.0, max: 8.0 }));
    }

    #[test]
    fn a_sweep_has_a_row_a_run_and_names_those_that_failed() {
        let mut scenario = Scenario::parse(include_str!("../scenarios/tiny.toml"), "tiny.toml").unwrap();
        let mut rows = vec![Row::of(&crate::run(&scenario, 1)), Row::of(&crate::run(&scenario, 2))];
        scenario.until = protocol::time::Span::from_secs(1);
        rows.push(Row::of(&crate::run(&scenario, 3)));
        let sweep = Sweep { rows };
        assert_eq!(sweep.failed().map(|row| row.rng_seed).collect::<Vec<_>>(), [3]);
        let csv = sweep.csv();
        assert_eq!(csv.lines().count(), 4);
        let columns = |line: &str| line.split(',').count();
        assert!(csv.lines().all(|line| columns(line) == columns(csv.lines().next().unwrap())));
        // What never ended has no time, and is counted in none.
        let json = sweep.json();
        assert!(json["ratio"]["min"].as_f64().unwrap() >= 1.0);
        assert_eq!(json["failed"], json!([3]));
    }
}
