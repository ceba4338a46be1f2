//! The thread that reads: chunks for peers, each verified before it leaves, and documents.

use super::Done;
use super::documents::Documents;
use super::lately::Lately;
use crate::deploy::Tree;
use crate::net::OutgoingChunk;
use crate::repository::Repository;
use protocol::bitmap::Bitmap;
use protocol::content::chunk::VerifiedChunk;
use protocol::content::encoding::{Encoder, Encoding, decode, decode_document, encode_document};
use protocol::content::manifest::{ManifestError, VerifiedManifest};
use protocol::content::release::{Release, ReleaseError};
use protocol::id::{DocumentId, ManifestId, PeerId};
use protocol::input::{DocumentFault, Input, UploadOutcome, VerifiedDocument};
use protocol::limits::DOCUMENT_SLICE_BYTES_MAX;
use protocol::message::{ChunkHeader, Message, Slice, WantDocument};
use protocol::output::Document;
use std::collections::{BTreeMap, VecDeque};
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::mpsc as threads;
use tokio::sync::mpsc;

/// zstd level at which a device compresses chunks for its peers: the fastest, as they wait for it.
const CHUNK_LEVEL: i32 = 1;
/// Encoded documents kept for the next asker: a class asks for the same two, against the releases that it has.
const ENCODED_DOCUMENTS_MAX: usize = 8;
/// Documents that a seed keeps in memory, against which newer ones are thin: of the last few releases.
const SEED_DOCUMENTS_MAX: usize = 16;
/// Documents that are never dropped because the node asked for them last: of the newest release it knows,
/// which nothing on disk names yet, and the one before.
const ASKED_DOCUMENTS_MAX: usize = 4;

/// Something for the lender to do.
#[derive(Debug)]
pub enum LenderJob {
    /// Read a chunk for a peer.
    Chunk {
        /// For whom.
        to: PeerId,
        /// Of which release.
        release: ManifestId,
        /// Its index in the chunk list.
        index: u32,
    },
    /// A peer asks for a slice of a document.
    Slice(PeerId, WantDocument),
    /// Read and check a document that may be here.
    Read(Document),
    /// Decode, check and keep a document that arrived.
    Verify {
        /// What it should be.
        document: Document,
        /// What it is compressed against.
        base: Option<DocumentId>,
        /// The encoded bytes.
        bytes: Arc<[u8]>,
    },
    /// A seed is asked to keep a release: it has it already, or what its publisher put there of it.
    Prepare(Arc<Release>),
    /// From now on chunks of this release are read from this tree.
    Serve(Tree),
    /// These chunks came uncompressed, so whoever sent them found that they do not shrink.
    Incompressible {
        /// The release they belong to.
        release: ManifestId,
        /// Their indexes in its chunk list.
        indexes: Vec<u32>,
    },
    /// Nothing of this release is asked for any more.
    Forget(ManifestId),
    /// Drop the documents of releases that have none of these trees.
    Tidy(Vec<String>),
}

/// The lender of one node.
pub struct Lender {
    shelf: Shelf,
    encoder: Encoder,
    lately: Lately,
    encoded: VecDeque<Encoded>,
    /// What the node asked for last.
    asked: VecDeque<DocumentId>,
    done: mpsc::UnboundedSender<Done>,
}

/// A document ready to be sent, slice by slice.
struct Encoded {
    id: DocumentId,
    base: Option<DocumentId>,
    bytes: Arc<[u8]>,
}

/// A release that a device lends.
struct Lent {
    tree: Tree,
    /// Chunks that are not worth compressing.
    incompressible: Bitmap,
}

/// Where bytes are read from.
enum Shelf {
    Device {
        documents: Documents,
        lent: BTreeMap<ManifestId, Lent>,
    },
    Seed {
        repository: Repository,
        documents: VecDeque<(DocumentId, Arc<Vec<u8>>)>,
        releases: BTreeMap<ManifestId, Arc<Release>>,
    },
}

