//! Other people's programs with the same file, in the same kind of network: what there is to choose from today.
//!
//! A rival is two lines of shell: what the school runs, and what each laptop runs. The time counts from the moment
//! when the laptops are started; the school is ready by then. A laptop has the file when its program says so, by
//! writing the laptop's name to the pipe `$WHOLE`. That is kinder than what a node is measured by: some say so before
//! the file is written, and none waits until it is durable.

use crate::member::{Heard, Member};
use crate::plan::Plan;
use crate::room::{Room, run};
use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;
use simulator::scenario::HostId;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tests::lan::Lan;

/// A rival's school has read the file, and is ready, within this.
const READY: Duration = Duration::from_secs(8);
/// No rival gets longer than this.
const GIVE_UP: Duration = Duration::from_secs(300);

/// What a program says it has is written within this; it is looked at this often.
const WRITTEN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The file that rivals pass on.
const FILE: &str = "0.bin";
/// What a program calls that tells by itself when it has the file.
const WHOLE: &str = "#!/bin/sh\necho $HOST > $WHOLE\n";

/// A program, or a pair of them, that can bring a file to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rival {
    /// The downloader aria2, as a BitTorrent peer.
    Aria2,
    /// The BitTorrent library libtorrent, by its Python binding ($PYTHON, or python3).
    Libtorrent,
    /// A web server, and curl on each laptop.
    Nginx,
    /// An rsync server, and rsync on each laptop.
    Rsync,
    /// The BitTorrent peer Transmission.
    Transmission,
    /// Multicast by udpcast, at 93 % of the school's rate.
    Udpcast,
}

/// How a rival did.
#[derive(Clone, Debug, Serialize)]
pub struct RivalRun {
    /// Who.
    pub rival: Rival,
    /// When the first laptop had the file, in seconds.
    pub first_s: f64,
    /// When the last one had it.
    pub last_s: f64,
    /// The same over the bound at the measured rate.
    pub ratio: f64,
    /// Bytes that the school sent into the switch, over those of the file.
    pub school_link_copies: f64,
    /// Processor seconds of the school.
    pub school_cpu_s: f64,
    /// Processor seconds of all laptops together.
    pub laptops_cpu_s: f64,
    /// The most memory that a process of a laptop had at the end.
    pub laptop_memory_bytes_peak: u64,
}

impl Rival {
    /// What the school runs, then what a laptop runs.
    fn scripts(self) -> [String; 2] {
        let share = |with: &str| {
            format!(
                "ln $SOURCE {FILE}; mktorrent -l 18 -a http://$SCHOOL:6969/announce -o ../release.torrent $SOURCE >&2; \
                 $PYTHON $BENCH/bittorrent.py tracker & {with}"
            )
        };
        match self {
            Rival::Aria2 => {
                let aria2 = "aria2c --no-conf --quiet --enable-dht=false --enable-dht6=false --bt-enable-lpd=true \
                             --listen-port=6881 --seed-ratio=0 --file-allocation=none --bt-max-peers=0 \
                             --bt-tracker-interval=3 --on-bt-download-complete=$ROOM/whole.sh";
                let seed = format!("{aria2} --bt-seed-unverified=true ../release.torrent");
                [share(&seed), format!("{aria2} ../release.torrent")]
            }
            Rival::Libtorrent => {
                let peer = "$PYTHON $BENCH/bittorrent.py";
                [share(&format!("{peer} seed ../release.torrent")), format!("{peer} get ../release.torrent")]
            }
            Rival::Nginx => [
                "printf 'daemon off; master_process off; pid nginx.pid; error_log stderr; events {} http { access_log off; \
                 sendfile on; server { listen 8080; root %s; } }' $(dirname $SOURCE) > nginx.conf; \
                 nginx -e stderr -p $PWD -c nginx.conf"
                    .to_owned(),
                and_tell(&format!("curl --silent --fail --output {FILE} http://$SCHOOL:8080/{FILE}")),
            ],
            Rival::Rsync => [
                "printf 'use chroot = no\\nreverse lookup = no\\nport = 8730\\nuid = 0\\ngid = 0\\n[all]\\npath = %s\\n' \
                 $(dirname $SOURCE) > rsync.conf; rsync --daemon --no-detach --config=rsync.conf"
                    .to_owned(),
                and_tell(&format!("rsync --whole-file rsync://$SCHOOL:8730/all/{FILE} .")),
            ],
            Rival::Transmission => {
                let peer = "mkdir settings add; cp ../release.torrent add/; cp ../transmission.json settings/settings.json; \
                            transmission-daemon --foreground --config-dir settings";
                [share(peer), peer.to_owned()]
            }
            Rival::Udpcast => [
                "udp-sender --nokbd --file $SOURCE --interface eth0 --min-receivers $LAPTOPS --max-bitrate $BITRATE; read _".to_owned(),
                and_tell(&format!("udp-receiver --nokbd --nosync --file {FILE} --interface eth0")),
            ],
        }
    }

