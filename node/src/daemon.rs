//! The loop of one node: it alone owns the protocol's state machine, the network and the store's
//! handles, turns what happens into inputs, and carries out outputs. It waits for nothing but the next
//! thing to happen.

use crate::control::{Control, Request};
use crate::dialler::{Dialler, SEED_CONNECTIONS};
use crate::discovery::{Advertisement, Discovery};
use crate::meter::Meter;
use crate::net::{Happening, Network};
use crate::place::{Opened, Origin, Place};
use crate::quiet::QuietHours;
use crate::report::Reporter;
use crate::school::Clerk;
use crate::status::Status;
use crate::store::{Done, KeeperJob, LenderJob, Store};
use anyhow::Context;
use protocol::id::{PeerId, Signer};
use protocol::input::{Input, UploadOutcome, Verdict};
use protocol::limits::{PEERS_MAX, SEED_PEERS_MAX, UPLOADS_MAX};
use protocol::mesh::{Caps, Role, Strategy};
use protocol::message::{ChunkHeader, Message};
use protocol::node::{Config, Node};
use protocol::output::Output;
use protocol::time::{Time, UnixTime};
use protocol::trust::Freshness;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::MissedTickBehavior;

/// Peers are dialled and progress is told this often.
const TICK: Duration = Duration::from_millis(250);
/// A repository is looked at this often, which costs one call to the system; a publish waits half of it.
const WATCH: Duration = Duration::from_millis(50);

/// Slices of documents that one peer may have asked for and not yet been sent.
const SLICES_WAITING_MAX: u32 = 8;

/// How a node is run.
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Peers to dial, `HOST:PORT` each.
    pub peers: Vec<String>,
    /// Whether peers are looked for by mDNS.
    pub mdns: bool,
    /// Whether a device applies what is complete.
    pub applies: bool,
    /// How fast it may send and fetch at most.
    pub caps: Caps,
    /// When no chunk is fetched or sent.
    pub quiet_hours: Option<QuietHours>,
}

/// A running node.
pub struct Daemon {
    node: Node,
    network: Network,
    store: Store,
    discovery: Option<Discovery>,
    dialler: Dialler,
    control: Option<Control>,
    origins: BTreeMap<Signer, Origin>,
    clerk: Option<Clerk>,
    reporter: Reporter,
    role: Role,
    started_us: u64,
    sent_bytes: u64,
    /// Nothing where the kernel does not tell.
    meter: Option<Meter>,
    quiet_hours: Option<QuietHours>,
    /// While it is quiet: until when, by the wall clock.
    quiet_until: Option<String>,
    /// By peer, slices of documents that the lender has yet to read.
    slices_waiting: BTreeMap<PeerId, u32>,
}

impl Daemon {
    /// Sets a node up: opens nothing that `place` has not opened already but the network.
    pub async fn start(place: Place, options: Options, reporter: Reporter) -> anyhow::Result<Daemon> {
        let peers_max = match place {
            Place::Home(_) => PEERS_MAX + SEED_CONNECTIONS,
            Place::Repository(..) => SEED_PEERS_MAX,
        };
        let mut network = Network::new(peers_max)?;
        let address = network.listen(options.listen).await?;
        let Opened { store, chains, role, policy, applied, floor, control, origins, clerk } = place.open()?;
        let discovery = if options.mdns {
            Some(Discovery::start(Advertisement {
                transport: network.transport_id(),
                repository: chains.publisher.trust().repository(),
                role,
                head: chains.publisher.trust().head().map(|head| head.digest),
                listens_on: address,
            })?)
        } else {
            None
        };
        let config = Config {
            role,
            policy,
            applied,
            floor,
            applies: options.applies,
            has_origin: !origins.is_empty(),
            strategy: Strategy::default(),
            upload_slots: UPLOADS_MAX,
            caps: options.caps,
        };
        let meter = Meter::start().inspect_err(|error| tracing::warn!(%error, "cannot keep out of others' way")).ok();
        let mut rng_seed = [0; 32];
        getrandom::fill(&mut rng_seed).context("the system has no randomness")?;
        reporter.started(address);
        Ok(Daemon {
            node: Node::restore(config, chains, rng_seed),
            network,
            store,
            discovery,
            dialler: Dialler::new(options.peers),
            control,
            origins,
            clerk,
            reporter,
            role,
            started_us: since_boot_us(),
            sent_bytes: 0,
            meter,
            quiet_hours: options.quiet_hours,
            quiet_until: None,
            slices_waiting: BTreeMap::new(),
        })
    }

