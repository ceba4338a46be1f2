//! A network of hosts on this machine, each in a network namespace of its own; `lab/lan.sh` makes it. Needs root.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// A network of hosts. It is taken down when this is dropped.
pub struct Lan {
    name: String,
    hosts: Vec<String>,
}

/// A port of the switch, as `ip -s -j link` tells of it.
#[derive(Deserialize)]
struct Port {
    ifname: String,
    stats64: Stats,
}

#[derive(Deserialize)]
struct Stats {
    rx: Count,
}

#[derive(Deserialize)]
struct Count {
    bytes: u64,
}

impl Lan {
    /// Makes a network of these hosts. Its name is this process's own.
    ///
    /// # Errors
    /// When the script cannot be run or fails; it has said why on standard error.
    pub fn up(hosts: &[&str]) -> io::Result<Lan> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let lan = Lan { name: format!("lab{}", std::process::id()), hosts };
        let named: Vec<&str> = lan.hosts.iter().map(String::as_str).collect();
        lan.script("up", &named)?;
        Ok(lan)
    }

    /// Limits what a host sends and what it is sent, in bits a second each.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub fn shape(&self, host: &str, up_bits_per_s: u64, down_bits_per_s: u64) -> io::Result<()> {
        let kbit = |bits_per_s: u64| (bits_per_s / 1000).to_string();
        self.script("shape", &[host, &kbit(up_bits_per_s), &kbit(down_bits_per_s)])
    }

    /// Lets the switch lose so many of a thousand frames.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub fn lose(&self, permille: u32) -> io::Result<()> {
        self.script("lose", &[&permille.to_string()])
    }

    /// Takes a host's cable out of the switch.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub fn unplug(&self, host: &str) -> io::Result<()> {
        self.script("unplug", &[host])
    }

    /// Puts a host's cable back.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub fn plug(&self, host: &str) -> io::Result<()> {
        self.script("plug", &[host])
    }

    /// A command that will run on a host. Its process is the program's own.
    pub fn command(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{host}", self.name)]).arg(program);
        command
    }

    /// Where a host is.
    pub fn address(&self, host: &str) -> Ipv4Addr {
        let number = self.hosts.iter().position(|known| known == host).map_or(0, |at| at + 1);
        Ipv4Addr::new(10, 77, 0, u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// By host, the bytes that it has sent into the switch.
    ///
    /// # Errors
    /// When the switch cannot be asked.
    pub fn sent_bytes(&self) -> io::Result<BTreeMap<String, u64>> {
        let output = Command::new("ip").args(["-n", &format!("{}-switch", self.name), "-s", "-j", "link"]).output()?;
        let ports: Vec<Port> = serde_json::from_slice(&output.stdout)?;
        let of_host = |port: Port| Some((port.ifname.strip_prefix("port-")?.to_owned(), port.stats64.rx.bytes));
        Ok(ports.into_iter().filter_map(of_host).collect())
    }

    fn script(&self, verb: &str, arguments: &[&str]) -> io::Result<()> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/lan.sh");
        let status = Command::new(script).args([verb, &self.name]).args(arguments).stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("lan.sh {verb} failed: {status}"))) }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // Also while a panic passes, where a second one would hide the first.
        let _ = self.script("down", &[]);
    }
}
