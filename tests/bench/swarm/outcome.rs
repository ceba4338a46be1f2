//! How runs went, in figures: for one run, and for all of a report.

use crate::lesson::Counts;
use crate::plan::Plan;
use crate::rival::RivalRun;
use crate::room::Published;
use crate::virtual_time::VirtualTime;
use node::status::Status;
use serde::Serialize;
use simulator::scenario::HostId;
use std::collections::BTreeMap;
use std::time::Instant;

/// How one release spreads, while it does.
pub struct Spread {
    /// Its version.
    pub version: String,
    /// What was published.
    pub published: Published,
    /// When the timestamp was switched: all is counted from here.
    pub switched: Instant,
    /// When each laptop had heard of it.
    pub heard: BTreeMap<HostId, Instant>,
    /// When each laptop held all of it durably.
    pub held: BTreeMap<HostId, Instant>,
    /// When each laptop had applied it.
    pub applied: BTreeMap<HostId, Instant>,
}

/// A laptop at a moment.
#[derive(Clone, Debug)]
pub struct Point {
    host: HostId,
    seconds: f64,
    held_bytes: u64,
    from_school_bytes: u64,
    from_laptops_bytes: u64,
    duplicate_bytes: u64,
}

/// How a release has spread. Seconds since the timestamp was switched, by laptop.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseRun {
    /// Its version.
    pub version: String,
    /// Bytes on the wire that only the school had.
    pub bytes: u64,
    /// Chunks that it has.
    pub chunks: u64,
    /// The bound at the measured rate.
    pub bound_s: f64,
    /// The bound at the rate that links are set to.
    pub nominal_bound_s: f64,
    /// When each laptop had heard of it.
    pub heard_s: BTreeMap<String, f64>,
    /// When each laptop held all of it durably.
    pub held_s: BTreeMap<String, f64>,
    /// When each laptop had applied it.
    pub applied_s: BTreeMap<String, f64>,
    /// When the last steady laptop held it; nothing if one never did.
    pub last_held_s: Option<f64>,
    /// The same over the bound.
    pub ratio: Option<f64>,
}

/// How one run went.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// What iperf3 got through a link.
    pub link_bits_per_s: f64,
    /// Of what the link is set to.
    pub link_share: f64,
    /// Seconds from the start of the nodes until all had met.
    pub meet_s: f64,
    /// By release.
    pub releases: Vec<ReleaseRun>,
    /// Bytes that the school sent into the switch, all headers and answers included.
    pub school_link_bytes: u64,
    /// Bytes of chunks and documents that the school says it sent.
    pub school_sent_bytes: u64,
    /// `school_link_bytes` over the bytes of all releases.
    pub school_link_copies: f64,
    /// `school_sent_bytes` over the bytes of all releases.
    pub school_sent_copies: f64,
    /// Bytes of chunks that honest laptops had from the school.
    pub from_school_bytes: u64,
    /// Bytes of chunks that honest laptops had from each other.
    pub from_laptops_bytes: u64,
    /// Bytes of chunks that came twice.
    pub duplicate_bytes: u64,
    /// Of all bytes on all links, those that are not chunks taken in, in percent: headers, answers, gossip, waste.
    pub overhead_percent: f64,
    /// Processor seconds of the school, until the last steady laptop held everything.
    pub school_cpu_s: f64,
    /// Processor seconds of all laptops together, likewise.
    pub laptops_cpu_s: f64,
    /// Processor seconds that the machine spent on anything else meanwhile, the publisher and the kernel's network
    /// included. Where it has no processor to spare, nodes were kept waiting.
    pub elsewhere_cpu_s: f64,
    /// The most memory that the school ever had.
    pub school_memory_bytes_peak: u64,
    /// The most memory that any laptop ever had.
    pub laptop_memory_bytes_peak: u64,
    /// How often somebody was banned.
    pub bans: usize,
    /// What iperf3 between two laptops kept of its rate alone.
    pub foreground_share: Option<f64>,
    /// What idle nodes send.
    pub idle: Option<Idle>,
    /// How each laptop came along.
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// What idle nodes send into the switch, in bytes a second.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// On average.
    pub mean_bytes_per_s: f64,
    /// The one that sends most.
    pub most_bytes_per_s: f64,
    /// Percent of a processor, of all nodes together.
    pub cpu_percent: f64,
}

