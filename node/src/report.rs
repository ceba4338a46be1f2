//! How a running node tells what it does: JSON lines for scripts, plain lines for people. A thread of its
//! own writes them, so that whoever reads slowly, or not at all, never holds up the node.

use crate::status::{ReleaseStatus, Status};
use protocol::output::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// People get a line of progress this often, scripts one whenever something changed.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Lines that may wait for whoever reads them; what is said beyond is lost to a reader so far behind.
const LINES_WAITING_MAX: usize = 256;
/// At the end, the last lines are waited for this long.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

/// One line of JSON on standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// The node runs and listens here.
    Started {
        /// Where.
        address: SocketAddr,
    },
    /// Something changed since the last such line.
    Progress(Box<Status>),
    /// Something a person may want to know.
    Note {
        /// In a sentence.
        text: String,
    },
}

/// Writes what happens to standard output.
pub struct Reporter {
    json: bool,
    lines: Option<mpsc::SyncSender<String>>,
    /// Closed by the writing thread when it ends.
    written: mpsc::Receiver<()>,
    last: Option<Status>,
    last_at: Instant,
    /// By release, bytes held at the last line, for the rate.
    pace: BTreeMap<String, Pace>,
}

/// How fast a release comes in, smoothed over several lines.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    at: Instant,
    bytes: u64,
    bytes_per_s: f64,
}

impl Pace {
    /// Nothing is known yet but where it starts.
    pub fn new(bytes: u64) -> Self {
        Self { at: Instant::now(), bytes, bytes_per_s: 0.0 }
    }

    /// Takes in how much is there now.
    pub fn update(&mut self, bytes: u64) {
        let elapsed = self.at.elapsed().as_secs_f64();
        if elapsed < 0.2 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let now = bytes.saturating_sub(self.bytes) as f64 / elapsed;
        self.bytes_per_s = if self.bytes_per_s == 0.0 { now } else { 0.7 * self.bytes_per_s + 0.3 * now };
        (self.at, self.bytes) = (Instant::now(), bytes);
    }

    /// When it will be done at this pace, in seconds; nothing while it stands still.
    pub fn eta_s(&self, left_bytes: u64) -> Option<u64> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        let eta = left_bytes as f64 / self.bytes_per_s;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the test")]
        (self.bytes_per_s >= 1.0 && eta < 1e7).then(|| eta.ceil() as u64)
    }
}

impl Reporter {
    /// A reporter for scripts or for people.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(json: bool) -> std::io::Result<Self> {
        let (lines, queue) = mpsc::sync_channel(LINES_WAITING_MAX);
        let (written_sender, written) = mpsc::channel();
        std::thread::Builder::new().name("reporter".to_owned()).spawn(move || {
            let _closed_at_the_end: mpsc::Sender<()> = written_sender;
            // Standard output may be closed; the mesh goes on.
            let _ = write_lines(&queue);
        })?;
        let (last_at, pace) = (Instant::now(), BTreeMap::new());
        Ok(Self { json, lines: Some(lines), written, last: None, last_at, pace })
    }

    /// The node runs.
    pub fn started(&self, address: SocketAddr) {
        self.say(&Line::Started { address }, || format!("listening on {address}"));
    }

    /// Something happened.
    pub fn event(&self, event: &Event) {
        let text = sentence(event);
        self.say(&Line::Note { text: text.clone() }, || text);
    }

    /// Where the node stands now. A line is written if that is news, and not too soon for people.
    pub fn progress(&mut self, status: &Status) {
        let too_soon = !self.json && self.last.is_some() && self.last_at.elapsed() < LINE_EVERY;
        if too_soon || self.last.as_ref() == Some(status) {
            return;
        }
        let idled = self.last.replace(status.clone()).and_then(|last| last.idles);
        self.last_at = Instant::now();
        if self.json {
            return self.write(json(&Line::Progress(Box::new(status.clone()))));
        }
        if let Some(why) = status.idles.clone().filter(|why| idled.as_ref() != Some(why)) {
            self.write(why);
        }
        for release in status.releases.iter().filter(|release| release.stage == "fetching") {
            let pace = self.pace.entry(release.release.clone()).or_insert_with(|| Pace::new(release.held_bytes));
            pace.update(release.held_bytes);
            let line = progress_line(release, pace);
            self.write(line);
        }
    }

    /// Tells scripts one thing or people another, which mean the same.
    fn say(&self, line: &Line, sentence: impl FnOnce() -> String) {
        self.write(if self.json { json(line) } else { sentence() });
    }

    fn write(&self, line: String) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(line);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.lines = None;
        // Nothing is ever sent: this returns once the thread has written all, or has waited enough.
        let _ = self.written.recv_timeout(LAST_LINES_WITHIN);
    }
}

fn write_lines(queue: &mpsc::Receiver<String>) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for line in queue {
        writeln!(stdout, "{line}")?;
        stdout.flush()?;
    }
    Ok(())
}

/// A release's progress in one line, for people.
pub fn progress_line(release: &ReleaseStatus, pace: &Pace) -> String {
    let ReleaseStatus { channel, version, total_bytes, held_bytes, .. } = release;
    let eta = match pace.eta_s(total_bytes.saturating_sub(*held_bytes)) {
        Some(seconds) => format!("{seconds} s left"),
        None => "waiting for peers".to_owned(),
    };
    format!(
        "{channel} {version}: {} of {} ({} here before, {} from the school, {} from laptops), {eta}",
        megabytes(*held_bytes),
        megabytes(*total_bytes),
        megabytes(release.had_bytes),
        megabytes(release.from_seeds_bytes),
        megabytes(release.from_devices_bytes),
    )
}

/// Bytes as people read them.
pub fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

fn sentence(event: &Event) -> String {
    match event {
        Event::Heard { channel, version, .. } => format!("{channel} {version} is the newest release"),
        Event::Complete(release) => format!("release {release:?} is here whole"),
        Event::Applied(release) => format!("release {release:?} is applied"),
        Event::Equivocation { signer, version } => format!(
            "the {signer}'s keys signed two different timestamps of version {version}: a thief may have them; nothing is \
             applied by itself until there is a newer one; ask the {signer}"
        ),
        Event::Withdrawn(release) => format!("release {release:?} was withdrawn by its publisher"),
        Event::GivenUp(release) => format!("release {release:?} is given up: it is not for this node any more"),
        Event::Blocked { release, why } => format!("release {release:?} waits: {why}"),
        Event::Banned { peer, why } => format!("{peer} is banned: it {why}"),
        Event::SchoolBehind { version } => format!(
            "devices know version {version} of the school's metadata, and its directory does not: it was restored from a \
             copy, and they refuse what it says; run: homeroom school refresh --after {version} --school DIR"
        ),
        Event::MetadataRefused { signer, peer: Some(peer), why } => {
            format!("the {signer}'s metadata from {peer} is refused: {why}")
        }
        Event::MetadataRefused { signer, peer: None, why } => {
            format!("the metadata in the {signer}'s repository is refused: {why}")
        }
    }
}

fn json(line: &Line) -> String {
    serde_json::to_string(line).expect("a line has only names and numbers")
}
