//! The thread that writes: it alone changes a device's trees and state.
//!
//! Chunks are checked and written at their places as they come, made durable in batches, recorded, and
//! only then reported as held. A crash loses at most the batch that was under way.

use super::home::Home;
use super::{Done, LenderJob};
use crate::deploy::{self, ApplyError, Authority, Staging};
use protocol::bitmap::Bitmap;
use protocol::content::chunk::VerifiedChunk;
use protocol::content::encoding::{Encoding, decode};
use protocol::content::release::Release;
use protocol::id::{ManifestId, PeerId, Signer};
use protocol::input::{ApplyFault, Input, Verdict};
use std::sync::Arc;
use std::sync::mpsc as threads;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A batch is synced once it has so many plain bytes, so that a kill costs little.
const BATCH_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A batch is synced this long after its first chunk, so that peers hear of it soon: what they hear of late they
/// pass on late. On a disk that syncs at once this costs a sync for every few chunks.
const BATCH_AGE: Duration = Duration::from_millis(25);
/// On a slow disk a batch waits for twice as long as the last sync took, so that a device spends at most a
/// third of its time in syncs; but peers need never wait longer than this to hear of a chunk.
const BATCH_AGE_MAX: Duration = Duration::from_secs(2);

/// Something for the keeper to do.
#[derive(Debug)]
pub enum KeeperJob {
    /// Make a place for a release.
    Prepare(Arc<Release>),
    /// Check and write a chunk.
    Chunk {
        /// Who sent it.
        from: PeerId,
        /// Of which release.
        release: ManifestId,
        /// Its index in the chunk list.
        index: u32,
        /// The form of its bytes.
        encoding: Encoding,
        /// Its bytes as they came.
        payload: Vec<u8>,
    },
    /// Lay out the staged release, and switch to it.
    Apply(ManifestId),
    /// Replace what is saved of a signer's chain.
    SaveTrust(Signer, Vec<(String, Arc<[u8]>)>),
    /// Remember the `release_counter` below which this device does not go.
    RaiseFloor(u64),
}

/// The keeper of one device.
pub struct Keeper {
    home: Home,
    staged: Option<Staged>,
    last_sync: Duration,
    /// The applied release, once it was met: large, so it is not read a second time to copy from.
    applied: Option<Arc<Release>>,
    lender: threads::Sender<LenderJob>,
    done: mpsc::UnboundedSender<Done>,
}

/// The release being filled.
struct Staged {
    staging: Staging,
    held: Bitmap,
    batch: Vec<u32>,
    batch_bytes: u64,
    batch_since: Instant,
    /// Chunks of the batch that came uncompressed.
    incompressible: Vec<u32>,
}

impl Keeper {
    pub(super) fn new(home: Home, lender: threads::Sender<LenderJob>, done: mpsc::UnboundedSender<Done>) -> Self {
        Self { home, staged: None, last_sync: Duration::ZERO, applied: None, lender, done }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self, jobs: &threads::Receiver<KeeperJob>) {
        loop {
            let job = match self.batch_due_in() {
                // Due, though more may be waiting: peers wait to hear of what is here.
                Some(Duration::ZERO) => Err(threads::RecvTimeoutError::Timeout),
                Some(wait) => jobs.recv_timeout(wait),
                None => jobs.recv().map_err(|_| threads::RecvTimeoutError::Disconnected),
            };
            let result = match job {
                Ok(job) => self.work(job),
                Err(threads::RecvTimeoutError::Timeout) => self.sync(),
                Err(threads::RecvTimeoutError::Disconnected) => {
                    // The last batch is worth a sync: it need not be fetched again.
                    let _ = self.sync();
                    return;
                }
            };
            if let Err(error) = result
                && self.done.send(Done::Failed(error)).is_err()
            {
                return;
            }
        }
    }

    fn work(&mut self, job: KeeperJob) -> anyhow::Result<()> {
        match job {
            KeeperJob::Prepare(release) => {
                let id = release.id();
                let input = match self.prepare(release) {
                    Ok((held, applied)) => Input::Prepared { release: id, held, applied },
                    Err(error) => {
                        self.staged = None;
                        Input::PrepareFailed { release: id, why: format!("{error:#}") }
                    }
                };
                self.tell(input);
                Ok(())
            }
            KeeperJob::Chunk { from, release, index, encoding, payload } => {
                self.chunk(from, release, index, encoding, &payload)
            }
            KeeperJob::Apply(release) => {
                self.sync()?;
                let input = match self.apply(release) {
                    Ok(()) => Input::Applied(release),
                    Err(fault) => Input::ApplyFailed { release, fault },
                };
                self.tell(input);
                Ok(())
            }
            KeeperJob::RaiseFloor(floor) => self.raise_floor(floor),
            KeeperJob::SaveTrust(signer, files) => Ok(self.home.state.save_trust(signer, &files)?),
        }
    }