/// All runs of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// How many laptops took part, of whom how many are steady.
    pub laptops: (usize, usize),
    /// Whether homes lay on the disk.
    pub on_disk: bool,
    /// The middle one of all runs' last ratio, if all have one.
    pub median_ratio: Option<f64>,
    /// The runs.
    pub runs: Vec<Run>,
    /// The same in the simulator.
    pub virtual_time: Option<VirtualTime>,
    /// Other programs with the same file.
    pub beside: Vec<RivalRun>,
}

impl Spread {
    /// A release that was just published.
    pub fn new(version: &str, published: Published, switched: Instant) -> Spread {
        let [heard, held, applied] = [const { BTreeMap::new() }; 3];
        Spread { version: version.to_owned(), published, switched, heard, held, applied }
    }

    /// A node has said a sentence, which tells of its moment at once.
    pub fn hear(&mut self, host: HostId, at: Instant, text: &str) {
        if text.ends_with(&format!(" {} is the newest release", self.version)) {
            self.heard.entry(host).or_insert(at);
        }
        // Sentences name a release by the first six bytes of its name.
        if !text.starts_with(&format!("release {} ", &self.published.release[..12])) {
            return;
        }
        if text.ends_with("is here whole") {
            self.held.entry(host).or_insert(at);
        } else if text.ends_with("is applied") {
            self.applied.entry(host).or_insert(at);
        }
    }

    /// A node has told where it stands, which it does four times a second.
    pub fn look(&mut self, host: HostId, at: Instant, status: &Status) {
        let release = status.releases.iter().find(|status| status.release == self.published.release);
        let Some(release) = release.filter(|_| host != HostId::SEED) else { return };
        if matches!(release.stage.as_str(), "complete" | "applying" | "applied") {
            self.held.entry(host).or_insert(at);
        }
        if release.is_applied() {
            self.applied.entry(host).or_insert(at);
        }
    }

    fn seconds(&self, moments: &BTreeMap<HostId, Instant>) -> BTreeMap<String, f64> {
        let since = |at: &Instant| at.saturating_duration_since(self.switched).as_secs_f64();
        moments.iter().map(|(host, at)| (host.to_string(), since(at))).collect()
    }
}

impl Point {
    /// Where a laptop stands with the release that spreads; nothing if it has not heard of it.
    pub fn of(host: HostId, at: Instant, status: &Status, spread: &Spread) -> Option<Point> {
        let release = status.releases.iter().find(|release| release.release == spread.published.release)?;
        Some(Point {
            host,
            seconds: at.saturating_duration_since(spread.switched).as_secs_f64(),
            held_bytes: release.held_bytes,
            from_school_bytes: release.from_seeds_bytes,
            from_laptops_bytes: release.from_devices_bytes,
            duplicate_bytes: release.duplicate_bytes,
        })
    }
}

impl Run {
    /// A run over links that carry so much, which is such a share of what they are set to.
    pub fn new(plan: &Plan, (link_bits_per_s, link_share): (f64, f64), spreads: &[Spread]) -> Run {
        let of_release = |spread: &Spread| {
            let bytes = spread.published.new_wire_bytes;
            let held: Option<Vec<_>> = plan.steady().map(|host| spread.held.get(&host.id)).collect();
            let last = held.and_then(|held| held.into_iter().max());
            let last_held_s = last.map(|last| last.saturating_duration_since(spread.switched).as_secs_f64());
            let bound_s = plan.bound_s(bytes, link_share);
            ReleaseRun {
                version: spread.version.clone(),
                bytes,
                chunks: spread.published.chunks,
                bound_s,
                nominal_bound_s: plan.bound_s(bytes, 1.0),
                heard_s: spread.seconds(&spread.heard),
                held_s: spread.seconds(&spread.held),
                applied_s: spread.seconds(&spread.applied),
                last_held_s,
                ratio: last_held_s.map(|last| last / bound_s),
            }
        };
        Run {
            link_bits_per_s,
            link_share,
            meet_s: 0.0,
            releases: spreads.iter().map(of_release).collect(),
            school_link_bytes: 0,
            school_sent_bytes: 0,
            school_link_copies: 0.0,
            school_sent_copies: 0.0,
            from_school_bytes: 0,
            from_laptops_bytes: 0,
            duplicate_bytes: 0,
            overhead_percent: 0.0,
            school_cpu_s: 0.0,
            laptops_cpu_s: 0.0,
            elsewhere_cpu_s: 0.0,
            school_memory_bytes_peak: 0,
            laptop_memory_bytes_peak: 0,
            bans: 0,
            foreground_share: None,
            idle: None,
            points: Vec::new(),
        }
    }

