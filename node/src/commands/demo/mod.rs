//! `homeroom demo`: a whole classroom on one machine, from the publisher's tree to the last laptop.
//!
//! It does nothing that the other verbs cannot do: it makes a repository, enrolls laptops, runs a school
//! and the laptops as processes of their own, publishes two releases, and measures. In reading order:
//! the story here, `workdir` (where it happens), `trees` and `edit` (what is published), `class` (the
//! processes), `screen` (while it runs), `table` (what came of it), `interrupt` (Ctrl-C).

mod class;
mod edit;
mod interrupt;
mod screen;
mod table;
mod trees;
mod workdir;

pub use interrupt::Interrupted;

use super::{default_keys, now};
use crate::deploy::{self, Authority, Difference};
use crate::publisher::desk::Desk;
use crate::publisher::founding;
use crate::publisher::keys::no_password;
use crate::report::megabytes;
use crate::repository::Repository;
use crate::repository::publish::{PublishError, PublishOptions, Published, publish_tree};
use crate::store::home::Home;
use anyhow::{Context, bail};
use class::{Class, Member};
use interrupt::Interrupt;
use protocol::content::manifest::VerifiedManifest;
use protocol::content::name::TargetPath;
use protocol::content::release::Release;
use protocol::limits::PEERS_MAX;
use protocol::policy::Policy;
use protocol::trust::{Target, TrustedSet};
use screen::Screen;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use table::{LaptopOutcome, Outcome, ReleaseOutcome};
use workdir::WorkingDirectory;

const CHANNEL: &str = "demo";
/// What happens is shown, and Ctrl-C is seen, at least so often.
const TICK: Duration = Duration::from_millis(100);
/// Laptops find their school within this time, or not at all.
const MEET_WITHIN: Duration = Duration::from_secs(20);
/// Once all know the school, they get so long to find each other.
const GATHER_WITHIN: Duration = Duration::from_secs(5);
/// Nodes say what has changed every 250 ms; after so long all have said it.
const SETTLE: Duration = Duration::from_millis(600);
/// A class in which nothing moves for so long will not move again.
const STALL: Duration = Duration::from_secs(300);
/// Differences between a tree and its release that are named.
const DIFFERENCES_SHOWN: usize = 3;

/// What `homeroom demo` is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  homeroom demo
  homeroom demo ./sugar-1.0 ./sugar-1.1 --laptops 30
  homeroom demo /srv/image --keep /tmp/classroom

With --json, standard output is one document: `kept` (DIR or null), `memory_bytes_peak` (of each laptop), and `releases`, each with
`version`, `release`, `entries`, `tree_bytes`, `chunks`, `new_chunks`, `new_bytes`, `new_wire_bytes` (what no laptop had; on the wire),
`school_sent_bytes`, `school_copies` (of new_wire_bytes; null if nothing was new) and `laptops`, each with
`laptop`, `seconds` (from publish to applied), `from_school_bytes`, `from_laptops_bytes`, `duplicate_bytes` (on the wire), `had_bytes`, `fetched_chunks`.")]
pub struct Arguments {
    /// The directory to publish as release 1.0 [default: about 128 MB of this machine's system]
    tree: Option<PathBuf>,
    /// The directory to publish as release 2.0 [default: an edited copy of TREE]
    tree2: Option<PathBuf>,
    /// How many laptops
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    laptops: u16,
    /// Leave everything in DIR, a new directory: laptop-1/current, laptop-1/previous, ..., repo, trees
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Tell the result as JSON
    #[arg(long)]
    json: bool,
}

/// Carries two releases across a classroom, and tells what it took.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { tree, tree2, laptops, keep, json } = arguments;
    let interrupt = Interrupt::listen().context("cannot take signals")?;
    let (tree, tree2) = (tree.as_deref(), tree2.as_deref());
    let needed_bytes = needed_bytes(tree, tree2, laptops.into())?;
    let given: Vec<&Path> = tree.into_iter().chain(tree2).collect();
    let directory = WorkingDirectory::create(keep.as_deref(), &given)?;
    directory.check_room(laptops.into(), needed_bytes)?;
    let mut demo = Demo { directory: &directory, laptops: laptops.into(), screen: Screen::new(), interrupt };
    demo.say_where(needed_bytes);
    let outcome = demo.play(tree, tree2);
    // Whatever failed, if somebody wanted the end, then that is why.
    demo.interrupt.check()?;
    let outcome = outcome?;
    let mut stdout = std::io::stdout().lock();
    if json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&outcome)?)?;
    } else {
        write!(stdout, "\n{outcome}")?;
    }
    Ok(())
}

struct Demo<'a> {
    directory: &'a WorkingDirectory,
    laptops: usize,
    screen: Screen,
    interrupt: Interrupt,
}

