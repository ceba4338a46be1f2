//! A node that runs on a host, known by the JSON lines that it prints and by what the system counts for it.

use anyhow::Context;
use node::report::Line;
use node::status::Status;
use rustix::process::{Pid, Signal, kill_process_group};
use simulator::scenario::HostId;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Instant;

/// Linux counts processor time for programs in hundredths of a second.
const TICKS_PER_S: f64 = 100.0;

/// What the bench hears while it waits.
#[derive(Debug)]
pub enum Heard {
    /// A node has said something at that moment.
    Line(HostId, Instant, Line),
    /// A node will say no more.
    Ended(HostId),
    /// A laptop's program says that it has the file, when there is no node that would.
    Whole(HostId, Instant),
    /// Somebody wants the bench to end.
    Interrupted,
}

/// A running node. It is killed when this is dropped.
pub struct Member {
    child: Child,
    /// It stops when this is closed, so that none outlives the bench.
    stdin: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
    /// The last word on where it stands.
    pub status: Option<Status>,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, in seconds.
    pub cpu_s: f64,
    /// The most memory that it ever had, in bytes.
    pub memory_bytes_peak: u64,
}

impl Member {
    /// Starts a node. What it says goes to `tell`, and to `stdout` as it is.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        host: HostId,
        mut command: Command,
        (mut stdout, stderr): (File, File),
        tell: Sender<Heard>,
    ) -> anyhow::Result<Member> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        // In a process group of its own, so that Ctrl-C reaches the bench alone.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().with_context(|| format!("cannot start {host}"))?;
        let stdin = child.stdin.take();
        let lines = child.stdout.take().map(BufReader::new).context("standard output is a pipe")?.lines();
        let reader = std::thread::spawn(move || {
            let started = Instant::now();
            for text in lines.map_while(Result::ok) {
                let now = Instant::now();
                let _ = writeln!(stdout, "{:.3} {text}", (now - started).as_secs_f64());
                if let Ok(line) = serde_json::from_str(&text)
                    && tell.send(Heard::Line(host, now, line)).is_err()
                {
                    return;
                }
            }
            let _ = tell.send(Heard::Ended(host));
        });
        Ok(Member { child, stdin, reader: Some(reader), status: None })
    }

    /// How many peers it is connected to.
    pub fn peers(&self) -> usize {
        self.status.as_ref().map_or(0, |status| status.peers)
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        usage(self.child.id()).unwrap_or_default()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // With all that it has started. It may have ended already.
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = self.child.wait();
        // Then nobody hears of it any more.
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Processor seconds that this machine has spent since it was started, whoever for.
///
/// # Errors
/// When Linux does not tell.
pub fn machine_cpu_s() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().context("/proc/stat is empty")?;
    let ticks = all.split_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    // Fields 4 and 5 of proc(5) are time that was not used; the last two are counted elsewhere too.
    let used: u64 = ticks.enumerate().filter(|(at, _)| !matches!(at, 3 | 4 | 8..)).map(|(_, ticks)| ticks).sum();
    Ok(used as f64 / TICKS_PER_S)
}

/// What a process and its children have used, as Linux tells it.
fn usage(process: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets and may hold spaces. Fields 14 to 17 of proc(5) are user and system time, of the
    // process and of those of its children that have ended.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let mut all = Usage { cpu_s: ticks as f64 / TICKS_PER_S, memory_bytes_peak: kib * 1024 };
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| usage(child.parse().ok()?)) {
        all.cpu_s += child.cpu_s;
        all.memory_bytes_peak = all.memory_bytes_peak.max(child.memory_bytes_peak);
    }
    Some(all)
}
