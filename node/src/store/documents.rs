//! The manifests and chunk lists that a device holds, each in a file under its name: of the releases
//! that are current, previous or being fetched, and no others.

use crate::deploy::tree_name_of;
use crate::repository::durable;
use protocol::cbor;
use protocol::content::manifest::{ChunkListRef, VerifiedManifest};
use protocol::content::release::Release;
use protocol::id::{ChunkListId, DocumentId, ManifestId};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a manifest says of itself, but for its entries.
#[derive(serde::Deserialize)]
struct Summary {
    version: String,
    chunk_list: ChunkListRef,
}

/// A folder of documents.
#[derive(Clone, Debug)]
pub struct Documents {
    folder: PathBuf,
}

impl Documents {
    /// The folder of a home, which is made where it is missing.
    pub fn open(home: &Path) -> io::Result<Self> {
        let folder = home.join("documents");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// The bytes of a document; nothing if it is not here, or its file is spoilt.
    pub fn read(&self, id: DocumentId) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.path(id)).ok()?;
        let found = match id {
            DocumentId::Manifest(_) => DocumentId::Manifest(ManifestId::of(&bytes)),
            DocumentId::ChunkList(_) => DocumentId::ChunkList(ChunkListId::of(&bytes)),
        };
        (found == id).then_some(bytes)
    }

    /// Whether there is a file of this document.
    pub fn has(&self, id: DocumentId) -> bool {
        self.path(id).exists()
    }

    /// Keeps a document, durably.
    pub fn write(&self, id: DocumentId, bytes: &[u8]) -> io::Result<()> {
        durable::write(&self.path(id), bytes)
    }

    /// The release of this manifest, checked again; nothing if its documents are not here whole.
    pub fn release(&self, id: ManifestId) -> Option<Arc<Release>> {
        let bytes = self.read(DocumentId::Manifest(id))?;
        let manifest = Arc::new(VerifiedManifest::verify(&bytes, id, bytes.len() as u64).ok()?);
        let chunk_list = self.read(DocumentId::ChunkList(manifest.chunk_list.id))?;
        Release::new(manifest, &chunk_list).ok().map(Arc::new)
    }

    /// The releases whose manifests are here.
    pub fn releases(&self) -> io::Result<Vec<ManifestId>> {
        let mut releases = Vec::new();
        for file in std::fs::read_dir(&self.folder)? {
            let name = file?.file_name();
            let id: Option<ManifestId> = name.to_str().and_then(|name| name.strip_suffix(".manifest")?.parse().ok());
            releases.extend(id);
        }
        Ok(releases)
    }

    /// Drops every document but those `asked` for and those of releases that have one of these trees.
    pub fn drop_all_but(&self, trees: &[String], asked: &VecDeque<DocumentId>) -> io::Result<()> {
        let mut wanted: BTreeSet<PathBuf> = asked.iter().map(|id| self.path(*id)).collect();
        for id in self.releases()? {
            // The few words that matter here; a whole manifest is as large in memory as everything else.
            let bytes = self.read(DocumentId::Manifest(id));
            let Some(Ok(summary)) = bytes.map(|bytes| cbor::decode::<Summary>(&bytes)) else { continue };
            if trees.contains(&tree_name_of(&summary.version, id)) {
                wanted.insert(self.path(DocumentId::Manifest(id)));
                wanted.insert(self.path(DocumentId::ChunkList(summary.chunk_list.id)));
            }
        }
        for file in std::fs::read_dir(&self.folder)? {
            let path = file?.path();
            if !wanted.contains(&path) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, id: DocumentId) -> PathBuf {
        self.folder.join(match id {
            DocumentId::Manifest(id) => format!("{id}.manifest"),
            DocumentId::ChunkList(id) => format!("{id}.chunks"),
        })
    }
}
