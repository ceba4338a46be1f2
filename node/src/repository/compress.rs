//! Compresses chunks on all cores. Chunks are dealt to the workers in turn and collected in turn, so
//! they come out in the order in which they went in, whatever the number of workers.

use protocol::content::encoding::{Encoder, Encoding};
use protocol::id::ChunkRef;
use std::borrow::Cow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// Chunks that each worker may have before it, which evens out that some take longer than others.
/// Each is there in one form, so that is at most 4 MiB a worker.
const CHUNKS_PER_WORKER: usize = 16;

/// A chunk in the form in which it will be kept.
pub struct Compressed {
    /// The chunk.
    pub chunk: ChunkRef,
    /// Its form.
    pub encoding: Encoding,
    /// Its bytes in that form.
    pub wire: Vec<u8>,
}

/// A line of workers. Dropping it ends them.
pub struct Compressor {
    workers: Vec<Worker>,
    pushed: usize,
    popped: usize,
}

struct Worker {
    plain: SyncSender<(ChunkRef, Vec<u8>)>,
    compressed: Receiver<Compressed>,
}

impl Compressor {
    /// Starts `workers` threads that compress at a zstd level.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, workers: usize, level: i32) -> Self {
        keep_freed_memory();
        let worker = |_| {
            let (plain, input) = sync_channel::<(ChunkRef, Vec<u8>)>(CHUNKS_PER_WORKER);
            let (output, compressed) = sync_channel(CHUNKS_PER_WORKER);
            scope.spawn(move || {
                let mut encoder = Encoder::new(level);
                for (chunk, plain) in input {
                    let (encoding, wire) = match encoder.encode(&plain) {
                        (encoding, Cow::Owned(wire)) => (encoding, Some(wire)),
                        (encoding, Cow::Borrowed(_)) => (encoding, None),
                    };
                    let wire = wire.unwrap_or(plain);
                    if output.send(Compressed { chunk, encoding, wire }).is_err() {
                        break; // Nobody collects any more: the publish has failed.
                    }
                }
            });
            Worker { plain, compressed }
        };
        Self { workers: (0..workers.max(1)).map(worker).collect(), pushed: 0, popped: 0 }
    }

    /// Hands a chunk in. If the line is full, returns the oldest one, for whose end it waits.
    pub fn push(&mut self, chunk: ChunkRef, plain: Vec<u8>) -> Option<Compressed> {
        let full = self.pushed - self.popped >= self.workers.len() * CHUNKS_PER_WORKER;
        let oldest = if full { self.pop() } else { None };
        let worker = &self.workers[self.pushed % self.workers.len()];
        worker.plain.send((chunk, plain)).expect("a worker ends only after its sender or by a panic");
        self.pushed += 1;
        oldest
    }

    /// The oldest chunk in the line, when it is ready; nothing if the line is empty.
    pub fn pop(&mut self) -> Option<Compressed> {
        if self.popped == self.pushed {
            return None;
        }
        let worker = &self.workers[self.popped % self.workers.len()];
        self.popped += 1;
        Some(worker.compressed.recv().expect("a worker answers every chunk unless it panics"))
    }
}

/// The allocator gives memory back to the system when more than twice its largest block so far is free at the end of
/// a heap, and takes it again page by page for the next chunk: a tenth of a publish. One large block, never touched,
/// teaches it to keep what the pipeline, which is bounded, uses over and over.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(8 << 20)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::content::encoding::decode;
    use protocol::id::ChunkId;

    #[test]
    fn chunks_come_out_as_they_went_in() {
        let plains: Vec<Vec<u8>> = (0..200u8).map(|at| vec![at; 1 + 1000 * usize::from(at % 7)]).collect();
        for workers in [0, 1, 3] {
            let mut out = Vec::new();
            std::thread::scope(|scope| {
                let mut compressor = Compressor::start(scope, workers, 3);
                for plain in &plains {
                    let chunk = ChunkRef { id: ChunkId::of(plain), bytes: plain.len() as u32 };
                    out.extend(compressor.push(chunk, plain.clone()));
                }
                out.extend(std::iter::from_fn(|| compressor.pop()));
            });
            let decoded = |done: &Compressed| decode(done.encoding, &done.wire, done.chunk.bytes).unwrap().into_owned();
            assert_eq!(out.iter().map(decoded).collect::<Vec<_>>(), plains);
        }
    }

    #[test]
    fn a_publish_that_stops_half_way_ends_its_workers() {
        std::thread::scope(|scope| {
            let mut compressor = Compressor::start(scope, 2, 3);
            for at in 0..20 {
                let plain = vec![at; 5000];
                compressor.push(ChunkRef { id: ChunkId::of(&plain), bytes: 5000 }, plain);
            }
        });
    }
}