    pub(super) fn raise_floor(&mut self, floor: u64) -> anyhow::Result<()> {
        Ok(self.home.raise_floor(floor)?)
    }

    /// A place for the release, with what older trees hold of it. Returns what is there, and whether it
    /// is the applied release.
    pub(super) fn prepare(&mut self, release: Arc<Release>) -> anyhow::Result<(Bitmap, bool)> {
        self.staged = None;
        let name = deploy::tree_name(&release);
        if self.home.deployment.current() == Some(&name)
            && let Some(tree) = self.home.deployment.tree(&release)?
        {
            self.serve(tree);
            self.applied = Some(release.clone());
            return Ok((Bitmap::full(release.chunk_count()), true));
        }
        self.make_room(&release)?;
        let staging = self.home.deployment.stage(release.clone())?;
        let held = self.home.state.held(release.id())?.filter(|held| held.len() == release.chunk_count());
        let held = held.unwrap_or_else(|| Bitmap::new(release.chunk_count()));
        let mut staged = Staged::new(staging, held);
        self.reuse(&mut staged)?;
        for name in self.home.deployment.staged()? {
            if name != staged.staging.name() {
                self.home.deployment.discard_staged(&name)?;
            }
        }
        self.home.state.forget_held_except(release.id())?;
        self.serve(staged.staging.reader()?);
        let held = staged.held.clone();
        self.staged = Some(staged);
        self.tidy_documents(&release);
        Ok((held, false))
    }

    /// Sees to it that the disk has room before anything is written: what an abandoned release left
    /// goes first, then the previous release, and what is in use never.
    fn make_room(&mut self, release: &Release) -> anyhow::Result<()> {
        let deployment = &mut self.home.deployment;
        let fits = |deployment: &deploy::Deployment| -> anyhow::Result<bool> {
            Ok(deployment.need(release)?.check(&self.home.path).is_ok())
        };
        if fits(deployment)? {
            return Ok(());
        }
        let name = deploy::tree_name(release);
        for abandoned in deployment.staged()?.into_iter().filter(|staged| *staged != name) {
            deployment.discard_staged(&abandoned)?;
        }
        if !fits(deployment)? && deployment.previous().is_some() {
            let bytes = deployment.drop_previous()?;
            tracing::warn!("dropped the previous release to make room ({} MB)", bytes / 1_000_000);
        }
        Ok(deployment.need(release)?.check(&self.home.path)?)
    }

