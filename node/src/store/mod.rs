//! What a node has on disk, and the threads that touch it, so that hashing, compressing and syncing
//! never hold up the mesh.
//!
//! Two threads, each the only owner of what it holds: the `keeper` of a device writes (staging,
//! syncing, applying, remembering), the `lender` of any node reads (chunks for peers, documents).
//! They take jobs in order and report what happened to the node's loop. A seed has no keeper: its
//! store is the repository, which the publisher writes.

pub mod documents;
pub mod home;
mod keeper;
mod lately;
mod lender;
pub mod state;

pub use keeper::KeeperJob;
pub use lender::LenderJob;

use crate::net::OutgoingChunk;
use crate::repository::Repository;
use crate::status::{idles, waits};
use anyhow::{Context, bail};
use home::Home;
use protocol::id::PeerId;
use protocol::input::{ApplyFault, Input};
use protocol::mesh::{Caps, Role, Strategy};
use protocol::message::Message;
use protocol::node::{Config, Node, Wait};
use protocol::time::{Time, UnixTime};
use std::sync::mpsc as threads;
use tokio::sync::mpsc;

/// Chunks that may wait for the keeper: at most 8 MiB. While so many wait, none is read from peers.
pub const KEEPER_JOBS_MAX: usize = 32;

/// Something that a store thread has done.
#[derive(Debug)]
pub enum Done {
    /// Tell the node.
    Input(Input),
    /// Tell the node that a chunk that arrived was dealt with, which makes room for another.
    Kept(Input),
    /// Say this to a peer.
    Say(PeerId, Message),
    /// Send this chunk to a peer.
    Send(PeerId, OutgoingChunk),
    /// The store has failed for good; the node must stop and say why.
    Failed(anyhow::Error),
}

/// The store threads of one node. They end when this is dropped and their jobs are done.
pub struct Store {
    keeper: Option<threads::Sender<KeeperJob>>,
    lender: threads::Sender<LenderJob>,
    done: mpsc::UnboundedReceiver<Done>,
    threads: Vec<std::thread::JoinHandle<()>>,
    chunks_waiting: usize,
}

impl Store {
    /// The store of a device.
    pub fn of_device(home: Home) -> std::io::Result<Self> {
        let (done_sender, done) = mpsc::unbounded_channel();
        let (keeper, keeper_jobs) = threads::channel();
        let (lender, lender_jobs) = threads::channel();
        let documents = home.documents.clone();
        let lends = lender.clone();
        let keeper_done = done_sender.clone();
        let keeper_thread = spawn("keeper", done_sender.clone(), move || {
            keeper::Keeper::new(home, lends, keeper_done).run(&keeper_jobs)
        })?;
        let lender_thread = spawn("lender", done_sender.clone(), move || {
            lender::Lender::of_device(documents, done_sender).run(&lender_jobs)
        })?;
        Ok(Self { keeper: Some(keeper), lender, done, threads: vec![keeper_thread, lender_thread], chunks_waiting: 0 })
    }

    /// The store of a seed: a repository.
    pub fn of_seed(repository: Repository) -> std::io::Result<Self> {
        let (done_sender, done) = mpsc::unbounded_channel();
        let (lender, lender_jobs) = threads::channel();
        let thread = spawn("lender", done_sender.clone(), move || {
            lender::Lender::of_seed(repository, done_sender).run(&lender_jobs)
        })?;
        Ok(Self { keeper: None, lender, done, threads: vec![thread], chunks_waiting: 0 })
    }

    /// Gives the keeper something to do; nothing on a seed, which keeps nothing.
    pub fn keep(&mut self, job: KeeperJob) {
        if matches!(job, KeeperJob::Chunk { .. }) {
            self.chunks_waiting += 1;
        }
        if let Some(keeper) = &self.keeper {
            // A keeper that is gone has said why.
            let _ = keeper.send(job);
        }
    }

    /// Whether this is a device's store.
    pub fn keeps(&self) -> bool {
        self.keeper.is_some()
    }

    /// Gives the lender something to do.
    pub fn lend(&self, job: LenderJob) {
        let _ = self.lender.send(job);
    }

