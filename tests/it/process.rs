//! One running `homeroom`, as the program that started it sees it: its JSON lines, and nothing else.

use node::report::Line;
use node::status::{ReleaseStatus, Status};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes so long, even in a debug build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(100);

/// A school or a laptop. It is killed when this is dropped, and ends by itself if the tests die.
pub struct Process {
    name: String,
    child: Child,
    /// It stops when this is closed.
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    stderr: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// Everything that it said of where it stands.
    pub said: Vec<Status>,
    /// Everything that it wanted people to know.
    pub notes: Vec<String>,
}

impl Process {
    /// Starts a node by `command`, which lacks only the options that let a test speak with it, and waits
    /// until it listens.
    pub fn start(name: &str, mut command: Command, stderr: PathBuf) -> Process {
        command.args(["--json", "--stop-with-stdin"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // A killed process leaves half a line.
            let lines = stdout.lines().map_while(Result::ok).map_while(|line| serde_json::from_str(&line).ok());
            for line in lines {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let address = match lines.recv_timeout(DEADLINE) {
            Ok(Line::Started { address }) => address,
            other => {
                let told = std::fs::read_to_string(&stderr).unwrap_or_default();
                panic!("{name} did not start: {other:?}: {told}")
            }
        };
        Process { name: name.to_owned(), child, stdin, lines, stderr, address, said: Vec::new(), notes: Vec::new() }
    }

    /// Reads what the node says until that makes `enough` of it true.
    #[track_caller]
    pub fn until(&mut self, what: &str, enough: impl Fn(&Process) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                // One that talks without end must not keep the test for ever either.
                Ok(line) if !left.is_zero() => self.take_in(line),
                why => panic!(
                    "{} never came to this: {what} ({why:?})\nlast: {:#?}\nnotes: {:#?}\nstderr: {}",
                    self.name,
                    self.said.last(),
                    self.notes,
                    self.stderr(),
                ),
            }
        }
    }

    /// Reads on until this version is applied, and returns how it came.
    #[track_caller]
    pub fn until_applied(&mut self, version: &str) -> ReleaseStatus {
        let applied = |process: &Process| process.release(version).is_some_and(ReleaseStatus::is_applied);
        self.until(&format!("{version} is applied"), applied);
        self.release(version).unwrap().clone()
    }

    /// Reads on until a note has `words` in it, and returns that note.
    #[track_caller]
    pub fn until_note(&mut self, words: &str) -> String {
        self.until(&format!("a note with {words:?}"), |process| process.note(words).is_some());
        self.note(words).unwrap().to_owned()
    }

    /// Reads what the node says for so long, for tests that do something at a random moment.
    pub fn listen_for(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take_in(line);
        }
    }

    /// The last word on the newest release, if that is this version.
    pub fn release(&self, version: &str) -> Option<&ReleaseStatus> {
        self.said.last()?.releases.iter().find(|release| release.version == version)
    }

    /// The first note with these words in it.
    pub fn note(&self, words: &str) -> Option<&str> {
        self.notes.iter().map(String::as_str).find(|note| note.contains(words))
    }

    /// Bytes sent to peers, by its last word.
    pub fn sent_bytes(&self) -> u64 {
        self.said.last().map_or(0, |status| status.sent_bytes)
    }

    /// Everything that it wrote on standard error.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// Ends it at once, whatever it is doing (`kill -9`), and takes in what it had said until then.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            self.take_in(line);
        }
    }

    /// Asks it to stop, and checks that it does so in peace.
    #[track_caller]
    pub fn stop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.take_in(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} does not stop", self.name),
            }
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.stderr());
    }

    fn take_in(&mut self, line: Line) {
        match line {
            Line::Progress(status) => self.said.push(*status),
            Line::Note { text } => self.notes.push(text),
            Line::Started { .. } => panic!("{} started twice", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