impl Lender {
    pub(super) fn of_device(documents: Documents, done: mpsc::UnboundedSender<Done>) -> Self {
        Self::new(Shelf::Device { documents, lent: BTreeMap::new() }, done)
    }

    pub(super) fn of_seed(repository: Repository, done: mpsc::UnboundedSender<Done>) -> Self {
        Self::new(Shelf::Seed { repository, documents: VecDeque::new(), releases: BTreeMap::new() }, done)
    }

    fn new(shelf: Shelf, done: mpsc::UnboundedSender<Done>) -> Self {
        Self {
            shelf,
            encoder: Encoder::new(CHUNK_LEVEL),
            lately: Lately::default(),
            encoded: VecDeque::new(),
            asked: VecDeque::new(),
            done,
        }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self, jobs: &threads::Receiver<LenderJob>) {
        while let Ok(job) = jobs.recv() {
            let done = match job {
                LenderJob::Chunk { to, release, index } => Some(self.chunk(to, release, index)),
                LenderJob::Slice(to, want) => Some(Done::Say(to, self.slice(&want))),
                LenderJob::Read(document) => {
                    self.asked.push_front(document.id());
                    self.asked.truncate(ASKED_DOCUMENTS_MAX);
                    let found = self.shelf.read(&document).and_then(|bytes| check(&document, &bytes).ok());
                    Some(Done::Input(Input::DocumentRead(document, found)))
                }
                LenderJob::Verify { document, base, bytes } => {
                    let verdict = self.verify(&document, base, &bytes);
                    Some(Done::Input(Input::DocumentVerified(document, verdict)))
                }
                LenderJob::Prepare(release) => self.shelf.prepare(release).map(Done::Input),
                LenderJob::Serve(tree) => {
                    self.shelf.serve(tree);
                    None
                }
                LenderJob::Incompressible { release, indexes } => {
                    self.shelf.incompressible(release, &indexes);
                    None
                }
                LenderJob::Forget(release) => {
                    self.shelf.forget(release);
                    self.lately.forget(release);
                    None
                }
                LenderJob::Tidy(trees) => {
                    self.tidy(&trees);
                    None
                }
            };
            if done.is_some_and(|done| self.done.send(done).is_err()) {
                return;
            }
        }
    }

    fn chunk(&mut self, to: PeerId, release: ManifestId, index: u32) -> Done {
        let Self { shelf, encoder, lately, .. } = self;
        match lately.lend(release, index, || shelf.chunk(release, index, encoder)) {
            Some((encoding, payload)) => {
                let wire_bytes = u32::try_from(payload.len()).expect("no encoding is longer than a chunk");
                Done::Send(to, OutgoingChunk { header: ChunkHeader { release, index, encoding, wire_bytes }, payload })
            }
            None => Done::Input(Input::Uploaded { to, release, index, outcome: UploadOutcome::Spoilt }),
        }
    }