    /// Takes in what was counted before and after, and what nodes say they sent and were sent.
    pub fn count(&mut self, before: &Counts, after: &Counts, statuses: &BTreeMap<HostId, &Status>) {
        let sent = |host: &String| after.link_bytes[host].saturating_sub(before.link_bytes[host]);
        let school = HostId::SEED.to_string();
        self.school_link_bytes = sent(&school);
        let link_bytes: u64 = after.link_bytes.keys().map(sent).sum();
        let fresh_bytes: u64 = self.releases.iter().map(|release| release.bytes).sum();
        for (host, status) in statuses {
            if *host == HostId::SEED {
                self.school_sent_bytes = status.sent_bytes;
                continue;
            }
            for release in &status.releases {
                self.from_school_bytes += release.from_seeds_bytes;
                self.from_laptops_bytes += release.from_devices_bytes;
                self.duplicate_bytes += release.duplicate_bytes;
            }
        }
        let taken_in = self.from_school_bytes + self.from_laptops_bytes;
        self.overhead_percent = 100.0 * (1.0 - taken_in as f64 / link_bytes.max(1) as f64);
        self.school_link_copies = self.school_link_bytes as f64 / fresh_bytes as f64;
        self.school_sent_copies = self.school_sent_bytes as f64 / fresh_bytes as f64;
        for (host, usage) in &after.usage {
            let cpu_s = usage.cpu_s - before.usage.get(host).map_or(0.0, |before| before.cpu_s);
            match *host {
                HostId::SEED => self.school_cpu_s += cpu_s,
                _ => self.laptops_cpu_s += cpu_s,
            }
        }
        let machine_cpu_s = after.machine_cpu_s - before.machine_cpu_s;
        self.elsewhere_cpu_s = machine_cpu_s - self.school_cpu_s - self.laptops_cpu_s;
    }

    /// Takes in what memory hosts had at most.
    pub fn memory_peak(&mut self, peaks: impl Iterator<Item = (HostId, u64)>) {
        for (host, peak) in peaks {
            match host {
                HostId::SEED => self.school_memory_bytes_peak = peak,
                _ => self.laptop_memory_bytes_peak = self.laptop_memory_bytes_peak.max(peak),
            }
        }
    }

    /// The last release's time over its bound.
    pub fn ratio(&self) -> Option<f64> {
        self.releases.last()?.ratio
    }
}

impl Idle {
    /// What was sent in so many seconds.
    pub fn new(before: &Counts, after: &Counts, seconds: u64) -> Idle {
        let rate =
            |(host, bytes): (&String, &u64)| bytes.saturating_sub(before.link_bytes[host]) as f64 / seconds as f64;
        let rates: Vec<f64> = after.link_bytes.iter().map(rate).collect();
        let cpu_s: f64 = after.usage.iter().map(|(host, usage)| usage.cpu_s - before.usage[host].cpu_s).sum();
        Idle {
            mean_bytes_per_s: rates.iter().sum::<f64>() / rates.len() as f64,
            most_bytes_per_s: rates.iter().copied().fold(0.0, f64::max),
            cpu_percent: 100.0 * cpu_s / seconds as f64,
        }
    }
}

impl Report {
    /// A report on these runs.
    pub fn new(
        plan: &Plan,
        on_disk: bool,
        runs: Vec<Run>,
        virtual_time: Option<VirtualTime>,
        beside: Vec<RivalRun>,
    ) -> Report {
        let ratios: Option<Vec<f64>> = runs.iter().map(Run::ratio).collect();
        Report {
            scenario: plan.scenario.name.clone(),
            laptops: (plan.hosts.len() - 1, plan.steady().count()),
            on_disk,
            median_ratio: ratios.and_then(median),
            runs,
            virtual_time,
            beside,
        }
    }

    /// How each laptop came along, as a table for programs.
    pub fn curve(&self) -> String {
        let mut text = "run,host,seconds,held_bytes,from_school_bytes,from_laptops_bytes,duplicate_bytes\n".to_owned();
        for (number, run) in (1..).zip(&self.runs) {
            for Point { host, seconds, held_bytes, from_school_bytes, from_laptops_bytes, duplicate_bytes } in
                &run.points
            {
                text += &format!(
                    "{number},{host},{seconds:.3},{held_bytes},{from_school_bytes},{from_laptops_bytes},{duplicate_bytes}\n"
                );
            }
        }
        text
    }
}

/// The middle one; of two middle ones their mean.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], upper) } else { upper })
}
