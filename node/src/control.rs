//! Speaking to a node that runs: one JSON line each way over a socket in its home, which only the
//! home's owner can open.

use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

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
        let listener = UnixListener::bind(&path)?;
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
    let Ok(mut stream) = BlockingStream::connect(socket(home)) else { return Ok(None) };
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
    home.join("control.sock")
}