    /// The answer to a peer that asks for a slice of a document.
    fn slice(&mut self, want: &WantDocument) -> Message {
        let Some((base, encoded)) = self.encoded_document(want.id, want.base) else {
            return Message::NoDocument(want.id);
        };
        let length = encoded.len() as u64;
        let start = want.offset.min(length);
        let end = length.min(start + u64::from(DOCUMENT_SLICE_BYTES_MAX));
        let (start, end) = (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0));
        let bytes = encoded[start..end].to_vec().into();
        Message::Slice(Slice { id: want.id, base, encoded_bytes: length, offset: want.offset, bytes })
    }

    /// A document, thin if this node has the base that the asker named.
    fn encoded_document(
        &mut self,
        id: DocumentId,
        base: Option<DocumentId>,
    ) -> Option<(Option<DocumentId>, Arc<[u8]>)> {
        // Bases that are made up, or of no help, must not have it encoded again and again.
        let is_alike = |base: &DocumentId| *base != id && discriminant(base) == discriminant(&id);
        let base = base.filter(|base| is_alike(base) && self.shelf.has(*base));
        if let Some(at) = self.encoded.iter().position(|known| (known.id, known.base) == (id, base)) {
            let known = self.encoded.remove(at)?;
            let bytes = known.bytes.clone();
            self.encoded.push_front(known);
            return Some((base, bytes));
        }
        let plain = self.shelf.document(id)?;
        // A base that is spoilt is as good as none.
        let base_bytes = base.and_then(|base| self.shelf.document(base));
        let bytes: Arc<[u8]> = encode_document(&plain, base_bytes.as_deref().map(Vec::as_slice))
            .inspect_err(|error| tracing::warn!(%error, "cannot compress a document"))
            .ok()?
            .into();
        let base = base.filter(|_| base_bytes.is_some());
        self.encoded.push_front(Encoded { id, base, bytes: bytes.clone() });
        self.encoded.truncate(ENCODED_DOCUMENTS_MAX);
        Some((base, bytes))
    }

    fn tidy(&self, trees: &[String]) {
        if let Shelf::Device { documents, .. } = &self.shelf
            && let Err(error) = documents.drop_all_but(trees, &self.asked)
        {
            tracing::warn!(%error, "cannot drop old documents");
        }
    }

    fn verify(
        &mut self,
        document: &Document,
        base: Option<DocumentId>,
        encoded: &[u8],
    ) -> Result<VerifiedDocument, DocumentFault> {
        let base = match base {
            Some(base) => Some(self.shelf.document(base).ok_or(DocumentFault::NoBase)?),
            None => None,
        };
        let plain = decode_document(encoded, base.as_deref().map(Vec::as_slice), document.bytes())
            .map_err(|_| DocumentFault::WrongBytes)?;
        // As large as the document, and what is made of that next is the most that a device ever holds.
        drop(base);
        let found = check(document, &plain)?;
        if let Shelf::Device { documents, .. } = &self.shelf
            && let Err(error) = documents.write(document.id(), &plain)
        {
            // It is here in memory; on the next start it is fetched again.
            tracing::warn!(%error, "cannot keep a document");
        }
        Ok(found)
    }
}

impl Shelf {
    /// A chunk from the disk, checked, in the form in which it goes out.
    fn chunk(&mut self, release: ManifestId, index: u32, encoder: &mut Encoder) -> Option<(Encoding, Vec<u8>)> {
        match self {
            Shelf::Device { lent, .. } => {
                let lent = lent.get_mut(&release)?;
                let chunk = lent.tree.read(index).inspect_err(|error| tracing::warn!("{error}")).ok()?;
                if lent.incompressible.contains(index) {
                    return Some((Encoding::Raw, chunk.into_plain()));
                }
                let (encoding, payload) = encoder.encode(chunk.into_plain());
                Some((encoding, payload.into_owned()))
            }
            // As it lies in the pack, but checked: devices would ban a seed for what its disk did.
            Shelf::Seed { repository, releases, .. } => {
                let wanted = releases.get(&release)?.chunks()[index as usize];
                let stored = repository.read(&wanted.id).inspect_err(|error| tracing::warn!("{error}")).ok()?;
                let plain = decode(stored.encoding, &stored.wire, wanted.bytes).ok();
                if plain.is_none_or(|plain| VerifiedChunk::verify(wanted, plain).is_err()) {
                    tracing::warn!("chunk {} is damaged in the repository; publish its tree again", wanted.id);
                    return None;
                }
                Some((stored.encoding, stored.wire))
            }
        }
    }

