//! One history, told twice: in the simulator's virtual time, and by real processes over real libp2p.
//! Both run the same state machine, so both must end in the same state.

use super::class::Class;
use super::process::Process;
use super::trees;
use protocol::content::name::TargetPath;
use simulator::scenario::Scenario;

const FILES: usize = 60;
/// One chunk a file: below the smallest chunk that is ever cut off a longer file.
const FILE_BYTES: usize = 10_240;
const CHANGED: usize = 6;

/// Where a laptop ends: the version it has applied, the chunks it holds of how many, and the bytes of the
/// newest release that it had before.
type End = (String, u32, u32, u64);

/// Ann is there all the time. Bob is killed in the first release and comes back. Cleo comes late, when the
/// second release is out.
fn in_the_simulator() -> Vec<End> {
    let shared = 100 - 100 * CHANGED / FILES;
    let scenario = format!(
        r#"
        schema = 1
        name = "parity"
        until = "3h"
        seed = {{ up = "20Mbit", down = "20Mbit", latency = "1ms" }}
        laptops = [{{ count = 3, up = "20Mbit", down = "20Mbit", latency = "1ms", disk_write = "20MB", disk_sync = "20ms" }}]
        release = [
            {{ version = "1.0", at = "0s", chunks = {FILES}, chunk = "10KiB" }},
            {{ version = "1.1", at = "2m", chunks = {FILES}, chunk = "10KiB", shares_percent = {shared} }},
        ]
        fault = [
            {{ kind = "dies", host = "laptop-2", at = "200ms", returns = "60s" }},
            {{ kind = "joins", host = "laptop-3", at = "1h" }},
        ]
        "#
    );
    let outcome = simulator::run(&Scenario::parse(&scenario, "parity").unwrap(), 7);
    assert!(!outcome.failed(), "{:#?}", outcome.violations);
    let laptops = outcome.hosts.iter().skip(1);
    laptops
        .map(|laptop| {
            let (held, of) = laptop.chunks_held;
            (laptop.applied.clone().unwrap(), held, of, laptop.reused_bytes)
        })
        .collect()
}

fn in_reality() -> Vec<End> {
    let class = Class::new();
    let tree = class.path("tree");
    trees::bulk(&tree, FILES, FILE_BYTES);
    class.publish(&tree, "1.0");
    let school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    let mut bob = class.laptop("bob", &[school.address, ann.address]);
    bob.until("it has heard of 1.0", |bob| bob.release("1.0").is_some());
    bob.kill();
    let mut bob = class.laptop("bob", &[school.address, ann.address]);
    for laptop in [&mut ann, &mut bob] {
        laptop.until_applied("1.0");
    }
    // `bulk` spreads its files over folders; each of the first few stands in one of its own.
    for number in 0..CHANGED {
        let file = tree.join(format!("folder {number}/{number}.bin"));
        assert!(file.is_file());
        std::fs::write(file, trees::noise(&format!("changed {number}"), FILE_BYTES)).unwrap();
    }
    class.publish(&tree, "1.1");
    ann.until_applied("1.1");
    bob.until_applied("1.1");
    let mut cleo = class.laptop("cleo", &[school.address, ann.address, bob.address]);
    cleo.until_applied("1.1");
    [ann, bob, cleo].iter_mut().map(end).collect()
}

fn end(laptop: &mut Process) -> End {
    let release = laptop.release("1.1").unwrap().clone();
    laptop.until("all of it is told of", |laptop| {
        laptop.release("1.1").is_some_and(|release| release.held_bytes == release.total_bytes)
    });
    let held = u32::try_from(release.held_bytes / FILE_BYTES as u64).unwrap();
    (release.version, held, release.chunks, release.had_bytes)
}

#[test]
fn the_same_history_ends_the_same_in_virtual_time_and_over_real_sockets() {
    let path: TargetPath = "stable/tree_1.1.manifest".parse().unwrap();
    let had = ((FILES - CHANGED) * FILE_BYTES) as u64;
    let chunks = u32::try_from(FILES).unwrap();
    let expected: Vec<End> =
        [had, had, 0].into_iter().map(|had| (path.version.to_string(), chunks, chunks, had)).collect();
    assert_eq!(in_the_simulator(), expected);
    assert_eq!(in_reality(), expected);
}
