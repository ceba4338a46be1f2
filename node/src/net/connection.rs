//! The tasks of one connection: two that read and two that write, one pair for each lane. They hold
//! no state of the node; they turn bytes into what happened and what is to be said into bytes.

use super::frames;
use super::{Happening, Reports};
use futures::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter, ReadHalf, WriteHalf};
use libp2p::Stream;
use protocol::id::PeerId;
use protocol::limits::FRAME_BYTES_MAX;
use protocol::message::{ChunkHeader, Message};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Bytes of messages that may wait for a peer's stream: two of the largest files that it may ask for.
/// A peer that is this far behind is disconnected.
const MESSAGE_BYTES_QUEUED_MAX: usize = 2 * FRAME_BYTES_MAX as usize;
/// Chunks that may wait for a peer's stream; the protocol grants fewer.
const CHUNKS_QUEUED_MAX: usize = 2 * protocol::limits::UPLOADS_PER_PEER_MAX;
/// Messages are read and written in buffers of this many bytes: most are far smaller.
const MESSAGE_BUFFER_BYTES: usize = 16 * 1024;
/// The largest header before a chunk's payload, in bytes. The chunk lane's buffer holds no more, so that
/// payloads go past it.
const CHUNK_HEADER_BYTES_MAX: u32 = 256;

/// What speaks to the tasks of one connection.
#[derive(Debug)]
pub struct PeerHandle {
    frames: mpsc::UnboundedSender<Arc<[u8]>>,
    /// Bytes in `frames`: this side adds, the writing task takes away.
    queued_bytes: Arc<AtomicUsize>,
    pub(super) chunks: mpsc::Sender<OutgoingChunk>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl PeerHandle {
    /// Queues an encoded message. Returns false if the peer is gone or too far behind.
    pub fn say(&self, frame: &Arc<[u8]>) -> bool {
        let before = self.queued_bytes.fetch_add(frame.len(), Ordering::Relaxed);
        before <= MESSAGE_BYTES_QUEUED_MAX && self.frames.send(frame.clone()).is_ok()
    }
}

/// A chunk on its way out.
#[derive(Debug)]
pub struct OutgoingChunk {
    /// What stands before the payload.
    pub header: ChunkHeader,
    /// The encoded chunk, which may be on its way to others too.
    pub payload: Arc<Vec<u8>>,
}

/// Starts the tasks of a connection whose lanes are open, and returns the handle that speaks to them.
/// The tasks end when the handle is dropped or the connection fails, and then report it gone.
pub fn start(peer: PeerId, messages: Stream, chunks: Stream, reports: &Reports) -> PeerHandle {
    let (messages_in, messages_out) = messages.split();
    let (chunks_in, chunks_out) = chunks.split();
    let (frame_sender, frame_queue) = mpsc::unbounded_channel();
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let written = queued_bytes.clone();
    let (chunk_sender, chunk_queue) = mpsc::channel(CHUNKS_QUEUED_MAX);
    let Reports { happenings: report, chunks: chunk_report } = reports.clone();
    let task = tokio::spawn(async move {
        let result = tokio::select! {
            result = read_messages(peer, messages_in, &report) => result,
            result = write_messages(messages_out, frame_queue, &written) => result,
            result = read_chunks(peer, chunks_in, &report, &chunk_report) => result,
            result = write_chunks(peer, chunks_out, chunk_queue, &report) => result,
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "connection failed");
        }
        // The node may be gone already; then nobody needs to know.
        let _ = report.send(Happening::Closed(peer)).await;
    });
    PeerHandle { frames: frame_sender, queued_bytes, chunks: chunk_sender, task }
}

async fn read_messages(peer: PeerId, stream: ReadHalf<Stream>, report: &mpsc::Sender<Happening>) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(MESSAGE_BUFFER_BYTES, stream);
    while let Some(frame) = frames::read(&mut stream, FRAME_BYTES_MAX).await? {
        let happening = match Message::decode(&frame) {
            Ok(Some(message)) => Happening::Message(peer, message),
            Ok(None) => continue,
            Err(error) => Happening::BadFrame(peer, error.to_string()),
        };
        report.send(happening).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    Ok(())
}

async fn write_messages(
    stream: WriteHalf<Stream>,
    mut queue: mpsc::UnboundedReceiver<Arc<[u8]>>,
    queued_bytes: &AtomicUsize,
) -> io::Result<()> {
    let mut stream = BufWriter::with_capacity(MESSAGE_BUFFER_BYTES, stream);
    while let Some(frame) = queue.recv().await {
        frames::write(&mut stream, &frame).await?;
        queued_bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        if queue.is_empty() {
            stream.flush().await?;
        }
    }
    stream.close().await
}

async fn read_chunks(
    peer: PeerId,
    stream: ReadHalf<Stream>,
    report: &mpsc::Sender<Happening>,
    chunk_report: &mpsc::Sender<Happening>,
) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(CHUNK_HEADER_BYTES_MAX as usize, stream);
    while let Some(frame) = frames::read(&mut stream, CHUNK_HEADER_BYTES_MAX).await? {
        let header = match ChunkHeader::decode(&frame) {
            Ok(header) => header,
            Err(error) => {
                // Without a header there is no telling where the next frame starts.
                let _ = report.send(Happening::BadFrame(peer, error.to_string())).await;
                return Err(io::ErrorKind::InvalidData.into());
            }
        };
        let mut payload = vec![0; header.wire_bytes as usize];
        stream.read_exact(&mut payload).await?;
        chunk_report.send(Happening::Chunk(peer, header, payload)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    Ok(())
}

async fn write_chunks(
    peer: PeerId,
    stream: WriteHalf<Stream>,
    mut queue: mpsc::Receiver<OutgoingChunk>,
    report: &mpsc::Sender<Happening>,
) -> io::Result<()> {
    let mut stream = BufWriter::with_capacity(CHUNK_HEADER_BYTES_MAX as usize, stream);
    while let Some(chunk) = queue.recv().await {
        frames::write(&mut stream, &chunk.header.encode()).await?;
        stream.write_all(&chunk.payload).await?;
        if queue.is_empty() {
            stream.flush().await?;
        }
        report.send(Happening::ChunkSent(peer, chunk.header)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    stream.close().await
}