    /// Copies what the current, the previous and an abandoned, half filled tree hold of the release.
    fn reuse(&mut self, staged: &mut Staged) -> anyhow::Result<()> {
        let wanted = staged.staging.release().id();
        for id in self.home.documents.releases()? {
            if id == wanted || staged.held.is_full() {
                continue;
            }
            let known = self.applied.clone().filter(|release| release.id() == id);
            let Some(release) = known.or_else(|| self.home.documents.release(id)) else { continue };
            let Some(mut tree) = self.home.deployment.tree(&release)? else { continue };
            let state = &mut self.home.state;
            deploy::reuse(&mut tree, &mut staged.staging, &mut staged.held, |held| -> anyhow::Result<()> {
                Ok(state.save_held(wanted, held)?)
            })?;
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        from: PeerId,
        release: ManifestId,
        index: u32,
        encoding: Encoding,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        let arrived = |verdict| {
            let wire_bytes = payload.len() as u64;
            Done::Kept(Input::ChunkArrived { from, release, index, wire_bytes, verdict })
        };
        let Some(staged) = self.staged.as_mut().filter(|staged| staged.staging.release().id() == release) else {
            let _ = self.done.send(arrived(Verdict::Unwanted));
            return Ok(());
        };
        let wanted = staged.staging.release().chunks()[index as usize];
        let chunk =
            decode(encoding, payload, wanted.bytes).ok().and_then(|plain| VerifiedChunk::verify(wanted, plain).ok());
        let Some(chunk) = chunk else {
            let _ = self.done.send(arrived(Verdict::WrongBytes));
            return Ok(());
        };
        if let Err(error) = staged.staging.write(index, &chunk) {
            let _ = self.done.send(arrived(Verdict::Unwanted));
            self.staged = None;
            self.tell(Input::PrepareFailed { release, why: format!("{:#}", anyhow::Error::new(error)) });
            return Ok(());
        }
        staged.wrote(index, wanted.bytes, encoding);
        let sync_now = staged.batch_bytes >= BATCH_BYTES_MAX || staged.is_whole();
        let _ = self.done.send(arrived(Verdict::Stored));
        if sync_now { self.sync() } else { Ok(()) }
    }

    /// Makes the batch durable, records it, and says so.
    fn sync(&mut self) -> anyhow::Result<()> {
        let Some(staged) = self.staged.as_mut().filter(|staged| !staged.batch.is_empty()) else { return Ok(()) };
        let release = staged.staging.release().id();
        let since = Instant::now();
        let indexes = std::mem::take(&mut staged.batch);
        staged.batch_bytes = 0;
        let incompressible = std::mem::take(&mut staged.incompressible);
        indexes.iter().for_each(|index| {
            staged.held.insert(*index);
        });
        let synced = staged.staging.sync().map_err(anyhow::Error::new);
        let recorded = synced.and_then(|()| Ok(self.home.state.save_held(release, &staged.held)?));
        if let Err(error) = recorded {
            // Most often the disk is full; a person can mend that, and then it goes on.
            self.staged = None;
            self.tell(Input::PrepareFailed { release, why: format!("{error:#}") });
            return Ok(());
        }
        self.last_sync = since.elapsed();
        if !incompressible.is_empty() {
            let _ = self.lender.send(LenderJob::Incompressible { release, indexes: incompressible });
        }
        self.tell(Input::Durable { release, indexes });
        Ok(())
    }

    pub(super) fn apply(&mut self, release: ManifestId) -> Result<(), ApplyFault> {
        let failed = |why: String| Err(ApplyFault::Failed(why));
        let Some(staged) = self.staged.take() else {
            return failed("nothing is staged; the release is prepared again".to_owned());
        };
        let content = staged.staging.release().clone();
        let mut held = staged.held;
        match self.home.deployment.apply(staged.staging, Authority::of_process()) {
            Ok(applied) => {
                if let Some(note) = applied.skipped.note() {
                    tracing::warn!("{note}");
                }
                self.serve(applied.tree);
                self.applied = Some(content.clone());
                self.tidy_documents(&content);
                Ok(())
            }
            Err(error) => {
                let damaged = match &error {
                    ApplyError::Damaged { chunks } => chunks.clone(),
                    _ => Vec::new(),
                };
                damaged.iter().for_each(|index| {
                    held.remove(*index);
                });
                let restaged = self.home.state.save_held(release, &held).map_err(anyhow::Error::new).and_then(|()| {
                    self.staged = Some(Staged::new(self.home.deployment.stage(content)?, held));
                    Ok(())
                });
                match restaged {
                    Ok(()) if !damaged.is_empty() => Err(ApplyFault::Damaged(damaged)),
                    Ok(()) => failed(format!("{:#}", anyhow::Error::new(error))),
                    Err(second) => failed(format!("{:#}; then {second:#}", anyhow::Error::new(error))),
                }
            }
        }
    }

    /// Drops the documents of releases that are neither current, previous nor staged.
    fn tidy_documents(&self, staged: &Release) {
        let deployment = &self.home.deployment;
        let named = [deployment.current(), deployment.previous()].into_iter().flatten().map(str::to_owned);
        let trees = named.chain([deploy::tree_name(staged)]).collect();
        let _ = self.lender.send(LenderJob::Tidy(trees));
    }

    /// How long the batch under way may still wait for its sync; nothing if there is none.
    fn batch_due_in(&self) -> Option<Duration> {
        let staged = self.staged.as_ref().filter(|staged| !staged.batch.is_empty())?;
        let wanted = BATCH_AGE.max(self.last_sync * 2).min(BATCH_AGE_MAX);
        Some(wanted.saturating_sub(staged.batch_since.elapsed()))
    }

    fn serve(&self, tree: deploy::Tree) {
        let _ = self.lender.send(LenderJob::Serve(tree));
    }

    fn tell(&self, input: Input) {
        let _ = self.done.send(Done::Input(input));
    }
}

impl Staged {
    fn new(staging: Staging, held: Bitmap) -> Self {
        Self {
            staging,
            held,
            batch: Vec::new(),
            batch_bytes: 0,
            batch_since: Instant::now(),
            incompressible: Vec::new(),
        }
    }

    fn wrote(&mut self, index: u32, bytes: u32, encoding: Encoding) {
        if self.batch.is_empty() {
            self.batch_since = Instant::now();
        }
        self.batch.push(index);
        if encoding == Encoding::Raw {
            self.incompressible.push(index);
        }
        self.batch_bytes += u64::from(bytes);
    }

    fn is_whole(&self) -> bool {
        self.held.count() as usize + self.batch.len() >= self.held.len() as usize
    }
}
