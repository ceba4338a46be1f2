//! How a release comes to be listed.

use super::files::{FileError, ReadError, read, write_release};
use super::keys::{AskPassword, KeyDirectory, KeyError};
use super::signing::{Signers, Signing, TARGETS_LIFE_S, after, not_before, sign_release};
use protocol::content::name::ChannelName;
use protocol::limits;
use protocol::time::UnixTime;
use protocol::trust::complete_set::CompleteSet;
use protocol::trust::delegation::matches;
use protocol::trust::envelope::Signed;
use protocol::trust::metadata::{Authority, DelegatedRole, TargetFile, Targets};
use protocol::trust::{Head, Rejection, Role, Target, TrustedSet};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a release was not listed. The repository serves what it served before.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It was published before.
    #[error("the repository lists {path} already: this version is taken; publish under a higher one")]
    Exists {
        /// The target's path.
        path: String,
    },
    /// The path is not the channel's.
    #[error("{path:?} is not of the form {channel}/NAME")]
    ForeignPath {
        /// The channel.
        channel: String,
        /// The path.
        path: String,
    },
    /// There is no room for one more channel.
    #[error("the repository has {0} channels already, and devices accept no more")]
    TooManyChannels(usize),
    /// The repository cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key could not be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Devices would refuse what was signed.
    #[error("devices would refuse the new {role} metadata; are the keys in {} those of this repository?", keys.display())]
    Refused {
        /// The directory of keys.
        keys: PathBuf,
        /// The role whose file would be refused.
        role: Role,
        /// Why.
        #[source]
        source: Box<Rejection>,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Lists one more target in `channel`, at `path`, and puts it out: signs the channel's file, the
/// snapshot and the timestamp anew, and the top-level targets if the channel is new to it or half of
/// its life is over. Returns the head that devices will see.
pub fn list_release(
    repo: &Path,
    (keys, ask_password): (&Path, AskPassword),
    channel: &ChannelName,
    path: &str,
    target: Target,
    now: UnixTime,
) -> Result<Head, ListError> {
    if !matches(&pattern(channel), path) {
        return Err(ListError::ForeignPath { channel: channel.to_string(), path: path.to_owned() });
    }
    let directory = KeyDirectory::open(keys, ask_password)?;
    let set = read(repo)?;
    let complete = set.complete().expect("a set that needs nothing is complete");
    let now = not_before(complete, now);

    let signings = changed_targets(&set, complete, &directory, channel, path, target, now)?;
    let meta = complete.snapshot().body.meta.clone();
    let versions = [complete.snapshot().version, complete.timestamp().version];
    let files = sign_release(signings, meta, versions, &Signers::of(&set.root().body, &directory)?, now);

    let mut judge = set.clone();
    // A device asks for the timestamp first, and for a channel's file last.
    for (role, _, bytes) in files.iter().rev() {
        let refused =
            |source| ListError::Refused { keys: keys.to_owned(), role: role.clone(), source: Box::new(source) };
        judge.offer(role, bytes).map_err(refused)?;
    }
    let head = judge.head().filter(|head| Some(*head) > set.head());
    let head = head.expect("a device that believes every file of a release holds the release");
    write_release(&repo.join("metadata"), &files)?;
    Ok(head)
}

fn pattern(channel: &ChannelName) -> String {
    format!("{channel}/*")
}

/// The targets files that change when `channel` lists one more target, the channel's own first.
fn changed_targets(
    set: &TrustedSet,
    complete: &CompleteSet,
    keys: &KeyDirectory,
    channel: &ChannelName,
    path: &str,
    target: Target,
    now: UnixTime,
) -> Result<Vec<Signing>, ListError> {
    let role = Role::Delegated(channel.to_string());
    let expires = after(now, TARGETS_LIFE_S);
    let mut signed = match complete.role(&role) {
        Some(before) => Signed::new(before.version + 1, expires, before.body.clone()),
        None => Signed::new(1, expires, Targets::default()),
    };
    let hashes = BTreeMap::from([("sha256".to_owned(), hex::encode(target.sha256))]);
    let file = TargetFile { length: target.length, hashes, custom: target.custom };
    if signed.body.targets.insert(path.to_owned(), file).is_some() {
        return Err(ListError::Exists { path: path.to_owned() });
    }

    let top = complete.role(&Role::Targets).expect("a complete set has targets");
    let mut body = top.body.clone();
    let delegations = body.delegations.get_or_insert_default();
    let known = delegations.roles.iter().find(|role| role.name == channel.as_str());
    let (known, signers) = match known {
        Some(delegated) => (true, keys.signers(&role, &delegated.authority)?),
        None => (false, vec![keys.load_or_create(&role)?]),
    };
    if !known {
        if delegations.roles.len() == limits::DELEGATIONS_MAX {
            return Err(ListError::TooManyChannels(limits::DELEGATIONS_MAX));
        }
        let public = signers[0].public();
        delegations.roles.push(DelegatedRole {
            name: channel.to_string(),
            authority: Authority { keyids: vec![public.id()], threshold: 1 },
            terminating: true,
            paths: Some(vec![pattern(channel)]),
            path_hash_prefixes: None,
        });
        delegations.keys.insert(public.id(), public);
    }
    let mut signings = vec![Signing { role, keys: signers, signed }];
    if !known || top.expires < after(now, TARGETS_LIFE_S / 2) {
        let signed = Signed::new(top.version + 1, expires, body);
        let keys = keys.signers(&Role::Targets, set.root().body.authority(&Role::Targets))?;
        signings.push(Signing { role: Role::Targets, keys, signed });
    }
    Ok(signings)
}

#[cfg(test)]
mod tests {
    use super::super::founding::{CreateError, create};
    use super::super::keys::no_password;
    use super::super::signing::DAY_S;
    use super::*;
    use protocol::trust::Freshness;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// 2026-11-01T00:00:00Z.
    const NOW: UnixTime = UnixTime(1_793_491_200);

    struct Desk {
        place: tempfile::TempDir,
    }

    impl Desk {
        fn new() -> Self {
            let desk = Desk { place: tempfile::tempdir().unwrap() };
            create(&desk.repo(), &desk.keys(), NOW).unwrap();
            desk
        }

        fn repo(&self) -> PathBuf {
            self.place.path().join("repo")
        }

        fn keys(&self) -> PathBuf {
            self.place.path().join("repo.keys")
        }

        fn file(&self, name: &str) -> PathBuf {
            self.repo().join("metadata").join(name)
        }

        fn list(&self, channel: &str, path: &str) -> Result<Head, ListError> {
            self.list_at(channel, path, NOW)
        }

        fn list_at(&self, channel: &str, path: &str, now: UnixTime) -> Result<Head, ListError> {
            let target = Target { length: 3, sha256: [7; 32], custom: Some(serde_json::json!({ "epoch": 1 })) };
            list_release(&self.repo(), (&self.keys(), no_password), &channel.parse().unwrap(), path, target, now)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.file("")).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn paths(set: &TrustedSet) -> Vec<String> {
        set.targets().map(|(path, _)| path.to_owned()).collect()
    }

    #[test]
    fn an_empty_repository_is_complete() {
        let desk = Desk::new();
        let set = read(&desk.repo()).unwrap();
        assert_eq!(paths(&set), [""; 0]);
        assert_eq!(set.freshness(NOW), Freshness::Fresh);
        assert_eq!(desk.names(), ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]);
    }

    #[test]
    fn every_release_of_every_channel_stays_listed() {
        let desk = Desk::new();
        desk.list("os", "os/base_1.0.manifest").unwrap();
        desk.list("apps", "apps/x_1.manifest").unwrap();
        let head = desk.list("os", "os/base_1.1.manifest").unwrap();
        let set = read(&desk.repo()).unwrap();
        assert_eq!(paths(&set), ["apps/x_1.manifest", "os/base_1.0.manifest", "os/base_1.1.manifest"]);
        assert_eq!(set.head(), Some(head));
        assert_eq!((head.root, head.timestamp, head.snapshot), (1, 4, 4));
        let (_, target) = set.targets().next().unwrap();
        assert_eq!((target.length, target.sha256), (3, [7; 32]));
        assert!(desk.names().contains(&"3.targets.json".to_owned()), "a new channel changes targets");
        assert!(!desk.names().contains(&"4.targets.json".to_owned()), "and a release alone does not");
    }

    #[test]
    fn a_taken_version_is_refused_and_changes_nothing() {
        let desk = Desk::new();
        let head = desk.list("os", "os/a.manifest").unwrap();
        assert!(matches!(desk.list("os", "os/a.manifest"), Err(ListError::Exists { .. })));
        assert_eq!(read(&desk.repo()).unwrap().head(), Some(head));
    }

    #[test]
    fn a_repository_is_not_made_over_another() {
        let desk = Desk::new();
        let other = desk.place.path().join("other");
        assert!(matches!(create(&desk.repo(), &other, NOW), Err(CreateError::Exists { .. })));
        assert!(matches!(create(&other, &desk.keys(), NOW), Err(CreateError::Key(KeyError::Exists { .. }))));
    }

    #[test]
    fn a_channel_lists_what_is_its_own() {
        let desk = Desk::new();
        for path in ["apps/a", "os/a/b", "os"] {
            assert!(matches!(desk.list("os", path), Err(ListError::ForeignPath { .. })), "{path}");
        }
        assert_eq!(desk.names().len(), 4);
    }

    #[test]
    fn keys_of_another_repository_are_refused() {
        let (desk, other) = (Desk::new(), Desk::new());
        desk.list("os", "os/a.manifest").unwrap();
        let before = desk.names();
        for role in ["timestamp", "snapshot", "targets"] {
            let (own, kept) = (desk.keys().join(format!("{role}.pem")), desk.place.path().join("kept"));
            fs::copy(&own, &kept).unwrap();
            fs::copy(other.keys().join(format!("{role}.pem")), &own).unwrap();
            let refused = desk.list("apps", "apps/a.manifest");
            let (place, named) = (desk.keys(), Role::from_name(role));
            let Err(ListError::Key(KeyError::TooFew { path, role, found: 0, .. })) = refused else { panic!("{role}") };
            assert_eq!((path, role), (place, named));
            fs::copy(&kept, &own).unwrap();
        }
        assert_eq!(desk.names(), before);
        desk.list("apps", "apps/a.manifest").unwrap();
    }

    #[test]
    fn a_lost_channel_key_is_not_replaced_in_silence() {
        let desk = Desk::new();
        desk.list("os", "os/a.manifest").unwrap();
        fs::remove_file(desk.keys().join("os.pem")).unwrap();
        assert!(matches!(desk.list("os", "os/b.manifest"), Err(ListError::Key(KeyError::TooFew { .. }))));
    }

    #[test]
    fn power_fails_after_each_file() {
        let desk = Desk::new();
        let before = desk.list("os", "os/a.manifest").unwrap();
        let (old_names, old_timestamp) = (desk.names(), fs::read(desk.file("timestamp.json")).unwrap());
        desk.list("apps", "apps/a.manifest").unwrap();
        let new = desk.names().into_iter().filter(|name| !old_names.contains(name)).collect::<Vec<_>>();
        assert_eq!(new, ["1.apps.json", "3.snapshot.json", "3.targets.json"]);
        // Whichever of the new files are there, whole or not: without the new timestamp the old release
        // is served, and the next publish goes through.
        fs::write(desk.file("timestamp.json"), &old_timestamp).unwrap();
        for name in new {
            assert_eq!(read(&desk.repo()).unwrap().head(), Some(before));
            fs::write(desk.file(&name), "half of a fi").unwrap();
            assert_eq!(read(&desk.repo()).unwrap().head(), Some(before));
            fs::remove_file(desk.file(&name)).unwrap();
        }
        fs::write(desk.file("1.apps.json"), "garbage").unwrap();
        fs::write(desk.file("timestamp.json.tmp"), "garbage").unwrap();
        desk.list("apps", "apps/a.manifest").unwrap();
        assert_eq!(paths(&read(&desk.repo()).unwrap()), ["apps/a.manifest", "os/a.manifest"]);
    }

    #[test]
    fn the_disk_refuses_one_file() {
        let desk = Desk::new();
        let before = desk.list("os", "os/a.manifest").unwrap();
        // A directory in the place of a file makes its rename fail, for root too.
        fs::create_dir(desk.file("3.snapshot.json")).unwrap();
        assert!(matches!(desk.list("os", "os/b.manifest"), Err(ListError::File(_))));
        assert_eq!(read(&desk.repo()).unwrap().head(), Some(before));
        fs::remove_dir(desk.file("3.snapshot.json")).unwrap();
        desk.list("os", "os/b.manifest").unwrap();
    }

    #[test]
    fn a_spoiled_or_missing_file_is_named() {
        let desk = Desk::new();
        desk.list("os", "os/a.manifest").unwrap();
        for name in ["1.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "1.os.json"] {
            let bytes = fs::read(desk.file(name)).unwrap();
            fs::write(desk.file(name), &bytes[1..]).unwrap();
            let error = read(&desk.repo()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            fs::remove_file(desk.file(name)).unwrap();
            let error = read(&desk.repo()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            fs::write(desk.file(name), bytes).unwrap();
        }
        assert!(read(&desk.repo()).is_ok());
        assert!(matches!(read(desk.place.path()), Err(ReadError::NoRepository { .. })));
    }

    #[test]
    fn clock_says_1970() {
        let desk = Desk::new();
        desk.list_at("os", "os/a.manifest", UnixTime(0)).unwrap();
        assert_eq!(read(&desk.repo()).unwrap().freshness(NOW), Freshness::Fresh);
    }

    #[test]
    fn targets_are_signed_anew_before_they_expire() {
        let desk = Desk::new();
        let later = |days: i64| UnixTime(NOW.0 + days * DAY_S);
        desk.list("os", "os/a.manifest").unwrap();
        desk.list_at("os", "os/b.manifest", later(180)).unwrap();
        assert!(!desk.names().contains(&"3.targets.json".to_owned()));
        desk.list_at("os", "os/c.manifest", later(200)).unwrap();
        assert!(desk.names().contains(&"3.targets.json".to_owned()));
        let set = read(&desk.repo()).unwrap();
        assert_eq!(set.freshness(later(289)), Freshness::Fresh);
        assert!(matches!(set.freshness(later(290)), Freshness::Stale { role: Role::Timestamp, .. }));
    }

    #[test]
    fn a_key_that_others_can_read_stops_the_publish() {
        let desk = Desk::new();
        fs::set_permissions(desk.keys().join("snapshot.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(desk.list("os", "os/a"), Err(ListError::Key(KeyError::Exposed { .. }))));
    }
}
