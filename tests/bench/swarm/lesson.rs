//! One run of a scenario: hosts on a network, a node on each, and releases that spread among them.

use crate::hostile;
use crate::iperf::Iperf;
use crate::member::{Heard, Member, Usage, machine_cpu_s};
use crate::outcome::{Idle, Point, Run, Spread};
use crate::plan::{Act, Host, Plan};
use crate::room::{Room, homeroom};
use anyhow::{Context, bail, ensure};
use node::report::Line;
use node::status::Status;
use simulator::host::Behaviour;
use simulator::scenario::HostId;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tests::lan::Lan;

/// iperf3 measures a link for so long, in seconds.
const RATE_S: u64 = 4;
/// All nodes that are there find each other within this.
const MEET_WITHIN: Duration = Duration::from_secs(60);
/// Nodes tell where they stand four times a second; after this long they have told the last.
const LAST_WORDS: Duration = Duration::from_millis(600);
/// Idle traffic is counted only after what follows an update has passed.
const SETTLE: Duration = Duration::from_secs(5);

/// A run under way. All of it ends when this is dropped: first the nodes, then the network.
pub struct Lesson<'a> {
    plan: &'a Plan<'a>,
    room: &'a Room,
    members: BTreeMap<HostId, Member>,
    lan: Lan,
    tell: Sender<Heard>,
    heard: &'a Receiver<Heard>,
    spreads: Vec<Spread>,
    link_bits_per_s: f64,
    meet_s: f64,
    bans: usize,
    points: Vec<Point>,
}

/// What was counted when all that matters had arrived.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By host, bytes sent into the switch.
    pub link_bytes: BTreeMap<String, u64>,
    /// By host, what its node has used.
    pub usage: BTreeMap<HostId, Usage>,
    /// Processor seconds that the machine has spent.
    pub machine_cpu_s: f64,
}

impl<'a> Lesson<'a> {
    /// Makes the network, measures it, and starts everybody who is there from the beginning; returns when they have
    /// all met.
    ///
    /// # Errors
    /// When something cannot be made, a node ends, or they do not meet.
    pub fn start(
        plan: &'a Plan,
        room: &'a Room,
        (tell, heard): (Sender<Heard>, &'a Receiver<Heard>),
    ) -> anyhow::Result<Lesson<'a>> {
        let lan = plan.network()?;
        let [from, to] = plan.pair().map(|host| host.id.to_string());
        let link_bits_per_s = Iperf::start(&lan, &from, &to, RATE_S)?.bits_per_s()?;
        let honest = plan.hosts[1..].iter().filter(|host| host.behaviour == Behaviour::Honest);
        room.begin(honest.map(|host| host.id))?;
        let members = BTreeMap::new();
        let (spreads, points) = (Vec::new(), Vec::new());
        let mut lesson =
            Lesson { plan, room, members, lan, tell, heard, spreads, link_bits_per_s, meet_s: 0.0, bans: 0, points };
        // What the nodes of the run before had to say ends here.
        while let Ok(heard) = lesson.heard.try_recv() {
            ensure!(!matches!(heard, Heard::Interrupted), "interrupted");
        }
        for host in plan.hosts.iter().filter(|host| host.is_there()) {
            lesson.switch_on(host)?;
        }
        lesson.meet()?;
        Ok(lesson)
    }

    /// Publishes and does what the plan says, until every steady laptop has applied the last release or it is late.
    ///
    /// # Errors
    /// When a node ends that should not, or a tree is not what was published.
    pub fn teach(&mut self, foreground: bool, idle_s: Option<u64>) -> anyhow::Result<Run> {
        let before = self.count()?;
        let plan = self.plan;
        self.publish(0)?;
        let start = self.spreads[0].switched;
        let share = self.link_share();
        let mut beside = None;
        if foreground {
            let [from, to] = plan.pair().map(|host| host.id.to_string());
            // While most of the release is still to come, also at the end.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
            let seconds = (plan.bound_s(self.spreads[0].published.new_wire_bytes, share) * 0.6).max(2.0) as u64;
            beside = Some(Iperf::start(&self.lan, &from, &to, seconds)?);
        }
        let give_up = start + Duration::from_micros(plan.scenario.until.0);
        let mut acts = plan.acts[1..].iter().peekable();
        let mut after = None;
        while !self.is_over() && Instant::now() < give_up {
            let due = acts.peek().map(|(at, _)| start + *at);
            if due.is_some_and(|due| due <= Instant::now()) {
                if let Some((_, act)) = acts.next() {
                    self.perform(*act)?;
                }
                continue;
            }
            self.hear(due.unwrap_or(give_up).min(give_up))?;
            if after.is_none() && self.is_held() {
                after = Some(self.count()?);
            }
        }
        self.listen(LAST_WORDS)?;
        let after = after.map_or_else(|| self.count(), Ok)?;
        let foreground_share = match beside {
            Some(beside) => Some(beside.bits_per_s()? / self.link_bits_per_s),
            None => None,
        };
        let idle = idle_s.map(|seconds| self.idle(seconds)).transpose()?;
        self.verify()?;
        Ok(self.outcome(&before, &after, foreground_share, idle))
    }

    fn outcome(&self, before: &Counts, after: &Counts, foreground_share: Option<f64>, idle: Option<Idle>) -> Run {
        let statuses: BTreeMap<HostId, &Status> =
            self.members.iter().filter_map(|(host, member)| Some((*host, member.status.as_ref()?))).collect();
        let mut run = Run::new(self.plan, (self.link_bits_per_s, self.link_share()), &self.spreads);
        run.count(before, after, &statuses);
        run.memory_peak(self.members.iter().map(|(host, member)| (*host, member.usage().memory_bytes_peak)));
        run.meet_s = self.meet_s;
        run.bans = self.bans;
        run.foreground_share = foreground_share;
        run.idle = idle;
        run.points.clone_from(&self.points);
        run
    }