impl Demo<'_> {
    /// The story.
    fn play(&mut self, tree: Option<&Path>, tree2: Option<&Path>) -> anyhow::Result<Outcome> {
        let first = self.first_tree(tree)?;
        let mut repository = self.set_up()?;
        let published = self.put_in(&mut repository, &first, "1.0")?;
        let mut class = Class::start(self.directory, self.laptops, &self.interrupt)?;
        self.meet(&mut class)?;
        let mut releases = vec![self.carry(&mut class, &repository, &published)?];
        let second = self.second_tree(&first, tree2)?;
        let published = self.put_in(&mut repository, &second, "2.0")?;
        releases.push(self.carry(&mut class, &repository, &published)?);
        Ok(Outcome {
            kept: self.directory.is_kept().then(|| self.directory.path().to_owned()),
            releases,
            memory_bytes_peak: class.laptops().iter().map(Member::memory_bytes_peak).collect(),
        })
    }

    fn say_where(&self, needed_bytes: u64) {
        let (path, size) = (self.directory.path().display(), megabytes(needed_bytes));
        self.screen.say(&if self.directory.is_kept() {
            format!("everything will be left in {path}: at most {size}")
        } else {
            format!("working in {path}, which takes at most {size} and is removed at the end; --keep DIR would keep it")
        });
    }

    fn first_tree(&self, given: Option<&Path>) -> anyhow::Result<PathBuf> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        self.screen.say("copying a part of this machine's system, to have something to publish");
        let tree = self.directory.tree(1);
        trees::collect(Path::new("/"), &tree, &self.interrupt)?;
        Ok(tree)
    }

    fn second_tree(&self, first: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        self.screen.say("editing a copy of it, for a second release");
        let tree = self.directory.tree(2);
        trees::copy(first, &tree, &self.interrupt)?;
        edit::edit(&tree)?;
        Ok(tree)
    }

    /// Makes an empty repository, and homes that are enrolled with it.
    fn set_up(&self) -> anyhow::Result<Repository> {
        let path = self.directory.repository();
        founding::create(&path, &default_keys(&path), now()?)?;
        Repository::create(&path)?;
        let root = path.join("metadata/1.root.json");
        let root = std::fs::read(&root).with_context(|| format!("cannot read {}", root.display()))?;
        let (trust, policy) = (TrustedSet::pin(&root)?, Policy::new(CHANNEL.parse()?));
        (1..=self.laptops).try_for_each(|number| Home::enroll(&self.directory.home(number), &trust, &policy))?;
        Ok(Repository::open_to_publish(&path)?)
    }

    /// Puts a tree's content into the repository. No device hears of it before it is released.
    fn put_in(&self, repository: &mut Repository, tree: &Path, version: &str) -> anyhow::Result<Published> {
        let target: TargetPath = format!("{CHANNEL}/tree_{version}.manifest").parse()?;
        let options = PublishOptions { allow_setuid: true, ..PublishOptions::default() };
        let mut show = self.screen.publishing(version);
        let published = publish_tree(repository, tree, &target, &options, &mut |progress| {
            show(progress);
            if self.interrupt.is_told() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match published {
            Err(PublishError::Stopped) => Err(Interrupted.into()),
            published => Ok(published?),
        }
    }

    /// Waits until every laptop knows the school and, for a while, until all know each other.
    fn meet(&self, class: &mut Class) -> anyhow::Result<()> {
        self.screen.say(&format!("a school and {} laptops are looking for each other on this machine", self.laptops));
        let started = Instant::now();
        let mut all_know_school = None;
        loop {
            class.listen(TICK)?;
            let alone: Vec<String> = class
                .laptops()
                .iter()
                .filter(|laptop| !laptop.knows_school())
                .map(|laptop| laptop.who().to_string())
                .collect();
            if !alone.is_empty() && started.elapsed() >= MEET_WITHIN {
                bail!(
                    "{} found no school within {} s; they look by mDNS on the interface lo, so check that it is up \
                     and that no firewall stops UDP port 5353 or TCP on it",
                    alone.join(", "),
                    MEET_WITHIN.as_secs()
                );
            }
            if alone.is_empty() {
                let since = *all_know_school.get_or_insert_with(Instant::now);
                let all = self.laptops.min(PEERS_MAX);
                if class.laptops().iter().all(|laptop| laptop.peers() >= all) || since.elapsed() >= GATHER_WITHIN {
                    return Ok(());
                }
            }
        }
    }

    /// Releases what was put in, and waits until every laptop has applied it and is found exact.
    fn carry(
        &self,
        class: &mut Class,
        repository: &Repository,
        published: &Published,
    ) -> anyhow::Result<ReleaseOutcome> {
        let Published { target, manifest, manifest_bytes, new, .. } = published;
        self.screen.say(&format!(
            "carrying {} to {} laptops: {} in {} chunks, {} compressed, are new",
            target.version,
            self.laptops,
            megabytes(new.plain_bytes),
            new.chunks,
            megabytes(new.wire_bytes)
        ));
        let sent_before_bytes = class.school_sent_bytes();
        let (repo, entry) = (repository.path(), Target { length: *manifest_bytes, sha256: manifest.0, custom: None });
        let desk = Desk::open(repo, &default_keys(repo), no_password, now()?)?;
        desk.list(target, entry).and_then(|change| desk.put_out(change))?;
        let released = switched_at(&repo.join("metadata/timestamp.json"))?;

        let mut carrying = self.screen.carrying(*manifest, class.laptops());
        let (mut moved, mut moved_at) = (None, Instant::now());
        while !class.laptops().iter().all(|laptop| laptop.has_applied(*manifest)) {
            class.listen(TICK)?;
            carrying.update(class.laptops());
            let stands: Vec<_> = class.laptops().iter().map(|laptop| laptop.release(*manifest).cloned()).collect();
            if moved.as_ref() != Some(&stands) {
                (moved, moved_at) = (Some(stands), Instant::now());
            } else if moved_at.elapsed() >= STALL {
                bail!(
                    "nothing has moved for {} s; run it again with --keep DIR and read the logs there",
                    STALL.as_secs()
                );
            }
        }
        drop(carrying);
        let settled = Instant::now() + SETTLE;
        while let Some(left) = settled.checked_duration_since(Instant::now()) {
            class.listen(left)?;
        }
        let sent_bytes = class.school_sent_bytes() - sent_before_bytes;

        self.verify(&load(repository, published)?)?;
        let rows = class.laptops().iter().enumerate().map(|(index, laptop)| {
            let applied = switched_at(&self.directory.home(index + 1).join("current"))?;
            let status = laptop.release(*manifest).context("an applied release is forgotten")?;
            Ok(LaptopOutcome::new(index + 1, applied.saturating_sub(released), status))
        });
        Ok(ReleaseOutcome::new(published, sent_bytes, rows.collect::<anyhow::Result<_>>()?))
    }

    /// Walks every applied tree, and compares it with the release.
    fn verify(&self, release: &Arc<Release>) -> anyhow::Result<()> {
        self.screen.say("verifying every applied tree");
        let (tell, verified) = mpsc::channel();
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(self.laptops);
        for worker in 1..=workers {
            let homes: Vec<_> = (worker..=self.laptops).step_by(workers).map(|n| (n, self.directory.home(n))).collect();
            let (tell, release) = (tell.clone(), Arc::clone(release));
            std::thread::Builder::new().name("verify".to_owned()).spawn(move || {
                for (number, home) in homes {
                    // Nobody listens any more once the demo was told to end.
                    let _ = tell.send((number, differences(&home.join("current"), &release)));
                }
            })?;
        }
        let mut left = self.laptops;
        while left > 0 {
            self.interrupt.check()?;
            let Ok((number, differences)) = verified.recv_timeout(TICK) else { continue };
            let differences = differences.with_context(|| format!("cannot read what laptop {number} has applied"))?;
            if !differences.is_empty() {
                let shown: Vec<String> =
                    differences.iter().take(DIFFERENCES_SHOWN).map(Difference::to_string).collect();
                bail!(
                    "laptop {number} has applied something else, {} differences: {}",
                    differences.len(),
                    shown.join("; ")
                );
            }
            left -= 1;
        }
        Ok(())
    }
}

/// What a demo takes on disk at most: both trees on every laptop, the larger one in the repository beside
/// what the other brings, and those that the demo makes.
fn needed_bytes(tree: Option<&Path>, tree2: Option<&Path>, laptops: u64) -> anyhow::Result<u64> {
    let first = tree.map_or(Ok(trees::DEFAULT_TREE_BYTES), trees::measure)?;
    let second = tree2.map_or(Ok(first.saturating_add(edit::EDIT_BYTES)), trees::measure)?;
    let both = first.saturating_add(second);
    let in_repository = if tree2.is_none() { second } else { both };
    let made = [(tree, first), (tree2, second)].into_iter().filter(|(given, _)| given.is_none());
    let made_bytes = made.fold(in_repository, |sum, (_, bytes)| sum.saturating_add(bytes));
    Ok(both.saturating_mul(laptops).saturating_add(made_bytes))
}

/// A release, from what the repository holds of it.
fn load(repository: &Repository, published: &Published) -> anyhow::Result<Arc<Release>> {
    let Published { target, manifest, manifest_bytes, .. } = published;
    let bytes = repository.manifest(target, manifest)?;
    let verified = VerifiedManifest::verify(&bytes, *manifest, *manifest_bytes)?;
    let chunk_list = repository.chunk_list(&verified.chunk_list.id)?;
    Ok(Arc::new(Release::new(Arc::new(verified), &chunk_list)?))
}

fn differences(tree: &Path, release: &Arc<Release>) -> std::io::Result<Vec<Difference>> {
    let tree = deploy::Tree::open(tree, Arc::clone(release))?;
    deploy::verify(&tree, Authority::of_process(), |_| {})
}

/// When a name was last switched to what it names now: a rename changes the time of what is renamed.
fn switched_at(path: &Path) -> anyhow::Result<Duration> {
    let file = std::fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(Duration::new(u64::try_from(file.ctime()).unwrap_or(0), u32::try_from(file.ctime_nsec()).unwrap_or(0)))
}
