//! What a test needs of the machine. A test that cannot run says so, and is counted.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something that not every machine has.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The rights of root.
    Root,
    /// A program in the search path.
    Tool(&'static str),
    /// python-tuf, in the environment that `tests/run.sh` makes.
    PythonTuf,
}

/// Whether everything is there. If not, says so on stderr (past the capture of test output) and in the
/// list that `tests/run.sh` prints at its end; the caller then returns.
pub fn can_run(needs: &[Need]) -> bool {
    let missing: Vec<String> = needs.iter().filter(|need| !need.is_met()).map(|need| format!("{need:?}")).collect();
    if missing.is_empty() {
        return true;
    }
    note(&format!("did not run here for want of {}", missing.join(", ")));
    false
}

/// Tells that the running test could not test something here.
pub fn note(what: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {what}\n", thread.name().unwrap_or("a test"));
    let list = target().join("skipped.txt");
    if std::fs::read_to_string(&list).is_ok_and(|told| told.contains(&line)) {
        return;
    }
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    let mut list = std::fs::OpenOptions::new().create(true).append(true).open(list).unwrap();
    list.write_all(line.as_bytes()).unwrap();
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The directory with `debug/` or `release/` in it, where the tests were built.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().to_owned()
}

/// The Python that has python-tuf.
pub fn python() -> PathBuf {
    target().join("venv/bin/python")
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Need::Root => is_root(),
            Need::Tool(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|directory| is_file(&directory.join(name)))
            }
            Need::PythonTuf => {
                let imported = Command::new(python()).args(["-c", "import tuf.ngclient"]).output();
                imported.is_ok_and(|output| output.status.success())
            }
        }
    }
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}