    /// What links carry of what they are set to.
    fn link_share(&self) -> f64 {
        let [from, to] = self.plan.pair();
        self.link_bits_per_s / from.up_bits_per_s.min(to.down_bits_per_s) as f64
    }

    fn switch_on(&mut self, host: &Host) -> anyhow::Result<()> {
        let name = host.id.to_string();
        let mut command = match host.behaviour {
            Behaviour::Honest => self.lan.command(&name, homeroom()?),
            _ => self.lan.command(&name, std::env::current_exe()?),
        };
        match host.behaviour {
            Behaviour::Honest if host.id == HostId::SEED => {
                command.args(["run", "--json", "--stop-with-stdin", "--seed", "--repo"]).arg(self.room.repository());
            }
            Behaviour::Honest => {
                command.args(["run", "--json", "--stop-with-stdin", "--home"]).arg(self.room.home(host.id));
            }
            behaviour => hostile::arguments(&mut command, &self.room.repository(), behaviour),
        }
        let logs = (self.room.log(host.id, "stdout")?, self.room.log(host.id, "stderr")?);
        self.members.insert(host.id, Member::start(host.id, command, logs, self.tell.clone())?);
        Ok(())
    }

    /// Waits until every honest node that is there is connected to all others.
    fn meet(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let others = self.members.len() - 1;
        let honest: Vec<HostId> = self
            .plan
            .hosts
            .iter()
            .filter(|host| host.is_there() && host.behaviour == Behaviour::Honest)
            .map(|host| host.id)
            .collect();
        let lonely = |lesson: &Self| {
            honest.iter().filter(|host| lesson.members.get(host).is_none_or(|member| member.peers() < others)).count()
        };
        while lonely(self) > 0 {
            ensure!(start.elapsed() < MEET_WITHIN, "{} nodes have not met all others within a minute", lonely(self));
            self.hear(start + MEET_WITHIN)?;
        }
        self.meet_s = start.elapsed().as_secs_f64();
        Ok(())
    }

    fn perform(&mut self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Publish(number) => self.publish(number)?,
            Act::PowerOff(host) => {
                // The cable first, so that nobody hears a last word.
                self.lan.unplug(&host.to_string())?;
                self.members.remove(&host);
            }
            Act::PowerOn(id) => {
                let host = self.plan.hosts.iter().find(|host| host.id == id).context("a plan names its own hosts")?;
                self.lan.plug(&id.to_string())?;
                self.switch_on(host)?;
            }
        }
        Ok(())
    }

    fn publish(&mut self, number: usize) -> anyhow::Result<()> {
        let version = &self.plan.scenario.releases[number].version;
        let (published, switched) = self.room.publish(number, version)?;
        self.spreads.push(Spread::new(version, published, switched));
        Ok(())
    }

    /// Takes in the next thing that is said, unless there is none before `until`.
    fn hear(&mut self, until: Instant) -> anyhow::Result<()> {
        match self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Heard::Line(host, at, line)) => self.take_in(host, at, line),
            Ok(Heard::Ended(host)) => {
                if let Some(status) = self.members.get_mut(&host).and_then(Member::has_ended) {
                    bail!("{host} has ended with {status}; see its log with --keep DIR");
                }
            }
            Ok(Heard::Interrupted) => bail!("interrupted"),
            // No rival races while a lesson is taught.
            Ok(Heard::Whole(..)) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        Ok(())
    }

    fn listen(&mut self, span: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.hear(end)?;
        }
        Ok(())
    }

    fn take_in(&mut self, host: HostId, at: Instant, line: Line) {
        match line {
            Line::Started { .. } => {}
            Line::Note { text } => {
                self.bans += usize::from(text.contains("is banned"));
                self.spreads.iter_mut().for_each(|spread| spread.hear(host, at, &text));
            }
            Line::Progress(status) => {
                self.spreads.iter_mut().for_each(|spread| spread.look(host, at, &status));
                if let Some(spread) = self.spreads.last() {
                    self.points.extend(Point::of(host, at, &status, spread));
                }
                if let Some(member) = self.members.get_mut(&host) {
                    member.status = Some(*status);
                }
            }
        }
    }

    /// Whether every steady laptop holds the last release.
    fn is_held(&self) -> bool {
        let last = self.spreads.last().filter(|_| self.spreads.len() == self.plan.scenario.releases.len());
        last.is_some_and(|last| self.plan.steady().all(|host| last.held.contains_key(&host.id)))
    }

    /// Whether every steady laptop has applied the last release.
    fn is_over(&self) -> bool {
        let last = self.spreads.last().filter(|_| self.spreads.len() == self.plan.scenario.releases.len());
        last.is_some_and(|last| self.plan.steady().all(|host| last.applied.contains_key(&host.id)))
    }

    fn count(&self) -> anyhow::Result<Counts> {
        let usage = self.members.iter().map(|(host, member)| (*host, member.usage())).collect();
        Ok(Counts { link_bytes: self.lan.sent_bytes()?, usage, machine_cpu_s: machine_cpu_s()? })
    }

    fn idle(&mut self, seconds: u64) -> anyhow::Result<Idle> {
        self.listen(SETTLE)?;
        let before = self.count()?;
        self.listen(Duration::from_secs(seconds))?;
        Ok(Idle::new(&before, &self.count()?, seconds))
    }

    fn verify(&self) -> anyhow::Result<()> {
        let Some(last) = self.spreads.last() else { return Ok(()) };
        let mut applied = self.plan.steady().filter(|host| last.applied.contains_key(&host.id));
        applied.try_for_each(|host| self.room.compare(self.spreads.len() - 1, host.id))
    }
}
