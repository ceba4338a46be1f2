//! What a demo found out, as a table for people and as one JSON document for programs.

use crate::report::megabytes;
use crate::repository::publish::Published;
use crate::status::ReleaseStatus;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What a whole demo found out. Its fields are those of `demo --json`.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Where everything was left; nothing unless it was to be kept.
    pub kept: Option<PathBuf>,
    /// The releases, in the order in which they were published.
    pub releases: Vec<ReleaseOutcome>,
    /// The most memory that each laptop ever had, in bytes; nothing where the system does not say.
    pub memory_bytes_peak: Vec<Option<u64>>,
}

/// What became of one release.
#[derive(Debug, Serialize)]
pub struct ReleaseOutcome {
    /// Its version.
    pub version: String,
    /// Its name: the SHA-256 of its manifest.
    pub release: String,
    /// Paths in its tree.
    pub entries: u64,
    /// What its regular files have together, in bytes.
    pub tree_bytes: u64,
    /// Its chunks, each counted once.
    pub chunks: u64,
    /// Chunks that no laptop had: those that no earlier release brought.
    pub new_chunks: u64,
    /// Their plain bytes.
    pub new_bytes: u64,
    /// Their bytes as they are sent.
    pub new_wire_bytes: u64,
    /// What the school sent, in bytes on the wire, manifests and chunk lists included.
    pub school_sent_bytes: u64,
    /// How often that is all of `new_wire_bytes`; nothing where nothing was new.
    pub school_copies: Option<f64>,
    /// The laptops, in order.
    pub laptops: Vec<LaptopOutcome>,
}

/// What became of one release on one laptop, whose applied tree was walked and found exact.
#[derive(Debug, Serialize)]
pub struct LaptopOutcome {
    /// Its number, counted from 1.
    pub laptop: usize,
    /// From the publisher's switch of the timestamp to the laptop's switch of `current`, in seconds.
    pub seconds: f64,
    /// Bytes on the wire that came from the school.
    pub from_school_bytes: u64,
    /// Bytes on the wire that came from other laptops.
    pub from_laptops_bytes: u64,
    /// Bytes on the wire that came twice.
    pub duplicate_bytes: u64,
    /// Plain bytes of the chunks that it had already.
    pub had_bytes: u64,
    /// Chunks that came over the network.
    pub fetched_chunks: u32,
}

impl LaptopOutcome {
    /// What laptop `laptop` says of a release that it has applied after so long.
    pub fn new(laptop: usize, took: Duration, status: &ReleaseStatus) -> Self {
        Self {
            laptop,
            seconds: took.as_secs_f64(),
            from_school_bytes: status.from_seeds_bytes,
            from_laptops_bytes: status.from_devices_bytes,
            duplicate_bytes: status.duplicate_bytes,
            had_bytes: status.had_bytes,
            fetched_chunks: status.fetched_chunks,
        }
    }
}

impl ReleaseOutcome {
    /// What was published, what the school sent of it, and what the laptops say.
    pub fn new(published: &Published, school_sent_bytes: u64, laptops: Vec<LaptopOutcome>) -> Self {
        let new = published.new;
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let copies = || school_sent_bytes as f64 / new.wire_bytes as f64;
        Self {
            version: published.target.version.to_string(),
            release: published.manifest.to_string(),
            entries: published.entries,
            tree_bytes: published.tree_bytes,
            chunks: published.chunks,
            new_chunks: new.chunks,
            new_bytes: new.plain_bytes,
            new_wire_bytes: new.wire_bytes,
            school_sent_bytes,
            school_copies: (new.wire_bytes > 0).then(copies),
            laptops,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for release in &self.releases {
            writeln!(f, "{release}")?;
        }
        writeln!(f, "Every applied tree was walked, and is exactly what was published.")?;
        if let Some(bytes) = self.memory_bytes_peak.iter().flatten().max() {
            writeln!(f, "No laptop ever had more than {} of memory.", megabytes(*bytes))?;
        }
        if let Some(kept) = &self.kept {
            let kept = kept.display();
            writeln!(f, "Left in {kept}: laptop-1/current, laptop-1/previous and so on, repo, the logs.")?;
        }
        Ok(())
    }
}

impl fmt::Display for ReleaseOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Release {}: {} entries, {} in {} chunks.\nOf these {} were new: {}, or {} compressed.\n",
            self.version,
            self.entries,
            megabytes(self.tree_bytes),
            self.chunks,
            self.new_chunks,
            megabytes(self.new_bytes),
            megabytes(self.new_wire_bytes),
        )?;
        let headings = ["laptop", "seconds", "from the school", "from laptops", "had already", "chunks fetched"];
        let [laptop, seconds, school, laptops, had, chunks] = headings;
        writeln!(f, "{laptop:>8}{seconds:>9}{school:>17}{laptops:>14}{had:>13}{chunks:>16}")?;
        for row in &self.laptops {
            writeln!(
                f,
                "{:>8}{:>9.1}{:>17}{:>14}{:>13}{:>16}",
                row.laptop,
                row.seconds,
                megabytes(row.from_school_bytes),
                megabytes(row.from_laptops_bytes),
                megabytes(row.had_bytes),
                row.fetched_chunks,
            )?;
        }
        let sent = megabytes(self.school_sent_bytes);
        match self.school_copies {
            Some(copies) => writeln!(
                f,
                "\nThe school sent {sent}: {copies:.2} copies of what was missing.\nWithout the mesh it would have sent {}.",
                self.laptops.len(),
            ),
            None => writeln!(f, "\nNo chunk was missing; the school sent {sent} of lists."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(new_wire_bytes: u64) -> Outcome {
        let new = crate::repository::pack_writer::Written {
            chunks: 2,
            plain_bytes: 3_000_000,
            wire_bytes: new_wire_bytes,
            packs: 1,
        };
        let published = Published {
            target: "demo/tree_1.0.manifest".parse().unwrap(),
            manifest: protocol::id::ManifestId([7; 32]),
            manifest_bytes: 100,
            chunk_list: protocol::content::manifest::ChunkListRef { id: protocol::id::ChunkListId([8; 32]), bytes: 80 },
            entries: 3,
            tree_bytes: 4_000_000,
            chunks: 3,
            chunk_bytes: 4_000_000,
            new,
        };
        let laptop = LaptopOutcome {
            laptop: 1,
            seconds: 1.25,
            from_school_bytes: 1_500_000,
            from_laptops_bytes: 500_000,
            duplicate_bytes: 0,
            had_bytes: 1_000_000,
            fetched_chunks: 2,
        };
        let releases = vec![ReleaseOutcome::new(&published, 3_000_000, vec![laptop])];
        Outcome { kept: None, releases, memory_bytes_peak: vec![None] }
    }

    #[test]
    fn a_school_that_sent_one_and_a_half_copies() {
        let outcome = outcome(2_000_000);
        assert_eq!(outcome.releases[0].school_copies, Some(1.5));
        assert!(outcome.to_string().contains("The school sent 3.0 MB: 1.50 copies of what was missing."));
    }

    #[test]
    fn a_release_that_brings_nothing_new() {
        let outcome = outcome(0);
        assert_eq!(serde_json::to_value(&outcome).unwrap()["releases"][0]["school_copies"], serde_json::Value::Null);
        assert!(outcome.to_string().contains("No chunk was missing"));
    }
}
