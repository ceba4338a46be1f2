//! The home's trees: which one is current, which one was before, and the switch between them.

use super::apply::{Applied, ApplyError, lay_out, set_attributes};
use super::attributes::{Authority, Skipped};
use super::directory::{Access, Directory, Parents};
use super::need::Need;
use super::staging::{StageError, Staging};
use super::trash;
use super::tree::Tree;
use protocol::content::manifest::Kind;
use protocol::content::release::Release;
use protocol::id::ManifestId;
use rustix::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const RELEASES: &[u8] = b"releases";
const STAGING: &[u8] = b"staging";
const CURRENT: &[u8] = b"current";
const PREVIOUS: &[u8] = b"previous";
/// The link that becomes `current`.
const NEXT: &[u8] = b".next";
/// The link that becomes `previous`: what was current when a switch began.
const BEFORE: &[u8] = b".before";

/// The version is cut off here in a tree's name, which must fit a file name; the id tells trees apart.
const VERSION_BYTES_SHOWN: usize = 64;

/// The trees of one home. One process owns them at a time; the caller sees to that.
#[derive(Debug)]
pub struct Deployment {
    path: PathBuf,
    home: Directory,
    releases: Directory,
    staging: Directory,
    current: Option<String>,
    previous: Option<String>,
}

/// Why the trees of a home could not be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The disk refused.
    #[error("cannot use the trees in {home:?}: check that this user may write there and that the disk works")]
    Io {
        /// The home.
        home: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is no link stands where one of ours must be.
    #[error("{path:?} is in the way: it must be a link that homeroom made; move it elsewhere")]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
    },
}

/// The name of a release's tree, in `releases/` and `staging/`.
pub fn tree_name(release: &Release) -> String {
    tree_name_of(&release.manifest().version, release.id())
}

/// The same, for a release of which only this much is known.
pub fn tree_name_of(version: &str, manifest: ManifestId) -> String {
    let version: String = version.chars().take(VERSION_BYTES_SHOWN).collect();
    format!("{version}-{}", &manifest.to_string()[..12])
}