    /// A document that may be here already, unchecked.
    fn read(&mut self, document: &Document) -> Option<Arc<Vec<u8>>> {
        match self {
            Shelf::Device { documents, .. } => documents.read(document.id()).map(Arc::new),
            Shelf::Seed { repository, documents, .. } => {
                let bytes = match document {
                    Document::Manifest(listed) => repository.manifest(&listed.path, &listed.manifest),
                    Document::ChunkList(manifest) => repository.chunk_list(&manifest.chunk_list.id),
                };
                let bytes = Arc::new(bytes.inspect_err(|error| tracing::warn!("{error}")).ok()?);
                documents.retain(|(id, _)| *id != document.id());
                documents.push_front((document.id(), Arc::clone(&bytes)));
                documents.truncate(SEED_DOCUMENTS_MAX);
                Some(bytes)
            }
        }
    }

    /// Whether there is a document of this name.
    fn has(&self, id: DocumentId) -> bool {
        match self {
            Shelf::Device { documents, .. } => documents.has(id),
            Shelf::Seed { documents, .. } => documents.iter().any(|(known, _)| *known == id),
        }
    }

    /// A document by its name alone, unchecked: whoever asked for it checks it.
    fn document(&self, id: DocumentId) -> Option<Arc<Vec<u8>>> {
        match self {
            Shelf::Device { documents, .. } => documents.read(id).map(Arc::new),
            Shelf::Seed { documents, .. } => {
                documents.iter().find(|(known, _)| *known == id).map(|(_, bytes)| bytes.clone())
            }
        }
    }

    /// A device lends a release from this tree; what is known of its chunks stays known.
    fn serve(&mut self, tree: Tree) {
        let Shelf::Device { lent, .. } = self else { return };
        let release = tree.release();
        let known = lent.remove(&release.id()).map(|lent| lent.incompressible);
        let incompressible = known.unwrap_or_else(|| Bitmap::new(release.chunk_count()));
        lent.insert(release.id(), Lent { incompressible, tree });
    }

    fn incompressible(&mut self, release: ManifestId, indexes: &[u32]) {
        let Shelf::Device { lent, .. } = self else { return };
        if let Some(lent) = lent.get_mut(&release) {
            indexes.iter().for_each(|index| {
                lent.incompressible.insert(*index);
            });
        }
    }

    /// What a seed has of a release.
    fn prepare(&mut self, release: Arc<Release>) -> Option<Input> {
        let Shelf::Seed { repository, releases, .. } = self else { return None };
        let id = release.id();
        if let Err(error) = repository.refresh() {
            return Some(Input::PrepareFailed { release: id, why: format!("cannot read the repository: {error}") });
        }
        let mut held = Bitmap::new(release.chunk_count());
        for (index, chunk) in (0..).zip(release.chunks().iter()) {
            if repository.has(&chunk.id) {
                held.insert(index);
            }
        }
        releases.insert(id, release);
        Some(Input::Prepared { release: id, held, applied: true })
    }

    fn forget(&mut self, release: ManifestId) {
        match self {
            Shelf::Device { lent, .. } => {
                lent.remove(&release);
            }
            // Its documents stay: devices that have it take the next release's documents thin against them.
            Shelf::Seed { releases, .. } => {
                releases.remove(&release);
            }
        }
    }
}

/// The document in plain bytes, if it is the one that is wanted.
fn check(document: &Document, plain: &[u8]) -> Result<VerifiedDocument, DocumentFault> {
    match document {
        Document::Manifest(listed) => match VerifiedManifest::verify(plain, listed.manifest, listed.manifest_bytes) {
            Ok(manifest) => Ok(VerifiedDocument::Manifest(Arc::new(manifest))),
            Err(ManifestError::WrongBytes { .. }) => Err(DocumentFault::WrongBytes),
            Err(error) => Err(DocumentFault::Unlawful(format!("{:#}", anyhow::Error::new(error)))),
        },
        Document::ChunkList(manifest) => match Release::new(manifest.clone(), plain) {
            Ok(release) => Ok(VerifiedDocument::Release(Arc::new(release))),
            Err(ReleaseError::WrongBytes { .. }) => Err(DocumentFault::WrongBytes),
            Err(error) => Err(DocumentFault::Unlawful(format!("{:#}", anyhow::Error::new(error)))),
        },
    }
}