    /// Whether the keeper can take another chunk.
    pub fn takes_chunks(&self) -> bool {
        self.chunks_waiting < KEEPER_JOBS_MAX
    }

    /// What was done next.
    pub async fn next(&mut self) -> Done {
        match self.done.recv().await {
            Some(Done::Kept(input)) => {
                self.chunks_waiting -= 1;
                Done::Input(input)
            }
            Some(done) => done,
            None => Done::Failed(anyhow::anyhow!("the store threads have ended")),
        }
    }

    /// Lets the threads finish what they were given, and waits for them.
    pub fn close(self) {
        let Self { keeper, lender, done, threads, .. } = self;
        drop((keeper, lender, done));
        for thread in threads {
            // A thread that panicked has told so on stderr.
            let _ = thread.join();
        }
    }
}

fn spawn(
    name: &'static str,
    done: mpsc::UnboundedSender<Done>,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _told = ToldIfPanicking { name, done };
        work();
    })
}

/// Tells the node's loop when a store thread panics, lest the node goes on without its store.
struct ToldIfPanicking {
    name: &'static str,
    done: mpsc::UnboundedSender<Done>,
}

impl Drop for ToldIfPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self
                .done
                .send(Done::Failed(anyhow::anyhow!("the {} thread has panicked; please report it", self.name)));
        }
    }
}

/// What applying without a running node led to.
pub enum Offline {
    /// This version is applied now.
    Applied(String),
    /// This version was applied before.
    AlreadyApplied(String),
}

/// The node of a home that nobody runs, for what it would say by a clock that shows `now`, or by none.
pub fn node_at_rest(home: &Home, now: Option<UnixTime>) -> anyhow::Result<Node> {
    let config = Config {
        role: Role::Device,
        policy: Some(home.state.policy()?),
        applied: home.deployment.current_version().and_then(|version| version.parse().ok()),
        floor: home.floor()?,
        applies: true,
        has_origin: false,
        strategy: Strategy::default(),
        upload_slots: 0,
        caps: Caps::default(),
    };
    let mut node = Node::restore(config, home.chains()?, [0; 32]);
    now.into_iter().for_each(|now| node.handle(Time::default(), Input::WallClock(now)));
    Ok(node)
}

/// Applies the newest release that a home knows, if all of it is there; the home's node does not run.
pub fn apply_offline(home: Home, now: UnixTime) -> anyhow::Result<Offline> {
    let floor = home.floor()?;
    // The rules of a running node decide what may be applied.
    let node = node_at_rest(&home, Some(now))?;
    let listed = node.wanted().into_iter().next().with_context(|| match (node.trust().head(), node.school()) {
        (None, _) => "no release is known yet; run the device until it has found a peer".to_owned(),
        (_, Some(_)) => "the school assigns nothing to this device that its publisher lists".to_owned(),
        (_, None) => idles(&node).unwrap_or_else(|| {
            "what is applied is newer than all that the publisher lists; wait for a newer release".to_owned()
        }),
    })?;
    let version = listed.path.version.to_string();
    match node.waits_for(&listed) {
        Some(wait) if !wait.yields_to_a_person() => bail!("{version} {}", waits(&node, wait)),
        Some(wait @ Wait::Stale(..)) => {
            tracing::warn!("there may be a newer release than {version}: {}", waits(&node, wait));
        }
        _ => {}
    }
    let incomplete = || format!("{version} is not here whole yet; run the device until it is");
    let release = home.documents.release(listed.manifest).with_context(incomplete)?;
    let (done, _) = mpsc::unbounded_channel();
    let (lender, _) = threads::channel();
    let mut keeper = keeper::Keeper::new(home, lender, done);
    let (held, applied) = keeper.prepare(release)?;
    if applied {
        return Ok(Offline::AlreadyApplied(version));
    }
    anyhow::ensure!(held.is_full(), incomplete());
    match keeper.apply(listed.manifest) {
        Ok(()) => keeper.raise_floor(floor.max(listed.custom.release_counter)).map(|()| Offline::Applied(version)),
        Err(ApplyFault::Damaged(chunks)) => {
            bail!("{} chunks were damaged; run the device to fetch them again", chunks.len())
        }
        Err(ApplyFault::Failed(why)) => bail!("{why}"),
    }
}
