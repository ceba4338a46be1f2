//! What a person sees while the demo runs, on standard error: bars in a terminal, plain lines elsewhere.

use super::class::{Member, Who};
use crate::report::{Pace, megabytes};
use crate::repository::publish::Progress;
use crate::status::ReleaseStatus;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use protocol::id::ManifestId;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Where there is no terminal, a line comes so often.
const LINE_EVERY: Duration = Duration::from_secs(2);
const WORK: &str = "  {msg} {wide_bar} {bytes} of {total_bytes}, {eta} left";
/// All of it fits a terminal of 80 columns.
const LAPTOP: &str = "  {prefix:9} {wide_bar} {percent:>3}% {msg:52}";

/// Standard error.
pub struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    /// Whatever standard error leads to.
    pub fn new() -> Self {
        Self { bars: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// Says a sentence.
    pub fn say(&self, text: &str) {
        eprintln!("{text}");
    }

    /// The progress of publishing, to be called with each step.
    pub fn publishing(&self, version: &str) -> impl FnMut(Progress) + use<> {
        self.say(&format!("publishing {version}"));
        let bar = self.bar(WORK);
        bar.set_message("read");
        move |progress| {
            bar.set_length(progress.tree_bytes);
            bar.set_position(progress.read_bytes);
            if progress.read_bytes == progress.tree_bytes {
                bar.finish_and_clear();
            }
        }
    }

    /// The progress of one release on its way to all laptops.
    pub fn carrying(&self, release: ManifestId, laptops: &[Member]) -> Carrying {
        let rows = laptops.iter().map(|laptop| {
            let bar = self.bar(LAPTOP);
            bar.set_prefix(laptop.who().to_string());
            Row { bar, pace: None, applied_after: None }
        });
        let started = Instant::now();
        Carrying { release, rows: rows.collect(), plain: self.bars.is_none(), started, line_at: started }
    }

    fn bar(&self, template: &str) -> ProgressBar {
        let Some(bars) = &self.bars else { return ProgressBar::hidden() };
        // A template of our own that does not parse would be seen at once.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bars.add(ProgressBar::new(0).with_style(style.progress_chars("=> ")))
    }
}

/// A release on its way to all laptops.
pub struct Carrying {
    release: ManifestId,
    rows: Vec<Row>,
    plain: bool,
    started: Instant,
    line_at: Instant,
}

struct Row {
    bar: ProgressBar,
    pace: Option<Pace>,
    applied_after: Option<Duration>,
}

impl Carrying {
    /// Shows where the laptops stand.
    pub fn update(&mut self, laptops: &[Member]) {
        for (row, laptop) in self.rows.iter_mut().zip(laptops) {
            let Some(status) = laptop.release(self.release) else { continue };
            if row.update(status, self.started) && self.plain {
                eprintln!("  {}", sentence(laptop.who(), status));
            }
        }
        if self.plain && self.line_at.elapsed() >= LINE_EVERY {
            self.line_at = Instant::now();
            eprintln!("  {}", self.summary(laptops));
        }
    }

    /// All laptops in one line.
    fn summary(&self, laptops: &[Member]) -> String {
        let statuses: Vec<&ReleaseStatus> = laptops.iter().filter_map(|laptop| laptop.release(self.release)).collect();
        let sum = |bytes: fn(&ReleaseStatus) -> u64| megabytes(statuses.iter().map(|status| bytes(status)).sum());
        let left = self.rows.iter().zip(&statuses).filter_map(|(row, status)| row.eta_s(status)).max();
        format!(
            "{} s: {} of {} laptops have applied it; {} of {} here: {} had, {} came from the school, {} from laptops{}",
            self.started.elapsed().as_secs(),
            self.rows.iter().filter(|row| row.applied_after.is_some()).count(),
            self.rows.len(),
            sum(|status| status.held_bytes),
            sum(|status| status.total_bytes),
            sum(|status| status.had_bytes),
            sum(|status| status.from_seeds_bytes),
            sum(|status| status.from_devices_bytes),
            left.map_or_else(String::new, |seconds| format!("; {seconds} s left")),
        )
    }
}

impl Drop for Carrying {
    /// Takes the bars off the screen: the table says it all.
    fn drop(&mut self) {
        self.rows.iter().for_each(|row| row.bar.finish_and_clear());
    }
}

impl Row {
    /// Shows where one laptop stands; whether it has just applied the release.
    fn update(&mut self, status: &ReleaseStatus, started: Instant) -> bool {
        if self.applied_after.is_some() {
            return false;
        }
        self.bar.set_length(status.total_bytes);
        self.bar.set_position(status.held_bytes);
        let pace = self.pace.get_or_insert_with(|| Pace::new(status.held_bytes));
        pace.update(status.held_bytes);
        if status.is_applied() {
            self.applied_after = Some(started.elapsed());
        }
        let stage = match (self.applied_after, self.eta_s(status)) {
            (Some(after), _) => format!("applied in {:.1} s", after.as_secs_f64()),
            (None, Some(seconds)) if status.stage == "fetching" => format!("{seconds} s left"),
            _ => status.stage.clone(),
        };
        self.bar.set_message(format!("{}, {stage}", sources(status)));
        self.applied_after.is_some()
    }

    fn eta_s(&self, status: &ReleaseStatus) -> Option<u64> {
        self.pace.as_ref()?.eta_s(status.total_bytes.saturating_sub(status.held_bytes))
    }
}

fn sentence(who: Who, status: &ReleaseStatus) -> String {
    format!("{who} has applied {}: {}", status.version, sources(status))
}

/// From whom a release came.
fn sources(status: &ReleaseStatus) -> String {
    let ReleaseStatus { held_bytes, had_bytes, from_seeds_bytes, from_devices_bytes, .. } = status;
    let number = |bytes: &u64| megabytes(*bytes).trim_end_matches(" MB").to_owned();
    let [had, school, laptops] = [had_bytes, from_seeds_bytes, from_devices_bytes].map(number);
    format!("{} (had {had}, school {school}, laptops {laptops})", megabytes(*held_bytes))
}