    /// Whether the school starts after the laptops, because it speaks to those that listen.
    fn speaks_to_all(self) -> bool {
        self == Rival::Udpcast
    }
}

fn and_tell(command: &str) -> String {
    // Whoever has ended is kept until its use of the processor was read.
    format!("{command} && echo $HOST > $WHOLE; read _")
}

/// A rival at work.
struct Race<'a> {
    plan: &'a Plan<'a>,
    lan: Lan,
    room: &'a Path,
    source: &'a Path,
    tell: &'a Sender<Heard>,
    members: BTreeMap<HostId, Member>,
}

/// Lets a rival bring the first release's only file to all laptops, over links that carry such a share of what they
/// are set to.
///
/// # Errors
/// When a program is missing or fails, or not everybody has the file in time, or it is another one.
pub fn race(
    rival: Rival,
    (plan, share): (&Plan, f64),
    room: &Room,
    (tell, heard): (&Sender<Heard>, &Receiver<Heard>),
) -> anyhow::Result<RivalRun> {
    let source = room.only_file()?;
    let bytes = fs::metadata(&source)?.len();
    let directory = room.rival()?;
    let lan = plan.network()?;
    let whole = directory.join("whole");
    run(Command::new("mkfifo").arg(&whole))?;
    fs::write(directory.join("whole.sh"), WHOLE)?;
    fs::set_permissions(directory.join("whole.sh"), Permissions::from_mode(0o755))?;
    fs::write(directory.join("transmission.json"), transmission(&directory.join("whole.sh")))?;
    // Open for both, it neither blocks nor ends while nobody writes.
    let mut pipe = OpenOptions::new().read(true).write(true).open(&whole)?;
    let reader = listen(pipe.try_clone()?, tell.clone());
    let mut race = Race { plan, lan, room: &directory, source: &source, tell, members: BTreeMap::new() };
    let done = race.run(rival, bytes, share, heard);
    // The nodes first, so that nobody writes after the end.
    drop(race);
    pipe.write_all(b"end\n")?;
    let _ = reader.join();
    done
}