    /// Runs until `stop` is ready, then lets the store finish what it was given.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = tokio::time::interval(WATCH);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        self.handle(Input::Wakeup);
        let result = loop {
            let wakeup =
                self.node.next_wakeup().map(|at| Instant::now() + Duration::from_micros(at.since(self.now()).0));
            let takes_chunks = self.store.takes_chunks();
            let step = tokio::select! {
                () = &mut stop => break Ok(()),
                happening = self.network.next(takes_chunks) => { self.happening(happening); Ok(()) }
                done = self.store.next() => self.done(done),
                found = next_found(&mut self.discovery) => {
                    self.dialler.found(found, self.network.transport_id());
                    self.dialler.dial(&mut self.network, self.role).await;
                    Ok(())
                }
                Some((request, reply)) = next_asked(&mut self.control) => {
                    // The asker may have left.
                    let _ = reply.send(self.answer(request));
                    Ok(())
                }
                () = sleep_until(wakeup) => { self.handle(Input::Wakeup); Ok(()) }
                _ = tick.tick() => { self.tick().await; Ok(()) }
                _ = watch.tick(), if !self.origins.is_empty() => { self.look_at_origins(); Ok(()) }
            };
            if let Err(error) = step {
                break Err(error);
            }
        };
        drop((self.network, self.discovery, self.control));
        self.store.close();
        result
    }

    /// Since this was started, with the time that the machine slept.
    fn now(&self) -> Time {
        Time(since_boot_us().saturating_sub(self.started_us))
    }

    /// Tells the node what happened, and does what it asks for.
    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.node.handle(now, input);
        while let Some(output) = self.node.poll_output() {
            if let Some(input) = self.carry_out(output) {
                self.node.handle(now, input);
            }
        }
    }

    /// Does one thing; what is known at once is returned.
    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send { to, message } => self.network.send(to, &message),
            Output::SendAll { to, message } => self.network.send_all(&to, &message),
            Output::Upload { to, release, index } => self.store.lend(LenderJob::Chunk { to, release, index }),
            Output::SendDocument { to, want } => {
                let waiting = self.slices_waiting.entry(to).or_default();
                *waiting += 1;
                if *waiting > SLICES_WAITING_MAX {
                    *waiting -= 1;
                    return Some(Input::BadFrame { from: to, why: "asked for too many slices at once".to_owned() });
                }
                self.store.lend(LenderJob::Slice(to, want));
            }
            Output::Disconnect(peer) => self.network.disconnect(peer),
            Output::Ban(peer) => self.network.ban(peer),
            Output::ReadMetadata { signer, role, version } => {
                let bytes = self.origins.get_mut(&signer).and_then(|origin| origin.read(&role, version));
                return Some(Input::OriginMetadata { signer, role, bytes });
            }
            Output::StateTime { to, nonce } => {
                if let Some(stated) = self.clerk.as_mut().and_then(|clerk| clerk.state_time(&nonce)) {
                    self.network.send(to, &Message::Time(stated.into()));
                }
            }
            Output::ReadDocument(document) => self.store.lend(LenderJob::Read(document)),
            Output::VerifyDocument { document, base, bytes } => {
                self.store.lend(LenderJob::Verify { document, base, bytes });
            }
            Output::SaveTrust { signer, files } => {
                if let Some(discovery) = &mut self.discovery {
                    discovery.head_changed(self.node.trust().head().map(|head| head.digest));
                }
                self.store.keep(KeeperJob::SaveTrust(signer, files));
            }
            Output::RaiseFloor(floor) => self.store.keep(KeeperJob::RaiseFloor(floor)),
            Output::Prepare(release) if self.store.keeps() => self.store.keep(KeeperJob::Prepare(release)),
            Output::Prepare(release) => self.store.lend(LenderJob::Prepare(release)),
            Output::Apply(release) => self.store.keep(KeeperJob::Apply(release)),
            Output::Forget(release) => self.store.lend(LenderJob::Forget(release)),
            Output::Event(event) => self.reporter.event(&event),
        }
        None
    }

    fn happening(&mut self, happening: Happening) {
        match happening {
            Happening::Opened(peer) => {
                self.meter.iter_mut().for_each(Meter::has_new_connection);
                self.handle(Input::PeerConnected(peer));
            }
            Happening::Closed(peer) => {
                self.slices_waiting.remove(&peer);
                self.handle(Input::PeerDisconnected(peer));
            }
            Happening::Message(from, message) => self.handle(Input::Message { from, message: Arc::new(message) }),
            Happening::BadFrame(from, why) => self.handle(Input::BadFrame { from, why }),
            Happening::Chunk(from, header, payload) => self.chunk(from, header, payload),
            Happening::ChunkSent(to, ChunkHeader { release, index, wire_bytes, .. }) => {
                self.sent_bytes += u64::from(wire_bytes);
                self.handle(Input::Uploaded {
                    to,
                    release,
                    index,
                    outcome: UploadOutcome::Sent { wire_bytes: wire_bytes.into() },
                });
            }
        }
    }

    fn chunk(&mut self, from: PeerId, header: ChunkHeader, payload: Vec<u8>) {
        let ChunkHeader { release, index, encoding, wire_bytes } = header;
        if self.node.expects(from, release, index) {
            self.store.keep(KeeperJob::Chunk { from, release, index, encoding, payload });
        } else {
            let verdict = Verdict::Unwanted;
            self.handle(Input::ChunkArrived { from, release, index, wire_bytes: wire_bytes.into(), verdict });
        }
    }

    fn done(&mut self, done: Done) -> anyhow::Result<()> {
        match done {
            Done::Input(input) | Done::Kept(input) => self.handle(input),
            Done::Say(to, message) => {
                if let Some(waiting) = self.slices_waiting.get_mut(&to) {
                    *waiting = waiting.saturating_sub(1);
                }
                if let Message::Slice(slice) = &message {
                    self.sent_bytes += slice.bytes.len() as u64;
                }
                self.network.send(to, &message);
            }
            Done::Send(to, chunk) => {
                let ChunkHeader { release, index, .. } = chunk.header;
                if !self.network.send_chunk(to, chunk) {
                    self.handle(Input::Uploaded { to, release, index, outcome: UploadOutcome::Lost });
                }
            }
            Done::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn answer(&mut self, request: Request) -> String {
        if request == Request::Apply {
            self.handle(Input::ApplyRequested);
        }
        serde_json::to_string(&self.status()).unwrap_or_default()
    }

    fn look_at_origins(&mut self) {
        let changed = self.origins.iter_mut().filter_map(|(signer, origin)| origin.changed().then_some(*signer));
        let changed: Vec<Signer> = changed.collect();
        changed.into_iter().for_each(|signer| self.handle(Input::OriginChanged(signer)));
    }

    async fn tick(&mut self) {
        self.dialler.dial(&mut self.network, self.role).await;
        self.network.close_stuck();
        // A clock before 1970 is as good as none.
        if let Ok(since_1970) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
            self.handle(Input::WallClock(UnixTime(seconds)));
        }
        self.clerk.iter_mut().for_each(Clerk::look);
        self.keep_quiet_hours();
        if let Some(traffic) = self.meter.as_mut().and_then(|meter| meter.read().ok()) {
            tracing::debug!(?traffic, pace = ?self.node.pace(), "carried");
            self.handle(Input::Traffic(traffic));
        }
        let status = self.status();
        self.reporter.progress(&status);
    }

    /// A clock that is plainly wrong tells no hours.
    fn keep_quiet_hours(&mut self) {
        let clock_is_wrong = matches!(self.node.freshness(Signer::Publisher), Some(Freshness::TimeUnverified(_)));
        let until = self.quiet_hours.filter(|_| !clock_is_wrong).and_then(QuietHours::quiet_until);
        if until != self.quiet_until {
            self.quiet_until = until;
            self.handle(Input::Quiet(self.quiet_until.is_some()));
        }
    }

    fn status(&self) -> Status {
        let pace = match &self.quiet_until {
            Some(until) => Some(format!("quiet until {until}")),
            None => self.node.pace().is_yielding().then(|| "yielding".to_owned()),
        };
        Status { pace, ..Status::of(&self.node, &self.network, self.sent_bytes) }
    }
}

async fn next_found(discovery: &mut Option<Discovery>) -> crate::discovery::Found {
    match discovery {
        Some(discovery) => discovery.next().await,
        None => std::future::pending().await,
    }
}

async fn next_asked(control: &mut Option<Control>) -> Option<crate::control::Asked> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// Microseconds since the machine was started, asleep or awake.
fn since_boot_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
