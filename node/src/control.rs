//! Speaking to a node that runs: one JSON line each way over a socket in its home, which only the
//! home's owner can open.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

const SOCKET: &str = "control.sock";
/// A node answers at once; one that does not is stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest lawful request, in bytes.
const REQUEST_BYTES_MAX: u64 = 4096;

/// What a person wants of a running node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Tell where you stand; the answer is a `Status`.
    Status,
    /// Apply what is complete; the answer is a `Status`.
    Apply,
}

/// A request, and where its answer goes.
pub type Asked = (Request, oneshot::Sender<String>);

/// The socket of a home.
pub struct Control {
    asked: mpsc::Receiver<Asked>,
    path: PathBuf,
}

impl Control {
    /// Opens the socket of a home that this process has locked.
    pub fn open(home: &Path) -> std::io::Result<Self> {
        let path = socket(home);
        // Whoever left it there is gone, or the home would be locked.
        let _ = std::fs::remove_file(&path);
        let home = File::open(home)?;
        let listener = UnixListener::bind(short(&home))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let (sender, asked) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, sender.clone()));
            }
        });
        Ok(Self { asked, path })
    }

    /// The next request.
    pub async fn next(&mut self) -> Option<Asked> {
        self.asked.recv().await
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks the node that runs in a home; nothing if none does.
pub fn ask(home: &Path, request: Request) -> anyhow::Result<Option<String>> {
    let Ok(home) = File::open(home) else { return Ok(None) };
    let Ok(mut stream) = BlockingStream::connect(short(&home)) else { return Ok(None) };
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    writeln!(stream, "{}", serde_json::to_string(&request)?)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(Some(answer))
}

async fn answer(mut stream: UnixStream, asked: mpsc::Sender<Asked>) {
    let mut line = String::new();
    let read = tokio::io::BufReader::new((&mut stream).take(REQUEST_BYTES_MAX)).read_line(&mut line).await;
    let Ok(request) = read.map(|_| serde_json::from_str(&line)) else { return };
    let reply = match request {
        Ok(request) => {
            let (sender, reply) = oneshot::channel();
            if asked.send((request, sender)).await.is_err() {
                return;
            }
            reply.await.unwrap_or_default()
        }
        Err(error) => serde_json::json!({ "error": error.to_string() }).to_string(),
    };
    // The asker may have left; nobody else waits for the answer.
    let _ = stream.write_all(format!("{reply}\n").as_bytes()).await;
}

fn socket(home: &Path) -> PathBuf {
    home.join(SOCKET)
}

/// The socket's path by way of the open home: Linux takes no path of a socket beyond 107 bytes, and a
/// home may lie deeper.
fn short(home: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", home.as_raw_fd())).join(SOCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_lies_deep() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("d".repeat(200));
        std::fs::create_dir(&home).unwrap();
        assert_eq!(ask(&home, Request::Status).unwrap(), None);
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(async {
            let mut control = Control::open(&home).unwrap();
            let asking = home.clone();
            let asker = tokio::task::spawn_blocking(move || ask(&asking, Request::Status).unwrap());
            let (request, reply) = control.next().await.unwrap();
            assert_eq!(request, Request::Status);
            reply.send("well".to_owned()).unwrap();
            assert_eq!(asker.await.unwrap().as_deref(), Some("well\n"));
        });
    }
}
