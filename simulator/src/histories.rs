//! Whole histories of small classrooms: whatever goes wrong, all honest laptops end with the newest release, and no
//! check ever finds anything.

use crate::chaos;
use crate::check::Rule;
use crate::host::FRAME_PREFIX_BYTES;
use crate::outcome::{HostOutcome, Outcome};
use crate::run;
use crate::scenario::{Model, Scenario, StrategyName};
use crate::sim::Sim;
use crate::workload::CHANNEL;
use expect_test::expect_file;
use protocol::id::{ChunkListId, DocumentId, ManifestId, RepositoryId};
use protocol::message::{Hello, Message, WantDocument, WantMetadata};
use protocol::time::Span;
use protocol::{mesh, trust};
use std::fmt::Write as _;

const CHUNK_BYTES: u64 = 16 * 1024;

/// A classroom of equal laptops, with more TOML behind it.
pub fn classroom(laptops: usize, more: &str) -> Scenario {
    let text = format!(
        r#"
        schema = 1
        name = "history"
        until = "4h"
        seed = {{ up = "20Mbit", down = "20Mbit", latency = "1ms" }}
        [[laptops]]
        count = {laptops}
        up = "10Mbit"
        down = "30Mbit"
        latency = "2ms"
        disk_write = "20MB"
        disk_sync = "30ms"
        {more}
        "#
    );
    Scenario::parse(&text, "history").unwrap()
}

pub fn release(version: &str, at_s: u64, chunks: u64, shares_percent: u64) -> String {
    format!(
        "[[release]]\nversion = \"{version}\"\nat = \"{at_s}s\"\nchunks = {chunks}\nchunk = \"16KiB\"\n\
         shares_percent = {shares_percent}\n"
    )
}

pub fn fault(kind: &str, host: &str, more: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\nhost = \"{host}\"\n{more}\n")
}

/// The outcome of a run in which nothing was found.
pub fn good(scenario: &Scenario, rng_seed: u64) -> Outcome {
    let outcome = run(scenario, rng_seed);
    assert!(!outcome.failed(), "rng_seed {rng_seed} of {scenario:#?}: {:#?}", outcome.violations);
    outcome
}

fn laptop(outcome: &Outcome, number: usize) -> &HostOutcome {
    &outcome.hosts[number]
}

