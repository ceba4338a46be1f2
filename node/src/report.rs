//! How a running node tells what it does: JSON lines for scripts, plain lines for people.

use crate::status::{ReleaseStatus, Status};
use protocol::output::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// People get a line of progress this often, scripts one whenever something changed.
const LINE_EVERY: Duration = Duration::from_secs(2);

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
    Progress(Status),
    /// Something a person may want to know.
    Note {
        /// In a sentence.
        text: String,
    },
}

/// Writes what happens to standard output.
pub struct Reporter {
    json: bool,
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
    pub fn new(json: bool) -> Self {
        Self { json, last: None, last_at: Instant::now(), pace: BTreeMap::new() }
    }

    /// The node runs.
    pub fn started(&self, address: SocketAddr) -> std::io::Result<()> {
        if self.json { print(&Line::Started { address }) } else { say(&format!("listening on {address}")) }
    }

    /// Something happened.
    pub fn event(&self, event: &Event) -> std::io::Result<()> {
        let text = sentence(event);
        if self.json { print(&Line::Note { text }) } else { say(&text) }
    }

    /// Where the node stands now. A line is written if that is news, and not too soon for people.
    pub fn progress(&mut self, status: &Status) -> std::io::Result<()> {
        if self.last.as_ref() == Some(status) {
            return Ok(());
        }
        if self.json {
            self.last = Some(status.clone());
            return print(&Line::Progress(status.clone()));
        }
        if self.last.is_some() && self.last_at.elapsed() < LINE_EVERY {
            return Ok(());
        }
        self.last = Some(status.clone());
        self.last_at = Instant::now();
        status.releases.iter().filter(|release| release.stage == "fetching").try_for_each(|release| {
            let pace = self.pace.entry(release.release.clone()).or_insert_with(|| Pace::new(release.held_bytes));
            pace.update(release.held_bytes);
            say(&progress_line(release, pace))
        })
    }
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
        Event::Blocked { release, why } => format!("release {release:?} waits: {why}"),
        Event::Banned { peer, why } => format!("{peer} is banned: it {why}"),
        Event::MetadataRefused { peer: Some(peer), why } => format!("metadata from {peer} is refused: {why}"),
        Event::MetadataRefused { peer: None, why } => format!("the repository's metadata is refused: {why}"),
    }
}

fn print(line: &Line) -> std::io::Result<()> {
    let text = serde_json::to_string(line)?;
    say(&text)
}

fn say(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
