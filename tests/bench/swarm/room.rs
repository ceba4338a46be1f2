//! The files of a measurement: what is published, the repository, the homes, what nodes said. They lie in one
//! directory, on a tmpfs unless the disk is to be measured, and are gone when it is over.

use crate::plan::Plan;
use anyhow::{Context, ensure};
use serde::Deserialize;
use simulator::scenario::HostId;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

const CHANNEL: &str = "stable";

/// Where one measurement happens.
pub struct Room {
    directory: TempDir,
    is_mounted: bool,
}

/// What `publish --json` tells, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    /// The release, by its manifest's SHA-256.
    pub release: String,
    /// How many chunks it has.
    pub chunks: u64,
    /// Bytes on the wire of chunks that were new.
    pub new_wire_bytes: u64,
}

/// The program, as the release build left it beside this one.
///
/// # Errors
/// If it is not there.
pub fn homeroom() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("homeroom");
    ensure!(program.is_file(), "{} (run `cargo build --release --workspace`)", program.display());
    Ok(program)
}

impl Room {
    /// A directory of its own, on a tmpfs unless `on_disk`.
    ///
    /// # Errors
    /// When the system does not give it.
    pub fn new(on_disk: bool) -> anyhow::Result<Room> {
        let directory = TempDir::with_prefix("swarm-").context("cannot make a directory")?;
        let mut room = Room { directory, is_mounted: false };
        if !on_disk {
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=90%", "tmpfs"]).arg(room.path()))?;
            room.is_mounted = true;
        }
        Ok(room)
    }

    /// Makes the trees of all releases: random bytes, so that nothing can be compressed or is there before.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn make_trees(&self, plan: &Plan) -> anyhow::Result<()> {
        let mut random = File::open("/dev/urandom")?;
        for (number, release) in plan.scenario.releases.iter().enumerate() {
            fs::create_dir(self.tree(number))?;
            let bytes = u64::from(release.chunks) * release.chunk_bytes / u64::from(release.files);
            let shared = bytes * u64::from(release.shares_percent) / 100;
            for file in 0..release.files {
                let name = format!("{file}.bin");
                let mut out = File::create(self.tree(number).join(&name))?;
                let mut copied = 0;
                if shared > 0 {
                    let before = File::open(self.tree(number - 1).join(&name));
                    copied = before.and_then(|before| std::io::copy(&mut before.take(shared), &mut out)).unwrap_or(0);
                }
                std::io::copy(&mut (&mut random).take(bytes - copied), &mut out)?;
            }
        }
        Ok(())
    }

    /// An empty repository, and homes that know it.
    ///
    /// # Errors
    /// When `homeroom` fails.
    pub fn begin(&self, laptops: impl Iterator<Item = HostId>) -> anyhow::Result<()> {
        for name in ["repo", "repo.keys", "homes", "logs"] {
            let path = self.path().join(name);
            if path.exists() {
                fs::remove_dir_all(&path).with_context(|| format!("cannot empty {}", path.display()))?;
            }
        }
        fs::create_dir(self.path().join("logs"))?;
        run(Command::new(homeroom()?).arg("init").arg(self.repository()))?;
        for laptop in laptops {
            let root = self.repository().join("metadata/1.root.json");
            let mut command = Command::new(homeroom()?);
            command.args(["enroll", "--channel", CHANNEL, "--home"]).arg(self.home(laptop)).arg("--root").arg(root);
            run(&mut command)?;
        }
        Ok(())
    }

    /// Publishes a release, and tells when the timestamp was switched.
    ///
    /// # Errors
    /// When `homeroom` fails.
    pub fn publish(&self, number: usize, version: &str) -> anyhow::Result<(Published, Instant)> {
        let mut command = Command::new(homeroom()?);
        command.arg("publish").arg(self.tree(number)).arg("--repo").arg(self.repository());
        command.args(["--channel", CHANNEL, "--version", version, "--allow-remove", "--json"]);
        command.args((number == 0).then_some("--new"));
        let told = run(&mut command)?;
        // The rename that publishes is the last thing that changed the file's inode.
        let timestamp = fs::metadata(self.repository().join("metadata/timestamp.json"))?;
        let since_1970 = Duration::new(timestamp.ctime().unsigned_abs(), u32::try_from(timestamp.ctime_nsec())?);
        let ago = (SystemTime::UNIX_EPOCH + since_1970).elapsed().context("the clock was set back")?;
        let switched = Instant::now().checked_sub(ago).context("the clock was set")?;
        Ok((serde_json::from_slice(&told.stdout)?, switched))
    }

    /// Whether a laptop's applied tree has every byte of a release's.
    ///
    /// # Errors
    /// Names what differs.
    pub fn compare(&self, number: usize, laptop: HostId) -> anyhow::Result<()> {
        let mut command = Command::new("diff");
        command.arg("-r").arg(self.tree(number)).arg(self.home(laptop).join("current"));
        run(&mut command).with_context(|| format!("{laptop} has applied another tree")).map(drop)
    }

    /// The first release's only file, which other programs can pass on too.
    ///
    /// # Errors
    /// If it has more.
    pub fn only_file(&self) -> anyhow::Result<PathBuf> {
        let files = fs::read_dir(self.tree(0))?.count();
        ensure!(files == 1, "other programs are given one file, and the first release has {files}; give it files = 1");
        Ok(self.tree(0).join("0.bin"))
    }

    /// An empty directory for another program's race.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn rival(&self) -> anyhow::Result<PathBuf> {
        let path = self.path().join("rival");
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// The repository.
    pub fn repository(&self) -> PathBuf {
        self.path().join("repo")
    }

    /// A laptop's home.
    pub fn home(&self, laptop: HostId) -> PathBuf {
        self.path().join("homes").join(laptop.to_string())
    }

    /// Where something that a host says goes.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn log(&self, host: HostId, what: &str) -> std::io::Result<File> {
        File::options().create(true).append(true).open(self.path().join("logs").join(format!("{host}.{what}")))
    }

    /// Copies what all nodes have said into a directory, which is made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_logs(&self, directory: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for entry in fs::read_dir(self.path().join("logs"))? {
            let entry = entry?;
            fs::copy(entry.path(), directory.join(entry.file_name()))?;
        }
        Ok(())
    }

    fn tree(&self, number: usize) -> PathBuf {
        self.path().join(format!("tree-{number}"))
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = run(Command::new("umount").arg("--lazy").arg(self.path()))
        {
            let _ = writeln!(std::io::stderr(), "swarm: {error:#}");
        }
    }
}

/// Runs a program that should succeed.
///
/// # Errors
/// With what it said.
pub fn run(command: &mut Command) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} ended with {}: {}", output.status, told.trim());
    Ok(output)
}
