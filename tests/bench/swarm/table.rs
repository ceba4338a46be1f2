//! Results for people.

use crate::outcome::{Report, Run, median};

const MB: f64 = 1e6;

/// One run, as soon as it has ended.
pub fn run(number: u64, run: &Run) {
    let rate = run.link_bits_per_s / 1e6;
    println!("run {number}: links carry {rate:.1} Mbit/s; all had met after {:.1} s", run.meet_s);
    for release in &run.releases {
        let seconds = |values: &std::collections::BTreeMap<String, f64>| {
            let first = values.values().copied().reduce(f64::min);
            let last = values.values().copied().reduce(f64::max);
            first.zip(last).map_or("never".to_owned(), |(first, last)| format!("{first:.2} to {last:.2} s"))
        };
        let (last, ratio) = (figure(release.last_held_s), figure(release.ratio));
        println!(
            "  release {}: {:.1} MB in {} chunks; heard {}; held {}; applied {}",
            release.version,
            release.bytes as f64 / MB,
            release.chunks,
            seconds(&release.heard_s),
            seconds(&release.held_s),
            seconds(&release.applied_s),
        );
        let (bound, nominal) = (release.bound_s, release.nominal_bound_s);
        println!("    last steady laptop {last} s = {ratio} x the bound of {bound:.2} s (nominal {nominal:.2} s)");
    }
    println!(
        "  school: {:.3} copies on its link, {:.3} by its own count; {:.1} CPU s; {:.0} MB; elsewhere {:.1} CPU s",
        run.school_link_copies,
        run.school_sent_copies,
        run.school_cpu_s,
        run.school_memory_bytes_peak as f64 / MB,
        run.elsewhere_cpu_s,
    );
    println!(
        "  laptops: {:.1} MB from the school, {:.1} MB from laptops, {:.1} MB twice; overhead {:.1} %; {:.1} CPU s; {:.0} MB at most; {} bans",
        run.from_school_bytes as f64 / MB,
        run.from_laptops_bytes as f64 / MB,
        run.duplicate_bytes as f64 / MB,
        run.overhead_percent,
        run.laptops_cpu_s,
        run.laptop_memory_bytes_peak as f64 / MB,
        run.bans,
    );
    if let Some(share) = run.foreground_share {
        println!("  iperf3 between two laptops kept {:.1} % of its rate alone", 100.0 * share);
    }
    if let Some(idle) = &run.idle {
        println!(
            "  idle: a node sends {:.0} B/s on average, {:.0} at most; all together take {:.2} % of a processor",
            idle.mean_bytes_per_s, idle.most_bytes_per_s, idle.cpu_percent
        );
    }
}

/// All runs together.
pub fn summary(report: &Report) {
    let last = |run: &Run| run.releases.last().and_then(|release| release.last_held_s);
    let middle = |of: &dyn Fn(&Run) -> Option<f64>| {
        figure(report.runs.iter().map(of).collect::<Option<Vec<_>>>().and_then(median))
    };
    let best = report.runs.iter().filter_map(last).reduce(f64::min);
    let (all, steady) = report.laptops;
    println!(
        "{}, {all} laptops ({steady} steady), homes on {}: median of {}: last held {} s, {} x the bound; best {} s; school {} copies",
        report.scenario,
        if report.on_disk { "the disk" } else { "a tmpfs" },
        report.runs.len(),
        middle(&last),
        figure(report.median_ratio),
        figure(best),
        middle(&|run| Some(run.school_link_copies)),
    );
    beside(report);
    let Some(both) = &report.virtual_time else { return };
    println!("the laptops' completions, middle of all runs, and of {} rng_seeds:", both.rng_seeds);
    println!("  laptop   lab s   simulated s");
    for (place, (lab, simulated)) in (1..).zip(both.lab_s.iter().zip(&both.simulated_s)) {
        println!("  {place:6} {lab:7.2} {simulated:13.2}");
    }
    println!("the last in the lab is {:+.1} % of the simulator's time later", both.last_later_percent);
}

/// Homeroom's middle run, and other programs.
fn beside(report: &Report) {
    if report.beside.is_empty() {
        return;
    }
    println!("program        first s    last s  x bound  copies  CPU s school  laptops  MB");
    let ours: Vec<&Run> = report.runs.iter().filter(|run| run.ratio().is_some()).collect();
    let middle = |of: &dyn Fn(&Run) -> f64| median(ours.iter().map(|run| of(run)).collect()).unwrap_or(f64::NAN);
    let held = |run: &Run| run.releases.last().map(|release| release.held_s.values().copied().collect::<Vec<_>>());
    let first = |run: &Run| held(run).into_iter().flatten().fold(f64::MAX, f64::min);
    let last = |run: &Run| held(run).into_iter().flatten().fold(0.0, f64::max);
    row(
        "homeroom",
        [
            middle(&first),
            middle(&last),
            middle(&|run| run.ratio().unwrap_or(f64::NAN)),
            middle(&|run| run.school_link_copies),
            middle(&|run| run.school_cpu_s),
            middle(&|run| run.laptops_cpu_s),
            middle(&|run| run.laptop_memory_bytes_peak as f64 / MB),
        ],
    );
    for run in &report.beside {
        row(
            &format!("{:?}", run.rival).to_lowercase(),
            [
                run.first_s,
                run.last_s,
                run.ratio,
                run.school_link_copies,
                run.school_cpu_s,
                run.laptops_cpu_s,
                run.laptop_memory_bytes_peak as f64 / MB,
            ],
        );
    }
}

fn row(name: &str, [first, last, ratio, copies, school, laptops, memory]: [f64; 7]) {
    println!("{name:13} {first:8.2} {last:9.2} {ratio:8.3} {copies:7.3} {school:13.1} {laptops:8.1} {memory:3.0}");
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}