#[test]
fn the_same_rng_seed_repeats_the_run_and_another_does_not() {
    let scenario = classroom(5, &(release("1.0", 0, 40, 0) + &fault("lies", "laptop-2", "")));
    let [first, again, other] = [7, 7, 8].map(|rng_seed| good(&scenario, rng_seed).trace_hash);
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn time_is_up_while_chunks_are_on_their_way() {
    let whole = classroom(5, &release("1.0", 0, 400, 0));
    for tenths in 1..40 {
        let until = Span::from_millis(100 * tenths);
        let outcome = run(&Scenario { until, ..whole.clone() }, 7);
        let lost = outcome.violations.iter().find(|violation| violation.rule == Rule::Conserved);
        assert!(lost.is_none(), "{tenths} tenths of a second: {lost:?}");
    }
}

/// Runs that must come out the same in debug and release builds and on every machine. After a change of
/// the protocol: `UPDATE_EXPECT=1 cargo test -p simulator golden`.
#[test]
fn golden_runs_come_out_the_same_everywhere() {
    let troubled = release("1.0", 0, 60, 0)
        + &release("1.1", 20, 60, 80)
        + &fault("lies", "laptop-2", "")
        + &fault("dies", "laptop-3", "at = \"1s\"\nreturns = \"9s\"");
    let scenarios = [("calm", classroom(4, &release("1.0", 0, 60, 0))), ("troubled", classroom(6, &troubled))];
    let mut hashes = String::new();
    for (name, scenario) in scenarios {
        for rng_seed in [1, 2] {
            writeln!(hashes, "{name} {rng_seed} {}", good(&scenario, rng_seed).trace_hash).unwrap();
        }
    }
    expect_file!["../golden/trace_hashes.txt"].assert_eq(&hashes);
}

#[test]
fn writing_the_trace_as_text_changes_nothing() {
    let scenario = classroom(2, &release("1.0", 0, 10, 0));
    let mut text = Vec::new();
    let outcome = crate::run_traced(&scenario, 3, &mut text).unwrap();
    assert!(String::from_utf8(text).unwrap().lines().count() > 100);
    assert_eq!(outcome.trace_hash, run(&scenario, 3).trace_hash);
}

#[test]
fn a_school_that_chooses_sends_fewer_copies_than_one_that_is_asked() {
    let mut scenario = classroom(12, &release("1.0", 0, 400, 0));
    let mut copies = |strategy| {
        scenario.strategy = strategy;
        good(&scenario, 1).seed_copies()
    };
    let naive = copies(StrategyName::Naive);
    for chooses in [StrategyName::Ours, StrategyName::SuperSeeding] {
        assert!(1.1 * copies(chooses) < naive, "{chooses}: {}, naive: {naive}", copies(chooses));
    }
}

#[test]
fn both_models_of_the_network_tell_about_the_same_of_a_calm_classroom() {
    let mut scenario = classroom(8, &release("1.0", 0, 400, 0));
    let queue = good(&scenario, 1).time();
    scenario.model = Model::MaxMin;
    let maxmin = good(&scenario, 1).time();
    assert_ne!(queue, maxmin);
    assert!(10 * queue.0.abs_diff(maxmin.0) < queue.0, "{queue:?} and {maxmin:?}");
}

/// A thousand histories in all, in parts that run side by side.
fn chaos(rng_seeds: std::ops::Range<u64>) {
    for rng_seed in rng_seeds {
        let outcome = run(&chaos::history(rng_seed), rng_seed);
        assert!(!outcome.failed(), "homeroom-sim chaos --first {rng_seed} --histories 1: {:#?}", outcome.violations);
    }
}

#[test]
fn whatever_happens_the_first_250_classrooms_converge() {
    chaos(0..250);
}

#[test]
fn whatever_happens_the_second_250_classrooms_converge() {
    chaos(250..500);
}

#[test]
fn whatever_happens_the_third_250_classrooms_converge() {
    chaos(500..750);
}

#[test]
fn whatever_happens_the_fourth_250_classrooms_converge() {
    chaos(750..1000);
}

/// A classroom where each rule has an occasion to be broken.
#[test]
fn a_host_that_breaks_a_rule_is_found_whichever_it_is() {
    let troubles = release("1.0", 0, 600, 0)
        + &release("1.1", 20, 600, 80)
        + &fault("lies", "laptop-2", "")
        + &fault("dies", "laptop-3", "at = \"1s\"\nreturns = \"9s\"")
        + "[[rotation]]\nat = \"40s\"\nkeys = [\"timestamp\"]\n";
    let contradicted = release("1.0", 0, 10, 0) + &fault("attacks", "laptop-5", "attack = \"equivocate\"");
    let counted = release("1.0", 0, 10, 0) + &release("1.1", 20, 10, 50) + "release_counter = 1\n";
    let classrooms = [classroom(6, &troubles), classroom(5, &contradicted), classroom(2, &counted)];
    let [troubled, contradicted, counted] =
        classrooms.map(|scenario| Scenario { until: Span::from_secs(600), idle: Span::from_secs(100), ..scenario });
    for rule in Rule::ALL {
        let scenario = match rule {
            Rule::Shown => &contradicted,
            Rule::Floor => &counted,
            _ => &troubled,
        };
        assert_eq!(run(scenario, 1).violations, []);
        let mut sim = Sim::new(scenario, 1, None);
        sim.break_rule(rule);
        let violations = sim.run().unwrap().violations;
        assert!(violations.iter().any(|found| found.rule == rule), "{rule:?}, and found was {violations:?}");
    }
}

#[test]
fn seed_dies_once_the_laptops_together_hold_everything() {
    let calm = classroom(6, &release("1.0", 0, 200, 0));
    for rng_seed in 0..5 {
        let whole_at = good(&calm, rng_seed).releases[0].whole_at.unwrap();
        let dies = fault("dies", "seed", &format!("at = \"{}us\"", whole_at.0));
        let outcome = good(&classroom(6, &(release("1.0", 0, 200, 0) + &dies)), rng_seed);
        assert!(!outcome.hosts[0].up && outcome.hosts[1..].iter().all(|host| host.applied.as_deref() == Some("1.0")));
        assert!(outcome.ended_at > whole_at);
    }
}

#[test]
fn laptop_joins_hours_late_and_only_another_laptop_is_there() {
    let troubles = fault("dies", "seed", "at = \"1h\"") + &fault("joins", "laptop-2", "at = \"3h\"");
    let outcome = good(&classroom(2, &(release("1.0", 0, 50, 0) + &troubles)), 1);
    assert_eq!(laptop(&outcome, 2).applied.as_deref(), Some("1.0"));
    assert_eq!(laptop(&outcome, 2).from_seed_bytes, 0);
    assert!(laptop(&outcome, 2).from_laptops_bytes >= 50 * CHUNK_BYTES);
}

#[test]
fn laptop_slept_through_two_releases() {
    let releases = [("1.0", 0, 0), ("1.1", 60, 50), ("1.2", 120, 50)];
    let releases: String = releases.map(|(version, at, shares)| release(version, at, 50, shares)).concat();
    let sleeps = fault("dies", "laptop-1", "at = \"30s\"\nreturns = \"2h\"");
    let outcome = good(&classroom(3, &(releases + &sleeps)), 1);
    assert_eq!(laptop(&outcome, 1).applied.as_deref(), Some("1.2"));
    assert!(laptop(&outcome, 1).reused_bytes > 0);
}

#[test]
fn power_fails_and_nothing_durable_is_fetched_again() {
    for at_ms in [500, 1_000, 1_500, 2_000] {
        let cut = fault("dies", "laptop-1", &format!("at = \"{at_ms}ms\"\nreturns = \"30s\""));
        let outcome = good(&classroom(1, &(release("1.0", 0, 400, 0) + &cut)), 1);
        // Lost is what was written within the last two syncs; the link brings 20 Mbit/s, that is 150 kB in 60 ms.
        let received = laptop(&outcome, 1).from_seed_bytes;
        assert!((400 * CHUNK_BYTES..430 * CHUNK_BYTES).contains(&received), "cut at {at_ms} ms: {received}");
    }
}

#[test]
fn liar_wastes_a_chunk_of_each_neighbour_and_no_more() {
    let outcome = good(&classroom(8, &(release("1.0", 0, 200, 0) + &fault("lies", "laptop-3", ""))), 1);
    assert!(outcome.ledger.wrong_bytes > 0);
    for host in outcome.hosts.iter().filter(|host| host.host.0 != 3) {
        assert!(host.wrong_bytes < 2 * (CHUNK_BYTES + 100), "{host:?}");
    }
}

#[test]
fn second_release_moves_only_what_is_new() {
    let releases = release("1.0", 0, 100, 0) + &release("1.1", 60, 100, 90);
    let outcome = good(&classroom(4, &releases), 1);
    for host in &outcome.hosts[1..] {
        assert_eq!(host.reused_bytes, 90 * CHUNK_BYTES);
        let received = host.from_seed_bytes + host.from_laptops_bytes;
        assert!((110 * CHUNK_BYTES..111 * CHUNK_BYTES).contains(&received), "{host:?}");
    }
}

#[test]
fn one_laptop_asks_for_each_file_and_document_once_and_idle_both_know_that_the_other_has_it() {
    let mut scenario = classroom(1, &release("1.0", 0, 1, 0));
    scenario.idle = Span::from_secs(600);
    let outcome = good(&scenario, 1);
    let hello = |role| Message::Hello(Hello { features: 0, repository: RepositoryId([0; 32]), role });
    let head = Message::Head(Some(trust::Head { root: 1, timestamp: 1, snapshot: 1, digest: [0; 32] }));
    let in_frame = |message: &Message| FRAME_PREFIX_BYTES + message.encoded_bytes();
    let head_bytes = in_frame(&head);
    let metadata = |role, version| Message::WantMetadata(WantMetadata { role, version });
    let document = |id| Message::WantDocument(WantDocument { id, base: None, offset: 0 });
    let said = [
        hello(mesh::Role::Device),
        hello(mesh::Role::Seed),
        head,
        metadata(trust::Role::Timestamp, None),
        metadata(trust::Role::Snapshot, Some(1)),
        metadata(trust::Role::Targets, Some(1)),
        metadata(trust::Role::Delegated(CHANNEL.to_owned()), Some(1)),
        document(DocumentId::Manifest(ManifestId([0; 32]))),
        document(DocumentId::ChunkList(ChunkListId([0; 32]))),
    ];
    let (_, idle) = outcome.traffic.idle(outcome.ended_at).unwrap();
    let before = outcome.traffic.sent().heads_and_asks - idle.heads_and_asks;
    assert_eq!(before, said.iter().map(in_frame).sum::<u64>());
    assert_eq!(outcome.traffic.busiest_second().1.heads_and_asks, before);
    assert_eq!(outcome.traffic.sent().chunks, outcome.ledger.sent_bytes);
    // The laptop knows that the seed has what it has, and tells it so once it is no news; the seed may have repeated its
    // head before that, and then both are silent.
    assert_eq!((idle.total(), idle.total() % head_bytes), (idle.heads_and_asks, 0));
    assert!((1..=2).contains(&(idle.total() / head_bytes)), "{idle:?}");
}
