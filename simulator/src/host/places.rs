//! What a host holds of releases: of one or two, so a plain list.

use protocol::bitmap::Bitmap;
use protocol::content::release::Release;
use protocol::id::ManifestId;
use std::sync::Arc;

/// What a host holds of a release.
pub struct Place {
    /// The release.
    pub release: Arc<Release>,
    /// What survives a power cut.
    pub durable: Bitmap,
    /// Written, or being written, since the host was switched on, and not durable yet.
    pub landing: Vec<u32>,
    /// The node needs it no more; what lies there may still serve the release after it.
    pub forgotten: bool,
}

/// The places of a host.
#[derive(Default)]
pub struct Places(Vec<Place>);

impl Place {
    /// A chunk begins to be written. Returns false if it did so before.
    pub fn lands(&mut self, index: u32) -> bool {
        let new = !self.landing.contains(&index);
        if new {
            self.landing.push(index);
        }
        new
    }

    /// A chunk is durable.
    pub fn landed(&mut self, index: u32) {
        self.landing.retain(|landing| *landing != index);
        self.durable.insert(index);
    }
}

impl Places {
    /// That of a release.
    pub fn get(&self, release: ManifestId) -> Option<&Place> {
        self.0.iter().find(|place| place.release.id() == release)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, release: ManifestId) -> Option<&mut Place> {
        self.0.iter_mut().find(|place| place.release.id() == release)
    }

    /// A new place, instead of the one that the release had. Those that are forgotten go, but for that of `applied`.
    pub fn insert(&mut self, place: Place, applied: Option<ManifestId>) {
        let id = place.release.id();
        self.0.retain(|old| old.release.id() != id && (!old.forgotten || Some(old.release.id()) == applied));
        self.0.reserve_exact(1);
        self.0.push(place);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.0.iter()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        self.0.iter_mut()
    }
}
