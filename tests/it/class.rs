//! A class: one directory with a publisher's repository, trees, the laptops' homes, and the processes
//! that a test starts in it.

use super::needs::{is_root, target};
use super::process::Process;
use super::trees::{self, Edition};
use serde::Deserialize;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The channel that everybody here follows.
pub const CHANNEL: &str = "stable";

/// Where one test happens.
pub struct Class {
    room: TempDir,
}

/// What `publish --json` told, as far as tests look at it.
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    pub target: String,
    pub chunks: u32,
    pub chunk_bytes: u64,
    pub new_chunks: u32,
    pub new_wire_bytes: u64,
    pub manifest_bytes: u64,
    pub chunk_list_bytes: u64,
}

/// How a command that should fail did so.
#[derive(Debug)]
pub struct Failure {
    /// Its exit code.
    pub code: i32,
    /// The one line that it wrote.
    pub line: String,
}

/// The program under test, which must have been built.
pub fn program() -> PathBuf {
    let program = target().join(if cfg!(debug_assertions) { "debug/homeroom" } else { "release/homeroom" });
    assert!(program.is_file(), "{} is missing; run `cargo build -p node` first", program.display());
    program
}

impl Class {
    /// A class with an empty repository.
    pub fn new() -> Class {
        let class = Class { room: TempDir::new().unwrap() };
        class.run(&["init", &class.repo()]);
        class
    }

    /// Something in the class's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// The same, as an argument.
    pub fn argument(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The repository, as an argument.
    pub fn repo(&self) -> String {
        self.argument("repo")
    }

    /// Makes an odd tree, in the first or the second edition.
    pub fn odd_tree(&self, edition: Edition) -> PathBuf {
        let tree = self.path(&format!("tree-{edition:?}"));
        trees::odd(&tree, edition);
        tree
    }

    /// Publishes a tree.
    pub fn publish(&self, tree: &Path, version: &str) -> Published {
        let tree = tree.to_str().unwrap();
        let repo = self.repo();
        let release = ["--channel", CHANNEL, "--version", version, "--allow-setuid", "--allow-remove", "--json"];
        let told = self.run(&[&["publish", tree, "--repo", &repo], &release[..], self.novelty()].concat());
        serde_json::from_slice(&told.stdout).unwrap()
    }

    /// What a publisher says of the channel's first release.
    pub fn novelty(&self) -> &'static [&'static str] {
        let is_old = fs::read_dir(self.path("repo/manifests").join(CHANNEL)).is_ok_and(|mut it| it.next().is_some());
        if is_old { &[] } else { &["--new"] }
    }

    /// Starts the school.
    pub fn school(&self) -> Process {
        self.school_with(&["--listen", "127.0.0.1:0", "--no-mdns"], &[])
    }

    /// Starts the school with these options, and these peers to dial.
    pub fn school_with(&self, options: &[&str], peers: &[SocketAddr]) -> Process {
        let mut command = Command::new(program());
        command.args(["run", "--seed", "--repo", &self.repo()]).args(options);
        self.start("school", command, peers)
    }

    /// Starts a laptop that knows these peers; enrolls it first if it is new.
    pub fn laptop(&self, name: &str, peers: &[SocketAddr]) -> Process {
        self.laptop_with(name, &["--listen", "127.0.0.1:0", "--no-mdns"], peers)
    }

    /// Starts a laptop with these options and peers; enrolls it first if it is new.
    pub fn laptop_with(&self, name: &str, options: &[&str], peers: &[SocketAddr]) -> Process {
        self.enroll(name);
        let mut command = Command::new(program());
        command.args(["run", "--home", &self.argument(name)]).args(options);
        self.start(name, command, peers)
    }

    /// Starts a node by another command.
    pub fn start(&self, name: &str, mut command: Command, peers: &[SocketAddr]) -> Process {
        peers.iter().for_each(|peer| {
            command.args(["--peer", &peer.to_string()]);
        });
        Process::start(name, command, self.path(&format!("{name}.stderr")))
    }

    /// The program as it is run by somebody who is not root. Only root can start it.
    pub fn nobody(&self) -> Command {
        // Where the program was built may be closed to others.
        let copy = self.path("homeroom");
        if !copy.exists() {
            fs::copy(program(), &copy).unwrap();
        }
        for path in [self.room.path(), &copy] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
        command
    }

    /// Makes a directory that belongs to nobody.
    pub fn directory_of_nobody(&self, name: &str) -> PathBuf {
        let directory = self.path(name);
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(65534), Some(65534)).unwrap();
        directory
    }

    /// Enrolls a laptop, unless it is.
    pub fn enroll(&self, name: &str) {
        if !self.path(name).join("state.sqlite").exists() {
            self.run(&["enroll", "--home", &self.argument(name), "--root", &self.root(), "--channel", CHANNEL]);
        }
    }

    /// The publisher's first root, as an argument.
    pub fn root(&self) -> String {
        format!("{}/metadata/1.root.json", self.repo())
    }

    /// A laptop's applied tree.
    pub fn current(&self, laptop: &str) -> PathBuf {
        self.path(laptop).join("current")
    }

    /// The tree that a laptop had applied before.
    pub fn previous(&self, laptop: &str) -> PathBuf {
        self.path(laptop).join("previous")
    }

    /// Runs a command that should succeed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new(program()).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "homeroom {arguments:?} ended with {}: {told}", output.status);
        output
    }

    /// Runs a command that should fail, with one line on standard error.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str]) -> Failure {
        Failure::of(Command::new(program()).args(arguments))
    }
}

impl Failure {
    /// How a command fails; checks that it tells so in one line.
    #[track_caller]
    pub fn of(command: &mut Command) -> Failure {
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        // Whoever did not know how to say it is pointed to the help, and that is no second cause.
        let is_said = |line: &&str| !line.is_empty() && !line.starts_with("For more information");
        let lines: Vec<&str> = told.lines().filter(is_said).collect();
        assert_eq!(lines.len(), 1, "{command:?} ended with {}, and not with one line: {told}", output.status);
        Failure { code: output.status.code().unwrap(), line: lines[0].to_owned() }
    }

    /// Checks the exit code, and that the line has all of these words.
    #[track_caller]
    pub fn is(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.line);
        let lacking: Vec<&&str> = words.iter().filter(|words| !self.line.contains(**words)).collect();
        assert!(lacking.is_empty(), "{:?} does not say {lacking:?}", self.line);
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        // Applied trees have directories that only root can empty as they are.
        if !is_root() {
            let _ = Command::new("chmod").args(["-R", "u+rwx"]).arg(self.room.path()).output();
        }
    }
}