impl Deployment {
    /// Opens the trees of the home at `path`, which is made where it is missing, and ends whatever an
    /// earlier process left half done: afterwards exactly the old or the new release is current.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let of_home = |source| HomeError::Io { home: path.to_owned(), source };
        let (home, releases, staging) = open_directories(path).map_err(of_home)?;
        for link in [CURRENT, PREVIOUS, NEXT, BEFORE] {
            let stat = home.stat(link).map_err(of_home)?;
            if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Symlink) {
                return Err(HomeError::InTheWay { path: path.join(String::from_utf8_lossy(link).as_ref()) });
            }
        }
        let mut this = Self { path: path.to_owned(), home, releases, staging, current: None, previous: None };
        this.repair().map_err(of_home)?;
        Ok(this)
    }

    /// The name of the current tree.
    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// The version that the current tree's name says.
    pub fn current_version(&self) -> Option<&str> {
        Some(self.current()?.rsplit_once('-')?.0)
    }

    /// The name of the tree that was current before.
    pub fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    /// The names of the trees being filled.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn staged(&self) -> Result<Vec<String>, HomeError> {
        let names = self.staging.names().map_err(|source| self.error(source))?;
        let names = names.into_iter().filter(|name| !trash::is_trash(name));
        Ok(names.filter_map(|name| String::from_utf8(name).ok()).collect())
    }

    /// The tree of `release`, to read: current, previous or half filled; nothing if there is none.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn tree(&self, release: &Arc<Release>) -> Result<Option<Tree>, HomeError> {
        let name = tree_name(release);
        let applied = [self.current(), self.previous()].contains(&Some(name.as_str()));
        let parent = if applied { &self.releases } else { &self.staging };
        if parent.stat(name.as_bytes()).map_err(|source| self.error(source))?.is_none() {
            return Ok(None);
        }
        let root = parent.subdirectory(name.as_bytes()).map_err(|source| self.error(source))?;
        Ok(Some(Tree::new(root, Arc::clone(release), Access::Read)))
    }

    /// What `release` still needs of the disk; what its staging holds already is not counted again.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn need(&self, release: &Release) -> Result<Need, HomeError> {
        let of_home = |source| self.error(source);
        let system = self.home.file_system().map_err(of_home)?;
        let (staged_bytes, staged_inodes) = self.held(release).map_err(of_home)?;
        let whole = Need::of(release.manifest(), system.f_frsize);
        Ok(Need {
            tree_bytes: whole.tree_bytes.saturating_sub(staged_bytes),
            free_bytes: system.f_bavail.saturating_mul(system.f_frsize),
            inodes: whole.inodes.saturating_sub(staged_inodes),
            // btrfs and others make inodes as they are wanted, and say 0.
            free_inodes: (system.f_files > 0).then_some(system.f_favail),
        })
    }

    /// The staging of `release`: a new one, or the one that is there, with all that it holds.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn stage(&mut self, release: Arc<Release>) -> Result<Staging, StageError> {
        Staging::create(&self.staging, tree_name(&release), release)
    }

    /// Removes the staging of this name; returns the bytes freed.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn discard_staged(&mut self, name: &str) -> Result<u64, HomeError> {
        trash::discard(&self.staging, name.as_bytes())
            .and_then(|trash| trash::remove(&self.staging, &trash))
            .map_err(|source| self.error(source))
    }

    /// Removes the tree of the release before, to make room; returns the bytes freed.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn drop_previous(&mut self) -> Result<u64, HomeError> {
        let trash = self.discard_previous().map_err(|source| self.error(source))?;
        trash.map_or(Ok(0), |trash| trash::remove(&self.releases, &trash)).map_err(|source| self.error(source))
    }

    /// Applies a filled staging: all or nothing.
    ///
    /// # Errors
    /// [`ApplyError`]; the staging keeps its bytes, to be staged again.
    pub fn apply(&mut self, staging: Staging, authority: Authority) -> Result<Applied, ApplyError> {
        let name = staging.name().to_owned();
        if self.current.as_ref() == Some(&name) {
            return Err(ApplyError::AlreadyCurrent { name });
        }
        let mut tree = staging.into_tree();
        let mut skipped = lay_out(&mut tree, authority)?;
        let switched = self.move_in(name, &tree, authority, &mut skipped);
        if switched.is_err() {
            // Back to where a start would lead. Where even that fails, the next start will do it.
            let _ = self.repair();
        }
        switched?;
        self.empty_trash();
        Ok(Applied { tree: tree.read_only(), skipped })
    }

    /// Moves a tree that is whole from `staging/` to `releases/`, and switches to it.
    fn move_in(
        &mut self,
        name: String,
        tree: &Tree,
        authority: Authority,
        skipped: &mut Skipped,
    ) -> Result<(), ApplyError> {
        let home = self.path.clone();
        let of_home = |source| ApplyError::Home { home: home.clone(), source };
        if self.previous.as_ref() == Some(&name) {
            self.discard_previous().map_err(of_home)?;
        }
        self.staging.rename(name.as_bytes(), &self.releases, name.as_bytes()).map_err(of_home)?;
        // Now, because a directory that its owner may not write cannot be moved elsewhere.
        if let Some(root) = tree.release().manifest().entries.first() {
            set_attributes(root, &mut Parents::new(tree.root()), authority, skipped)?;
        }
        self.switch(name).map_err(of_home)
    }

    /// Makes the whole, unnamed tree `name` in `releases/` the current one.
    fn switch(&mut self, name: String) -> io::Result<()> {
        self.releases.sync_file_system()?;
        self.staging.sync()?;
        self.releases.sync()?;
        if let Some(current) = &self.current {
            self.point(BEFORE, current)?;
        }
        self.point(NEXT, &name)?;
        self.home.sync()?;
        self.home.rename(NEXT, &self.home, CURRENT)?;
        self.current = Some(name);
        self.home.sync()?;
        self.finish_switch()
    }

    /// The part of a switch after `current` has changed: `previous` follows, and the tree that was
    /// previous goes. Where no switch is half done, this changes nothing.
    fn finish_switch(&mut self) -> io::Result<()> {
        let before = self.target(BEFORE)?;
        if before.is_none() || before == self.current {
            return if self.home.stat(BEFORE)?.is_some() { self.home.remove(BEFORE) } else { Ok(()) };
        }
        // To trash before `previous` changes: no tree that was applied may ever stand here unnamed, or
        // the next start would take it for one that was about to be applied.
        if let Some(oldest) = self.previous.take().filter(|oldest| Some(oldest) != before.as_ref()) {
            trash::discard(&self.releases, oldest.as_bytes())?;
        }
        self.home.rename(BEFORE, &self.home, PREVIOUS)?;
        self.previous = before;
        self.home.sync()
    }

    fn repair(&mut self) -> io::Result<()> {
        self.current = self.target(CURRENT)?;
        self.previous = self.target(PREVIOUS)?.filter(|previous| Some(previous) != self.current.as_ref());
        self.finish_switch()?;
        if self.home.stat(NEXT)?.is_some() {
            self.home.remove(NEXT)?;
        }
        if self.previous.is_none() && self.home.stat(PREVIOUS)?.is_some() {
            self.home.remove(PREVIOUS)?;
        }
        for name in self.releases.names()? {
            let named = [&self.current, &self.previous].into_iter().flatten().any(|known| known.as_bytes() == name);
            if !named && !trash::is_trash(&name) {
                self.unapply(&name)?;
            }
        }
        self.empty_trash();
        Ok(())
    }

    /// Removes the trees that are out of use. One that cannot be removed costs room, nothing else, so
    /// that is no reason to stop; the next start tries again.
    fn empty_trash(&self) {
        for directory in [&self.releases, &self.staging] {
            for name in directory.names().unwrap_or_default().iter().filter(|name| trash::is_trash(name)) {
                if let Err(error) = trash::remove(directory, name) {
                    let name = String::from_utf8_lossy(name);
                    tracing::warn!(home = ?self.path, %name, %error, "cannot remove a tree that is out of use");
                }
            }
        }
    }

    /// Takes a tree that was about to become current back to staging: its bytes were fetched once.
    fn unapply(&self, name: &[u8]) -> io::Result<()> {
        let stat = self.releases.stat(name)?;
        if stat.is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory) {
            return Ok(());
        }
        if self.staging.stat(name)?.is_some() {
            return trash::discard(&self.releases, name).map(drop);
        }
        self.releases.set_mode(name, 0o700)?;
        self.releases.rename(name, &self.staging, name)
    }

    /// Takes the previous tree out of use; returns the name to remove it by.
    fn discard_previous(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(previous) = self.previous.take() else { return Ok(None) };
        let trash = trash::discard(&self.releases, previous.as_bytes())?;
        self.home.remove(PREVIOUS)?;
        // Before another tree of this name can come: it must not be taken for the previous one.
        self.home.sync()?;
        Ok(Some(trash))
    }

    /// The tree that a link of ours names, if it is there.
    fn target(&self, link: &[u8]) -> io::Result<Option<String>> {
        let text = self.home.link_text(link)?.and_then(|text| String::from_utf8(text).ok());
        let name = text.as_ref().and_then(|text| text.strip_prefix("releases/"));
        let Some(name) = name.filter(|name| !name.is_empty() && !name.contains('/') && !name.starts_with('.')) else {
            return Ok(None);
        };
        let stat = self.releases.stat(name.as_bytes())?;
        let whole = stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        Ok((whole && !trash::is_trash(name.as_bytes())).then(|| name.to_owned()))
    }

    fn point(&self, link: &[u8], name: &str) -> io::Result<()> {
        if self.home.stat(link)?.is_some() {
            self.home.remove(link)?;
        }
        self.home.make_link(format!("releases/{name}").as_bytes(), link)
    }

    /// The bytes of disk and the inodes that the staging of `release` takes already.
    fn held(&self, release: &Release) -> io::Result<(u64, u64)> {
        let (mut bytes, mut inodes) = (0u64, 0u64);
        let name = tree_name(release);
        if self.staging.stat(name.as_bytes())?.is_none() {
            return Ok((0, 0));
        }
        let root = self.staging.subdirectory(name.as_bytes())?;
        let mut parents = Parents::new(&root);
        for entry in release.manifest().entries.iter().filter(|entry| !matches!(entry.kind, Kind::HardLink { .. })) {
            // A tree that an apply left half done may be closed to us here and there: then we ask for
            // a little more than it needs.
            if let Ok(Some(stat)) = parents.of(&entry.path).and_then(|(parent, name)| parent.stat(name)) {
                bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
                inodes += 1;
            }
        }
        Ok((bytes, inodes))
    }

    fn error(&self, source: io::Error) -> HomeError {
        HomeError::Io { home: self.path.clone(), source }
    }
}

fn open_directories(path: &Path) -> io::Result<(Directory, Directory, Directory)> {
    std::fs::create_dir_all(path)?;
    let home = Directory::open(path)?;
    home.make_directory(RELEASES, 0o755)?;
    home.make_directory(STAGING, 0o700)?;
    home.sync()?;
    let (releases, staging) = (home.subdirectory(RELEASES)?, home.subdirectory(STAGING)?);
    Ok((home, releases, staging))
}
