//! A hostile peer of a scenario, as a process of its own on its host: found by mDNS like anybody, with the newest
//! metadata, and with nothing good behind its words.

use anyhow::Context;
use node::dialler::Dialler;
use node::discovery::{Advertisement, Discovery};
use node::net::{DEFAULT_PORT, Happening, Network, OutgoingChunk};
use protocol::content::encoding::Encoding;
use protocol::id::{ManifestId, PeerId};
use protocol::limits::PEERS_MAX;
use protocol::mesh::Role;
use protocol::message::{ChunkHeader, Holdings, Message};
use serde_bytes::ByteBuf;
use simulator::host::Behaviour;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::manners::{Manners, Say, peer_of};
use tokio::io::AsyncReadExt;

/// The repository is looked at, and peers are dialled, this often.
const TICK: Duration = Duration::from_millis(250);
/// What a liar sends as a chunk, in bytes: as much as a right one has on average.
const WRONG_BYTES: u32 = 64 * 1024;

/// What a hostile peer is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// The repository whose metadata it has
    #[arg(long)]
    repo: PathBuf,
    /// Whether it sends wrong bytes, instead of nothing
    #[arg(long)]
    lies: bool,
    /// Whether it says no, instead of nothing
    #[arg(long)]
    refuses: bool,
}

/// Lets a command be a hostile peer of a repository.
pub fn arguments(command: &mut Command, repository: &Path, behaviour: Behaviour) {
    command.args(["hostile", "--repo"]).arg(repository);
    match behaviour {
        Behaviour::Lies => command.arg("--lies"),
        Behaviour::Boasts { refuses: true } => command.arg("--refuses"),
        // Lies about metadata are the simulator's alone.
        Behaviour::Honest | Behaviour::Stalls | Behaviour::Boasts { refuses: false } | Behaviour::Attacks(_) => command,
    };
}

struct Hostile {
    repository: PathBuf,
    behaviour: Behaviour,
    manners: Manners,
    peers: BTreeSet<PeerId>,
}

/// Is hostile until standard input ends.
///
/// # Errors
/// When the network cannot be used.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Arguments { lies, refuses, .. } = *arguments;
    let behaviour = if lies { Behaviour::Lies } else { Behaviour::Boasts { refuses } };
    runtime.block_on(async {
        tokio::select! {
            () = stdin_ends() => Ok(()),
            done = be_hostile(&arguments.repo, behaviour) => done,
        }
    })
}

async fn be_hostile(repository: &Path, behaviour: Behaviour) -> anyhow::Result<()> {
    let manners = Manners::of(repository, Role::Device)?;
    let mut network = Network::new(PEERS_MAX)?;
    let listens_on = network.listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT))).await?;
    let mut discovery = Discovery::start(Advertisement {
        transport: network.transport_id(),
        repository: manners.truth.repository(),
        role: Role::Device,
        head: manners.truth.head().map(|head| head.digest),
        listens_on,
    })?;
    let mut dialler = Dialler::new(Vec::new());
    let mut tick = tokio::time::interval(TICK);
    let mut hostile = Hostile { repository: repository.to_owned(), behaviour, manners, peers: BTreeSet::new() };
    loop {
        tokio::select! {
            happening = network.next(true) => {
                for say in hostile.answer(&happening) {
                    if let Some(peer) = peer_of(&happening) {
                        say.to(peer, &mut network);
                    }
                }
            }
            found = discovery.next() => dialler.found(found, network.transport_id()),
            _ = tick.tick() => {
                dialler.dial(&mut network, Role::Device).await;
                network.close_stuck();
                hostile.look(&mut network).context("cannot read the repository")?;
            }
        }
    }
}

impl Hostile {
    fn answer(&mut self, happening: &Happening) -> Vec<Say> {
        match happening {
            Happening::Opened(peer) => {
                self.peers.insert(*peer);
            }
            Happening::Closed(peer) => {
                self.peers.remove(peer);
            }
            Happening::Message(_, Message::Holdings(told)) if told.answer => {
                // Without bits it means: every chunk.
                let all = Holdings { release: told.release, held: ByteBuf::new(), answer: false };
                return vec![Say::Message(Message::Holdings(all))];
            }
            Happening::Message(_, Message::Want(want)) => match self.behaviour {
                Behaviour::Lies => return want.indexes.iter().map(|index| wrong_chunk(want.release, *index)).collect(),
                // That is how a peer without chunks answers in any case.
                Behaviour::Boasts { refuses: true } => {}
                _ => return Vec::new(),
            },
            _ => {}
        }
        self.manners.answer(happening)
    }

    /// Takes in a newer release, and boasts of it.
    fn look(&mut self, network: &mut Network) -> anyhow::Result<()> {
        let manners = Manners::of(&self.repository, Role::Device)?;
        if manners.truth.head() != self.manners.truth.head() {
            self.manners = manners;
            for peer in &self.peers {
                network.send(*peer, &Message::Head(self.manners.truth.head()));
            }
        }
        Ok(())
    }
}

fn wrong_chunk(release: ManifestId, index: u32) -> Say {
    let header = ChunkHeader { release, index, encoding: Encoding::Raw, wire_bytes: WRONG_BYTES };
    Say::Chunk(OutgoingChunk { header, payload: vec![0x5a; WRONG_BYTES as usize].into() })
}

async fn stdin_ends() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    while stdin.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
}
