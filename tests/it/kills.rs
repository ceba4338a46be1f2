//! `kill -9` at any moment of a fetch or an apply: what was stored stays stored, and what is applied is
//! one release, whole.

use super::class::Class;
use super::judge::assert_same;
use super::needs::{Need, can_run};
use super::process::Process;
use super::trees::{self, noise};
use node::status::ReleaseStatus;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const KILLS: u32 = 20;
/// How long a life that is killed while it fetches lasts at most once there is a place for the release, in
/// milliseconds. The rate is such that a fetch takes ten times as long on any machine.
const LIFE_MS: u64 = 400;
const SLOW: &str = "50Mbit";
const FAST: &str = "10Gbit";
/// What a kill may cost: a batch that is not durable yet, and the chunks that wait to be written.
const LOST_BYTES_MAX: u64 = 16 * 1024 * 1024 + 32 * 256 * 1024;

/// Random moments, the same at every run.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below_ms: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % below_ms)
    }
}

/// A laptop that is killed again and again, and what its lives have told.
struct Victim<'a> {
    class: &'a Class,
    peers: Vec<SocketAddr>,
    /// What its trees should be, by version.
    trees: Vec<(String, PathBuf)>,
    /// The most bytes of the newest release that a life has reported as held.
    held_bytes: u64,
    /// How fast it fetches, as `--download-max` takes it.
    download_max: &'static str,
}

impl Victim<'_> {
    /// Another life.
    fn live(&self) -> Process {
        let options = ["--listen", "127.0.0.1:0", "--no-mdns", "--download-max", self.download_max];
        self.class.laptop_with("victim", &options, &self.peers)
    }

    /// Kills it, and checks what it leaves behind. Returns whether the newest release is applied.
    fn dies(&mut self, mut life: Process) -> bool {
        life.kill();
        self.check_reports(&life);
        self.check_trees()
    }

    /// Nothing that an earlier life reported as held is missing, and so nothing of it is fetched again.
    fn check_reports(&mut self, life: &Process) {
        let version = &self.trees[self.trees.len() - 1].0;
        let releases = life.said.iter().flat_map(|status| &status.releases);
        let told: Vec<&ReleaseStatus> =
            releases.filter(|release| release.version == *version && release.chunks > 0).collect();
        let [first, .., last] = told[..] else { return };
        let had_bytes = first.had_bytes;
        assert!(had_bytes >= self.held_bytes, "of {} bytes that were held {had_bytes} are left", self.held_bytes);
        for release in &told {
            // Noise travels as it is: bytes on the wire are plain bytes.
            let here_bytes = had_bytes + release.from_seeds_bytes + release.from_devices_bytes;
            assert!((had_bytes..=here_bytes).contains(&release.held_bytes), "{release:?}");
            assert!(here_bytes - release.held_bytes <= LOST_BYTES_MAX, "a kill would cost too much: {release:?}");
            assert!(here_bytes <= release.total_bytes, "more was fetched than was missing: {release:?}");
        }
        self.held_bytes = last.held_bytes;
    }

    /// `current` and `previous` are releases, each exactly. Returns whether the newest is current.
    fn check_trees(&self) -> bool {
        let (current, previous) = (self.class.current("victim"), self.class.previous("victim"));
        let newest = &self.trees[self.trees.len() - 1].0;
        self.check_tree(&previous);
        self.check_tree(&current).is_some_and(|version| version == newest)
    }

    fn check_tree(&self, path: &Path) -> Option<&String> {
        let link = std::fs::read_link(path).ok()?;
        let name = link.file_name().unwrap().to_str().unwrap();
        let (version, tree) = self.trees.iter().find(|(version, _)| name.starts_with(&format!("{version}-"))).unwrap();
        assert_same(tree, path);
        Some(version)
    }
}

/// A few large files of noise and many small ones, so that a fetch and an apply both take a while.
fn tree(class: &Class, name: &str) -> PathBuf {
    let tree = class.path(name);
    trees::bulk(&tree, 16, 1_500_000);
    for number in 0..2_000 {
        let folder = tree.join(format!("small {}", number % 10));
        std::fs::create_dir_all(&folder).unwrap();
        // Two trees share two files of three.
        let name = if number % 3 == 0 { name } else { "either" };
        std::fs::write(folder.join(number.to_string()), noise(&format!("{name} {number}"), 700)).unwrap();
    }
    tree
}

#[test]
fn killed_at_twenty_moments_of_a_fetch_and_an_apply() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let class = Class::new();
    let tree = tree(&class, "tree");
    let published = class.publish(&tree, "1.0");
    let school = class.school();
    let mut ann = class.laptop("ann", &[school.address]);
    ann.until_applied("1.0");

    let mut moments = Moments(7);
    let mut victim = Victim {
        class: &class,
        peers: vec![school.address, ann.address],
        trees: vec![("1.0".to_owned(), tree.clone())],
        held_bytes: 0,
        download_max: SLOW,
    };
    let mut while_fetching = 0;
    for kill in 0..KILLS {
        let mut life = victim.live();
        if kill < 14 {
            let prepared = |life: &Process| life.release("1.0").is_some_and(|release| release.chunks > 0);
            life.until("there is a place for the release", prepared);
        } else {
            life.until_note("is here whole");
        }
        life.listen_for(moments.next(LIFE_MS));
        if victim.dies(life) {
            break;
        }
        while_fetching += u32::from(victim.held_bytes < published.chunk_bytes);
    }
    assert!(while_fetching >= 3, "only {while_fetching} kills struck before all was there");

    let mut life = victim.live();
    let applied = life.until_applied("1.0");
    victim.check_reports(&life);
    assert_eq!(applied.held_bytes, applied.had_bytes + applied.from_seeds_bytes + applied.from_devices_bytes);
    assert_same(&tree, &class.current("victim"));
}

#[test]
fn killed_at_twenty_moments_around_the_switch_between_two_releases() {
    if !can_run(&[Need::Tool("rsync")]) {
        return;
    }
    let class = Class::new();
    let trees = [tree(&class, "one"), tree(&class, "two")];
    class.publish(&trees[0], "1");
    let school = class.school();
    let mut victim = Victim {
        class: &class,
        peers: vec![school.address],
        trees: vec![("1".to_owned(), trees[0].clone())],
        held_bytes: 0,
        download_max: FAST,
    };
    victim.live().until_applied("1");
    let mut moments = Moments(99);
    let mut switches = 0;
    let mut applied = true;
    for kill in 0..KILLS {
        if applied {
            let version = victim.trees.len() + 1;
            let tree = &trees[(version - 1) % 2];
            class.publish(tree, &version.to_string());
            victim.trees.push((version.to_string(), tree.clone()));
            victim.held_bytes = 0;
        }
        let version = victim.trees.len().to_string();
        let mut life = victim.live();
        let heard = format!("stable {version} is the newest release");
        if kill % 2 == 0 {
            life.until("it has heard of the newest release", |life| {
                life.note(&heard).is_some() || life.release(&version).is_some()
            });
        } else {
            life.until_note("is here whole");
        }
        life.listen_for(moments.next(1_200));
        applied = victim.dies(life);
        switches += u32::from(applied);
    }
    assert!(switches > 0, "no kill struck after a switch");
    let version = victim.trees.len().to_string();
    victim.live().until_applied(&version);
    assert!(victim.check_trees());
}