impl Race<'_> {
    fn run(&mut self, rival: Rival, bytes: u64, share: f64, heard: &Receiver<Heard>) -> anyhow::Result<RivalRun> {
        let [school, laptop] = rival.scripts();
        if !rival.speaks_to_all() {
            self.start(HostId::SEED, &school)?;
            wait(heard, Instant::now() + READY)?;
        }
        let before = self.sent_bytes()?;
        let start = Instant::now();
        for host in &self.plan.hosts[1..] {
            self.start(host.id, &laptop)?;
        }
        if rival.speaks_to_all() {
            wait(heard, start + Duration::from_secs(1))?;
            self.start(HostId::SEED, &school)?;
        }
        let mut whole = BTreeMap::new();
        while whole.len() < self.members.len() - 1 {
            let told = wait(heard, start + GIVE_UP)?;
            let (host, at) = told.with_context(|| format!("{} of {rival:?}'s laptops got it", whole.len()))?;
            whole.insert(host, (at - start).as_secs_f64());
        }
        let sent = self.sent_bytes()? - before;
        let usage = |member: &Member| member.usage();
        let laptops =
            || self.members.iter().filter(|(host, _)| **host != HostId::SEED).map(|(_, member)| usage(member));
        let last_s = whole.values().copied().fold(0.0, f64::max);
        let result = RivalRun {
            rival,
            first_s: whole.values().copied().fold(f64::MAX, f64::min),
            last_s,
            ratio: last_s / self.plan.bound_s(bytes, share),
            school_link_copies: sent as f64 / bytes as f64,
            school_cpu_s: self.members.get(&HostId::SEED).map_or(0.0, |member| usage(member).cpu_s),
            laptops_cpu_s: laptops().map(|usage| usage.cpu_s).sum(),
            laptop_memory_bytes_peak: laptops().map(|usage| usage.memory_bytes_peak).max().unwrap_or(0),
        };
        for host in &self.plan.hosts[1..] {
            self.compare(host.id, heard).with_context(|| format!("{rival:?} has brought {} another file", host.id))?;
        }
        Ok(result)
    }

    /// Whether a laptop has every byte; a program that says so may still be writing.
    fn compare(&self, host: HostId, heard: &Receiver<Heard>) -> anyhow::Result<()> {
        let copy = self.room.join(host.to_string()).join(FILE);
        let give_up = Instant::now() + WRITTEN;
        loop {
            match run(Command::new("cmp").arg(self.source).arg(&copy)) {
                Err(_) if Instant::now() < give_up => wait(heard, Instant::now() + LOOK_EVERY)?,
                done => return done.map(drop),
            };
        }
    }

    fn start(&mut self, host: HostId, script: &str) -> anyhow::Result<()> {
        let name = host.to_string();
        let directory = self.room.join(&name);
        fs::create_dir(&directory)?;
        let log = File::create(self.room.join(format!("{name}.log")))?;
        let mut command = self.lan.command(&name, "sh");
        command.args(["-c", script]).current_dir(&directory).env("HOST", &name).env("HOME", &directory);
        command.env("WHOLE", self.room.join("whole")).env("ROOM", self.room).env("SOURCE", self.source);
        command.env("SCHOOL", self.lan.address(&HostId::SEED.to_string()).to_string());
        command.env("LAPTOPS", (self.plan.hosts.len() - 1).to_string());
        command.env("BITRATE", (self.plan.hosts[0].up_bits_per_s / 100 * 93).to_string());
        command.env("BENCH", concat!(env!("CARGO_MANIFEST_DIR"), "/bench/swarm"));
        command.env("PYTHON", std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
        let member = Member::start(host, command, (log.try_clone()?, log), self.tell.clone())?;
        self.members.insert(host, member);
        Ok(())
    }

    fn sent_bytes(&self) -> anyhow::Result<u64> {
        Ok(self.lan.sent_bytes()?[&HostId::SEED.to_string()])
    }
}

/// Waits for the next laptop that has the file; for none beyond `until`.
fn wait(heard: &Receiver<Heard>, until: Instant) -> anyhow::Result<Option<(HostId, Instant)>> {
    loop {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Heard::Whole(host, at)) => return Ok(Some((host, at))),
            Ok(Heard::Interrupted) => bail!("interrupted"),
            Ok(Heard::Line(..) | Heard::Ended(_)) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Hands on who has the file.
fn listen(pipe: File, tell: Sender<Heard>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok).take_while(|line| line != "end") {
            let now = Instant::now();
            if let Ok(host) = line.parse()
                && tell.send(Heard::Whole(host, now)).is_err()
            {
                return;
            }
        }
    })
}

fn transmission(whole: &Path) -> String {
    serde_json::json!({
        "download-dir": ".", "watch-dir-enabled": true, "watch-dir": "add", "start-added-torrents": true,
        "dht-enabled": false, "lpd-enabled": true, "pex-enabled": true, "utp-enabled": false, "encryption": 0,
        "peer-port": 6881, "port-forwarding-enabled": false, "rpc-enabled": false, "upload-slots-per-torrent": 20,
        "script-torrent-done-enabled": true, "script-torrent-done-filename": whole, "preallocation": 0,
    })
    .to_string()
}

/// The programs that rivals need, each with its package.
pub fn needs(rival: Rival) -> &'static [(&'static str, &'static str)] {
    match rival {
        Rival::Aria2 => &[("aria2c", "aria2"), ("mktorrent", "mktorrent"), ("python3", "python3")],
        Rival::Libtorrent => &[("mktorrent", "mktorrent"), ("python3", "python3")],
        Rival::Nginx => &[("nginx", "nginx-light"), ("curl", "curl")],
        Rival::Rsync => &[("rsync", "rsync")],
        Rival::Transmission => {
            &[("transmission-daemon", "transmission-daemon"), ("mktorrent", "mktorrent"), ("python3", "python3")]
        }
        Rival::Udpcast => &[("udp-sender", "udpcast")],
    }
}
