//! A TUF client on the command line, as tuf-conformance wants one: Homeroom's trust wing, which devices run, with HTTP
//! instead of peers.
//!
//!     cargo build --release --example tuf_client --features interop-keys
//!     tuf_client --metadata-dir D init ROOT
//!     tuf_client --metadata-dir D --metadata-url URL refresh
//!     tuf_client --metadata-dir D --metadata-url URL --target-base-url URL --target-dir X --target-name P download
//!
//! Exit code 0 if all went well, else 1. What is trusted lies in D under names without versions.

use anyhow::{Context, bail, ensure};
use clap::Parser;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use protocol::limits;
use protocol::time::UnixTime;
use protocol::trust::date::Date;
use protocol::trust::metadata::TargetFile;
use protocol::trust::{Need, Rejection, Resolution, Role, TrustedSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Roots that are followed in one refresh (go-tuf's bound).
const ROOT_ROTATIONS_MAX: usize = 256;
/// What a file's name has in percent.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a path in a URL has in percent.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    metadata_dir: PathBuf,
    #[arg(long)]
    metadata_url: Option<String>,
    #[arg(long)]
    target_name: Vec<String>,
    #[arg(long)]
    target_base_url: Option<String>,
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Init { root: PathBuf },
    Refresh,
    Download,
}

fn main() -> anyhow::Result<()> {
    let Arguments { metadata_dir, metadata_url, target_name, target_base_url, target_dir, verb } = Arguments::parse();
    match verb {
        Verb::Init { root } => {
            fs::create_dir_all(&metadata_dir)?;
            let bytes = fs::read(&root).with_context(|| root.display().to_string())?;
            TrustedSet::from_root(&bytes)?;
            fs::write(metadata_dir.join("root.json"), bytes)?;
            Ok(())
        }
        Verb::Refresh => Client::open(metadata_dir, metadata_url)?.refresh(),
        Verb::Download => {
            let mut client = Client::open(metadata_dir, metadata_url)?;
            client.refresh()?;
            let (url, directory) = (target_base_url.context("--target-base-url")?, target_dir.context("--target-dir")?);
            target_name.iter().try_for_each(|path| client.download(path, &url, &directory))
        }
    }
}

/// A client at one moment.
struct Client {
    trust: TrustedSet,
    directory: PathBuf,
    url: String,
    /// When the refresh started (TUF 1.0.34, section 5.1).
    now: UnixTime,
}

impl Client {
    fn open(directory: PathBuf, url: Option<String>) -> anyhow::Result<Self> {
        let mut trust = TrustedSet::from_root(&fs::read(directory.join("root.json"))?)?;
        let roles = [Role::Timestamp, Role::Snapshot];
        let stored = roles.iter().filter_map(|role| {
            let bytes = fs::read(directory.join(role.file_name(None))).ok()?;
            let version = protocol::trust::envelope::stated_version(&bytes)?;
            Some((format!("{version}.{role}.json"), bytes))
        });
        trust.recall(stored);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self { trust, directory, url: url.context("--metadata-url")?, now: UnixTime(i64::try_from(now)?) })
    }

    /// Section 5.3 to 5.6: the top-level roles.
    fn refresh(&mut self) -> anyhow::Result<()> {
        for _ in 0..ROOT_ROTATIONS_MAX {
            let next = Some(self.trust.root().version + 1);
            let Some(bytes) = self.get_metadata(&Role::Root.file_name(next), limits::ROOT_BYTES_MAX)? else { break };
            self.trust.offer(&Role::Root, &bytes)?;
            self.save(&Role::Root, &bytes)?;
        }
        self.check_expiry(&Role::Root, self.trust.root().expires)?;
        let timestamp =
            self.get_metadata("timestamp.json", limits::TIMESTAMP_BYTES_MAX)?.context("no timestamp.json")?;
        match self.trust.offer(&Role::Timestamp, &timestamp) {
            // What has the version of the one that is trusted is passed over (section 5.4.3).
            Err(Rejection::Equivocation { .. }) => {}
            Err(rejection) => bail!(rejection),
            Ok(_) => {
                self.check_file_expiry(&Role::Timestamp, &timestamp)?;
                self.save(&Role::Timestamp, &timestamp)?;
            }
        }
        let (_, timestamp) = self.trust.metadata(&Role::Timestamp, None).context("no timestamp is trusted")?;
        self.check_file_expiry(&Role::Timestamp, &timestamp)?;
        if let Some((_, snapshot)) = self.trust.metadata(&Role::Snapshot, None) {
            self.check_unless_replaced(&Role::Snapshot, &snapshot)?;
        }
        while let Some(need) = self.trust.needs().into_iter().find(|need| need.role <= Role::Targets) {
            self.fetch(&need)?;
        }
        Ok(())
    }

    /// A snapshot of an earlier refresh that is still the newest must not have expired.
    fn check_unless_replaced(&self, role: &Role, bytes: &[u8]) -> anyhow::Result<()> {
        if self.trust.needs().iter().any(|need| need.role == *role) {
            return Ok(());
        }
        self.check_file_expiry(role, bytes)
    }

    /// Takes a file in, from an earlier refresh if it is still the right one.
    fn fetch(&mut self, need: &Need) -> anyhow::Result<()> {
        let Need { role, version, bytes_max } = need;
        if let Ok(bytes) = fs::read(self.directory.join(role.file_name(None)))
            && self.trust.offer(role, &bytes).is_ok()
        {
            return self.check_file_expiry(role, &bytes);
        }
        let name = role.file_name(version.filter(|_| self.trust.root().body.consistent_snapshot));
        let bytes = self.get_metadata(&name, *bytes_max)?.with_context(|| format!("no {name}"))?;
        self.trust.offer(role, &bytes)?;
        self.check_file_expiry(role, &bytes)?;
        self.save(role, &bytes)
    }

    /// Section 5.7: one target file.
    fn download(&mut self, path: &str, url: &str, directory: &Path) -> anyhow::Result<()> {
        let file = loop {
            let need = match self.trust.resolve(path) {
                Resolution::File(file) => break file.clone(),
                Resolution::Needs(need) => need,
                Resolution::Nothing => bail!("{path:?} is no target"),
                Resolution::Broken(role) => bail!("{role} may name {path:?}, and cannot be trusted"),
            };
            self.fetch(&need)?;
        };
        let place = directory.join(utf8_percent_encode(path, RESERVED).to_string());
        if fs::read(&place).is_ok_and(|bytes| file.is(&bytes)) {
            return Ok(());
        }
        let url = format!("{}/{}", url.trim_end_matches('/'), self.target_name(path, &file));
        let bytes = get(&url, file.length)?.with_context(|| format!("no {url}"))?;
        ensure!(file.is(&bytes), "{url} is not what was signed");
        Ok(fs::write(place, bytes)?)
    }

    fn target_name(&self, path: &str, file: &TargetFile) -> String {
        let name = match (path.rsplit_once('/'), file.hashes.values().next()) {
            (Some((above, name)), Some(hash)) if self.trust.root().body.consistent_snapshot => {
                format!("{above}/{hash}.{name}")
            }
            (None, Some(hash)) if self.trust.root().body.consistent_snapshot => format!("{hash}.{path}"),
            _ => path.to_owned(),
        };
        utf8_percent_encode(&name, RESERVED_IN_PATH).to_string()
    }

    fn check_file_expiry(&self, role: &Role, bytes: &[u8]) -> anyhow::Result<()> {
        let file: serde_json::Value = serde_json::from_slice(bytes)?;
        let expires = file.pointer("/signed/expires").and_then(serde_json::Value::as_str).context("no expiry")?;
        self.check_expiry(role, expires.parse()?)
    }

    fn check_expiry(&self, role: &Role, expires: Date) -> anyhow::Result<()> {
        ensure!(expires.unix_time() > self.now, "{role} expired on {expires}");
        Ok(())
    }

    fn save(&self, role: &Role, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(fs::write(self.directory.join(role.file_name(None)), bytes)?)
    }

    fn get_metadata(&self, name: &str, bytes_max: u64) -> anyhow::Result<Option<Vec<u8>>> {
        get(&format!("{}/{name}", self.url.trim_end_matches('/')), bytes_max)
    }
}

/// What a server has at a URL, if anything; an error if that is too long.
fn get(url: &str, bytes_max: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let response = match ureq::get(url).call() {
        Err(ureq::Error::StatusCode(403 | 404)) => return Ok(None),
        response => response?,
    };
    let mut bytes = Vec::new();
    response.into_body().into_reader().take(bytes_max + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= bytes_max, "{url} has more than {bytes_max} bytes");
    Ok(Some(bytes))
}
