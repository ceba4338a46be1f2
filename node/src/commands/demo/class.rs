//! The school and the laptops of a demo: processes of this very program, each known by the JSON lines
//! that it prints.
//!
//! A member runs until its standard input ends. So none outlives the demo, however that ends.

use super::interrupt::{Interrupt, Interrupted};
use super::workdir::WorkingDirectory;
use crate::report::Line;
use crate::status::{ReleaseStatus, Status};
use protocol::id::ManifestId;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A member that was told to stop gets so long to make durable what it has.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Members that are stopping are looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The end of a log in which the last line is looked for, in bytes.
const LOG_END_BYTES: u64 = 4096;

/// Who a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The school's server.
    School,
    /// A laptop, counted from 1.
    Laptop(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::School => f.write_str("the school"),
            Self::Laptop(number) => write!(f, "laptop {number}"),
        }
    }
}

/// Why a class cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClassError {
    /// The demo was told to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A process cannot be started.
    #[error("cannot start {who}; close other programs, or take fewer with --laptops")]
    Start {
        /// Who.
        who: Who,
        /// What the system said.
        source: io::Error,
    },
    /// A process has ended by itself.
    #[error("{who} has stopped: {said}")]
    Ended {
        /// Who.
        who: Who,
        /// The last thing it said.
        said: String,
    },
    /// A laptop waits for a person.
    #[error("{who} is blocked: {why}")]
    Blocked {
        /// Who.
        who: Who,
        /// What would help.
        why: String,
    },
}

/// One process.
pub struct Member {
    who: Who,
    child: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
    status: Option<Status>,
}

/// A line of a member, or nothing once there will be no more.
type Heard = (usize, Option<Line>);

/// All processes of a demo: the school, then the laptops.
pub struct Class {
    members: Vec<Member>,
    heard: mpsc::Receiver<Heard>,
    interrupt: Interrupt,
}

impl Class {
    /// Starts a school on the repository, and laptops on the homes, which must be enrolled.
    ///
    /// # Errors
    /// [`ClassError`]; those that were started already are stopped.
    pub fn start(directory: &WorkingDirectory, laptops: usize, interrupt: &Interrupt) -> Result<Self, ClassError> {
        let (tell, heard) = mpsc::channel();
        let mut class = Self { members: Vec::new(), heard, interrupt: interrupt.clone() };
        for (number, who) in std::iter::once(Who::School).chain((1..=laptops).map(Who::Laptop)).enumerate() {
            interrupt.check()?;
            let (name, arguments): (_, Vec<OsString>) = match who {
                Who::School => {
                    ("school".to_owned(), vec!["--seed".into(), "--repo".into(), directory.repository().into()])
                }
                Who::Laptop(number) => {
                    (format!("laptop-{number}"), vec!["--home".into(), directory.home(number).into()])
                }
            };
            let log = directory.path().join(name + ".log");
            let started = Member::start(who, log, &arguments, number, &tell);
            class.members.push(started.map_err(|source| ClassError::Start { who, source })?);
        }
        Ok(class)
    }

    /// Takes in the next thing that a member says, if it comes soon enough.
    ///
    /// # Errors
    /// [`ClassError`], when the demo cannot go on.
    pub fn listen(&mut self, within: Duration) -> Result<(), ClassError> {
        self.interrupt.check()?;
        match self.heard.recv_timeout(within) {
            Ok((number, Some(line))) => self.members[number].hear(line),
            Ok((number, None)) => Err(self.members[number].ended()),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(self.members[0].ended()),
        }
    }

    /// The laptops, in order.
    pub fn laptops(&self) -> &[Member] {
        &self.members[1..]
    }

    /// What the school has sent so far, in bytes on the wire.
    pub fn school_sent_bytes(&self) -> u64 {
        self.members[0].status.as_ref().map_or(0, |status| status.sent_bytes)
    }
}

impl Drop for Class {
    /// Stops every process, and waits until it is gone.
    fn drop(&mut self) {
        for member in &mut self.members {
            member.stdin = None;
        }
        let deadline = Instant::now() + STOP_WITHIN;
        for member in &mut self.members {
            while matches!(member.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(LOOK_EVERY);
            }
            // Nothing is lost where it has ended already.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

impl Member {
    fn start(
        who: Who,
        log: PathBuf,
        arguments: &[OsString],
        number: usize,
        tell: &mpsc::Sender<Heard>,
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["run", "--listen", "127.0.0.1:0", "--json", "--stop-with-stdin"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        // A process group of its own, so that Ctrl-C in a terminal reaches the demo alone, which then
        // stops everybody in order.
        let mut child = command.process_group(0).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output is a pipe, as asked for above");
        let mut member = Self { who, child, stdin, log, status: None };
        let tell = tell.clone();
        let reading = std::thread::Builder::new().name(who.to_string()).spawn(move || read(number, stdout, &tell));
        if let Err(error) = reading {
            let _ = member.child.kill();
            let _ = member.child.wait();
            return Err(error);
        }
        Ok(member)
    }

    /// Who it is.
    pub fn who(&self) -> Who {
        self.who
    }

    /// How many peers it is connected to.
    pub fn peers(&self) -> usize {
        self.status.as_ref().map_or(0, |status| status.peers)
    }

    /// Whether it has metadata, which only a school brings into a class.
    pub fn knows_school(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.timestamp.is_some())
    }

    /// Where a release stands with it; nothing before it has heard of it.
    pub fn release(&self, release: ManifestId) -> Option<&ReleaseStatus> {
        let name = release.to_string();
        self.status.as_ref()?.releases.iter().find(|status| status.release == name)
    }

    /// Whether it has applied a release.
    pub fn has_applied(&self, release: ManifestId) -> bool {
        self.release(release).is_some_and(ReleaseStatus::is_applied)
    }

    /// The most memory that it ever had, in bytes; nothing where the system does not say.
    pub fn memory_bytes_peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    fn hear(&mut self, line: Line) -> Result<(), ClassError> {
        let Line::Progress(status) = line else { return Ok(()) };
        let blocked = status.releases.iter().find(|release| release.stage == "blocked");
        let blocked = blocked.map(|release| release.why.clone().unwrap_or_default());
        self.status = Some(*status);
        blocked.map_or(Ok(()), |why| Err(ClassError::Blocked { who: self.who, why }))
    }

    fn ended(&mut self) -> ClassError {
        // Its standard output has ended, so it is ending or was never more than that.
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        ClassError::Ended { who: self.who, said: last_line(&self.log).unwrap_or(status) }
    }
}

/// Hands on what a member says.
fn read(number: usize, stdout: ChildStdout, tell: &mpsc::Sender<Heard>) {
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
        if tell.send((number, Some(line))).is_err() {
            return;
        }
    }
    let _ = tell.send((number, None));
}

/// The last line of a log, if there is one.
pub fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let bytes = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(LOG_END_BYTES))).ok()?;
    let mut end = Vec::new();
    file.take(LOG_END_BYTES).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    end.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_found_behind_a_long_log() {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("log");
        assert_eq!(last_line(&log), None);
        fs::write(&log, "").unwrap();
        assert_eq!(last_line(&log), None);
        fs::write(&log, [&b"x\n".repeat(9000)[..], b"homeroom: the disk is too full\n\n"].concat()).unwrap();
        assert_eq!(last_line(&log).unwrap(), "homeroom: the disk is too full");
    }
}
