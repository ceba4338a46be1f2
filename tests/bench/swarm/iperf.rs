//! The rate that a link really has, measured by iperf3: what a program could have at best.

use anyhow::Context;
use serde::Deserialize;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use tests::lan::Lan;

/// The queue of a shaped link is full, and its burst used up, after so many seconds.
const OMITTED_S: &str = "1";

/// A measurement under way, from one host to another. It is ended when this is dropped.
pub struct Iperf {
    server: Child,
    sender: Child,
    /// A server that nobody listens to ends.
    _said: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Told {
    end: End,
}

#[derive(Deserialize)]
struct End {
    sum_received: Sum,
}

#[derive(Deserialize)]
struct Sum {
    bits_per_second: f64,
}

impl Iperf {
    /// Starts to send for so many seconds.
    ///
    /// # Errors
    /// When iperf3 cannot be run.
    pub fn start(lan: &Lan, from: &str, to: &str, seconds: u64) -> anyhow::Result<Iperf> {
        let mut server = lan.command(to, "iperf3");
        server.args(["--server", "--one-off", "--forceflush"]);
        let mut server = quiet(&mut server).stdout(Stdio::piped()).spawn().context("cannot run iperf3")?;
        let mut said = server.stdout.take().map(BufReader::new).context("standard output is a pipe")?;
        let is_there = said.by_ref().lines().map_while(Result::ok).any(|line| line.contains("listening"));
        anyhow::ensure!(is_there, "iperf3 does not listen on {to}");
        let mut sender = lan.command(from, "iperf3");
        sender.args(["--client", &lan.address(to).to_string(), "--json", "--omit", OMITTED_S]);
        sender.args(["--time", &seconds.to_string()]);
        let sender = quiet(&mut sender).stdout(Stdio::piped()).spawn().context("cannot run iperf3")?;
        Ok(Iperf { server, sender, _said: said })
    }

    /// Waits for the end, and returns what arrived, in bits a second.
    ///
    /// # Errors
    /// When iperf3 failed.
    pub fn bits_per_s(mut self) -> anyhow::Result<f64> {
        let out = self.sender.stdout.take().context("standard output is a pipe")?;
        let told: Told = serde_json::from_reader(out).context("iperf3 has measured nothing")?;
        Ok(told.end.sum_received.bits_per_second)
    }
}

impl Drop for Iperf {
    fn drop(&mut self) {
        for child in [&mut self.sender, &mut self.server] {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stderr(Stdio::null())
}
