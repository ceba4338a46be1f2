//! How a release comes to be listed, is taken back, and stays fresh.

use super::files::{FileError, ReadError, read, write_release};
use super::keys::{AskPassword, KeyDirectory, KeyError};
use super::signing::{PUBLISHERS, Signers, Signing, TARGETS_LIFE_S, after, not_before, sign_release};
use protocol::content::name::ChannelName;
use protocol::limits;
use protocol::time::UnixTime;
use protocol::trust::complete_set::CompleteSet;
use protocol::trust::delegation::matches;
use protocol::trust::envelope::Signed;
use protocol::trust::metadata::{Authority, DelegatedRole, Delegations, TargetFile, Targets};
use protocol::trust::sign::SecretKey;
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
    /// There is nothing to take back.
    #[error("the repository lists no {path}; it was withdrawn before, or never published")]
    NotListed {
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
    #[error("devices would refuse the new {role} metadata; was the repository changed by something else?")]
    Refused {
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

/// A publisher at work on a repository: what devices believe of it, and the keys, which nobody else uses meanwhile.
pub struct Desk {
    repo: PathBuf,
    keys: KeyDirectory,
    set: TrustedSet,
    /// The time of signing: never before that of the last release, though the clock was set back.
    now: UnixTime,
}

impl Desk {
    /// Opens the metadata of `repo` and the keys in `keys`.
    pub fn open(repo: &Path, keys: &Path, ask_password: AskPassword, now: UnixTime) -> Result<Self, ListError> {
        let keys = KeyDirectory::open(keys, ask_password)?;
        let set = read(repo)?;
        let now = not_before(complete(&set), now);
        Ok(Self { repo: repo.to_owned(), keys, set, now })
    }

    /// Lists one more target in `channel`, at `path`, and puts it out. Returns the head that devices will see.
    pub fn list(&self, channel: &ChannelName, path: &str, target: Target) -> Result<Head, ListError> {
        if !matches(&pattern(channel), path) {
            return Err(ListError::ForeignPath { channel: channel.to_string(), path: path.to_owned() });
        }
        let role = Role::Delegated(channel.to_string());
        let mut body = complete(&self.set).role(&role).map(|before| before.body.clone()).unwrap_or_default();
        let hashes = BTreeMap::from([("sha256".to_owned(), hex::encode(target.sha256))]);
        let file = TargetFile { length: target.length, hashes, custom: target.custom };
        if body.targets.insert(path.to_owned(), file).is_some() {
            return Err(ListError::Exists { path: path.to_owned() });
        }
        self.put_out_channel(channel, body)
    }

    /// Takes a release back: no device that hears of it applies the release at `path` any more.
    pub fn withdraw(&self, channel: &ChannelName, path: &str) -> Result<Head, ListError> {
        let role = Role::Delegated(channel.to_string());
        let mut body = complete(&self.set).role(&role).map(|before| before.body.clone()).unwrap_or_default();
        if body.targets.remove(path).is_none() {
            return Err(ListError::NotListed { path: path.to_owned() });
        }
        self.put_out_channel(channel, body)
    }

    /// Says once more that what is listed is the newest: signs snapshot and timestamp anew, and targets files of which
    /// half of the life is over.
    pub fn refresh(&self) -> Result<Head, ListError> {
        let delegations = self.top_level().body.delegations.clone().unwrap_or_default();
        let mut signings = Vec::new();
        for DelegatedRole { name, authority, .. } in &delegations.roles {
            let role = Role::Delegated(name.clone());
            if let Some(file) = complete(&self.set).role(&role).filter(|file| self.is_old(file)) {
                let Some(keys) = self.signers_if_here(&role, authority, file)? else { continue };
                let signed = Signed::new(file.version + 1, after(self.now, TARGETS_LIFE_S), file.body.clone());
                signings.push(Signing { keys, role, signed });
            }
        }
        signings.extend(self.top_level_anew(delegations, false)?);
        self.put_out(signings)
    }

    /// Puts out what a channel lists now, which may be a channel that is new.
    fn put_out_channel(&self, channel: &ChannelName, body: Targets) -> Result<Head, ListError> {
        let role = Role::Delegated(channel.to_string());
        let version = complete(&self.set).role(&role).map_or(1, |before| before.version + 1);
        let signed = Signed::new(version, after(self.now, TARGETS_LIFE_S), body);
        let mut delegations = self.top_level().body.delegations.clone().unwrap_or_default();
        let known = delegations.roles.iter().find(|role| role.name == channel.as_str());
        let (is_new, keys) = match known {
            Some(delegated) => (false, self.keys.signers(&role, &delegated.authority)?),
            None => (true, vec![self.keys.load_or_create(&role)?]),
        };
        if is_new {
            if delegations.roles.len() == limits::DELEGATIONS_MAX {
                return Err(ListError::TooManyChannels(limits::DELEGATIONS_MAX));
            }
            let public = keys[0].public();
            delegations.roles.push(DelegatedRole {
                name: channel.to_string(),
                authority: Authority { keyids: vec![public.id()], threshold: 1 },
                terminating: true,
                paths: Some(vec![pattern(channel)]),
                path_hash_prefixes: None,
            });
            delegations.keys.insert(public.id(), public);
        }
        let mut signings = vec![Signing { role, keys, signed }];
        signings.extend(self.top_level_anew(delegations, is_new)?);
        self.put_out(signings)
    }

    /// The top-level targets with these delegations, if they changed or half of the life of the old ones is over.
    fn top_level_anew(&self, delegations: Delegations, changed: bool) -> Result<Option<Signing>, ListError> {
        let (before, role) = (self.top_level(), Role::Targets);
        if !changed && !self.is_old(before) {
            return Ok(None);
        }
        let authority = self.set.root().body.authority(&role);
        let keys = match changed {
            true => Some(self.keys.signers(&role, authority)?),
            false => self.signers_if_here(&role, authority, before)?,
        };
        let body = Targets { delegations: Some(delegations), ..before.body.clone() };
        let signed = Signed::new(before.version + 1, after(self.now, TARGETS_LIFE_S), body);
        Ok(keys.map(|keys| Signing { role, keys, signed }))
    }

    /// Who can sign a file anew that is old and still valid: nobody, where its keys lie in a drawer.
    fn signers_if_here(
        &self,
        role: &Role,
        authority: &Authority,
        file: &Signed<Targets>,
    ) -> Result<Option<Vec<SecretKey>>, ListError> {
        match self.keys.signers(role, authority) {
            Err(missing @ KeyError::TooFew { .. }) if file.expires.unix_time() > self.now => {
                tracing::warn!("the {role} metadata expires on {}, and was not signed anew: {missing}", file.expires);
                Ok(None)
            }
            keys => Ok(Some(keys?)),
        }
    }

    /// Signs these, a snapshot and a timestamp, and puts all in use at once, if devices would believe it.
    fn put_out(&self, signings: Vec<Signing>) -> Result<Head, ListError> {
        let complete = complete(&self.set);
        let meta = complete.snapshot().body.meta.clone();
        let versions = [complete.snapshot().version, complete.timestamp().version];
        let signers = Signers::of(&self.set.root().body, &self.keys)?;
        let files = sign_release(signings, meta, versions, &signers, &PUBLISHERS, self.now);
        let mut judge = self.set.clone();
        // A device asks for the timestamp first, and for a channel's file last.
        for (role, _, bytes) in files.iter().rev() {
            let refused = |source| ListError::Refused { role: role.clone(), source: Box::new(source) };
            judge.offer(role, bytes).map_err(refused)?;
        }
        let head = judge.head().filter(|head| Some(*head) > self.set.head());
        let head = head.expect("a device that believes every file of a release holds the release");
        write_release(&self.repo.join("metadata"), &files)?;
        Ok(head)
    }

    fn top_level(&self) -> &Signed<Targets> {
        complete(&self.set).role(&Role::Targets).expect("a complete set has targets")
    }

    fn is_old(&self, file: &Signed<Targets>) -> bool {
        file.expires < after(self.now, TARGETS_LIFE_S / 2)
    }
}

fn complete(set: &TrustedSet) -> &CompleteSet {
    set.complete().expect("a set that needs nothing is complete")
}

fn pattern(channel: &ChannelName) -> String {
    format!("{channel}/*")
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

    struct Office {
        place: tempfile::TempDir,
    }

    impl Office {
        fn new() -> Self {
            let office = Office { place: tempfile::tempdir().unwrap() };
            create(&office.repo(), &office.keys(), NOW).unwrap();
            office
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
            self.at(now)?.list(&channel.parse().unwrap(), path, target)
        }

        fn at(&self, now: UnixTime) -> Result<Desk, ListError> {
            Desk::open(&self.repo(), &self.keys(), no_password, now)
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
        let office = Office::new();
        let set = read(&office.repo()).unwrap();
        assert_eq!(paths(&set), [""; 0]);
        assert!(matches!(set.freshness(NOW), Freshness::Fresh { .. }));
        assert_eq!(office.names(), ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]);
    }

    #[test]
    fn every_release_of_every_channel_stays_listed() {
        let office = Office::new();
        office.list("os", "os/base_1.0.manifest").unwrap();
        office.list("apps", "apps/x_1.manifest").unwrap();
        let head = office.list("os", "os/base_1.1.manifest").unwrap();
        let set = read(&office.repo()).unwrap();
        assert_eq!(paths(&set), ["apps/x_1.manifest", "os/base_1.0.manifest", "os/base_1.1.manifest"]);
        assert_eq!(set.head(), Some(head));
        assert_eq!((head.root, head.timestamp, head.snapshot), (1, 4, 4));
        let (_, target) = set.targets().next().unwrap();
        assert_eq!((target.length, target.sha256), (3, [7; 32]));
        assert!(office.names().contains(&"3.targets.json".to_owned()), "a new channel changes targets");
        assert!(!office.names().contains(&"4.targets.json".to_owned()), "and a release alone does not");
    }

    #[test]
    fn a_taken_version_is_refused_and_changes_nothing() {
        let office = Office::new();
        let head = office.list("os", "os/a.manifest").unwrap();
        assert!(matches!(office.list("os", "os/a.manifest"), Err(ListError::Exists { .. })));
        assert_eq!(read(&office.repo()).unwrap().head(), Some(head));
    }

    #[test]
    fn a_repository_is_not_made_over_another() {
        let office = Office::new();
        let other = office.place.path().join("other");
        assert!(matches!(create(&office.repo(), &other, NOW), Err(CreateError::Exists { .. })));
        assert!(matches!(create(&other, &office.keys(), NOW), Err(CreateError::Key(KeyError::Exists { .. }))));
    }

    #[test]
    fn a_channel_lists_what_is_its_own() {
        let office = Office::new();
        for path in ["apps/a", "os/a/b", "os"] {
            assert!(matches!(office.list("os", path), Err(ListError::ForeignPath { .. })), "{path}");
        }
        assert_eq!(office.names().len(), 4);
    }

    #[test]
    fn keys_of_another_repository_are_refused() {
        let (office, other) = (Office::new(), Office::new());
        office.list("os", "os/a.manifest").unwrap();
        let before = office.names();
        for role in ["timestamp", "snapshot", "targets"] {
            let (own, kept) = (office.keys().join(format!("{role}.pem")), office.place.path().join("kept"));
            fs::copy(&own, &kept).unwrap();
            fs::copy(other.keys().join(format!("{role}.pem")), &own).unwrap();
            let refused = office.list("apps", "apps/a.manifest");
            let (place, named) = (office.keys(), Role::from_name(role));
            let Err(ListError::Key(KeyError::TooFew { path, role, found: 0, .. })) = refused else { panic!("{role}") };
            assert_eq!((path, role), (place, named));
            fs::copy(&kept, &own).unwrap();
        }
        assert_eq!(office.names(), before);
        office.list("apps", "apps/a.manifest").unwrap();
    }

    #[test]
    fn a_lost_channel_key_is_not_replaced_in_silence() {
        let office = Office::new();
        office.list("os", "os/a.manifest").unwrap();
        fs::remove_file(office.keys().join("os.pem")).unwrap();
        assert!(matches!(office.list("os", "os/b.manifest"), Err(ListError::Key(KeyError::TooFew { .. }))));
    }

    #[test]
    fn power_fails_after_each_file() {
        let office = Office::new();
        let before = office.list("os", "os/a.manifest").unwrap();
        let (old_names, old_timestamp) = (office.names(), fs::read(office.file("timestamp.json")).unwrap());
        office.list("apps", "apps/a.manifest").unwrap();
        let new = office.names().into_iter().filter(|name| !old_names.contains(name)).collect::<Vec<_>>();
        assert_eq!(new, ["1.apps.json", "3.snapshot.json", "3.targets.json"]);
        // Whichever of the new files are there, whole or not: without the new timestamp the old release
        // is served, and the next publish goes through.
        fs::write(office.file("timestamp.json"), &old_timestamp).unwrap();
        for name in new {
            assert_eq!(read(&office.repo()).unwrap().head(), Some(before));
            fs::write(office.file(&name), "half of a fi").unwrap();
            assert_eq!(read(&office.repo()).unwrap().head(), Some(before));
            fs::remove_file(office.file(&name)).unwrap();
        }
        fs::write(office.file("1.apps.json"), "garbage").unwrap();
        fs::write(office.file("timestamp.json.tmp"), "garbage").unwrap();
        office.list("apps", "apps/a.manifest").unwrap();
        assert_eq!(paths(&read(&office.repo()).unwrap()), ["apps/a.manifest", "os/a.manifest"]);
    }

    #[test]
    fn the_disk_refuses_one_file() {
        let office = Office::new();
        let before = office.list("os", "os/a.manifest").unwrap();
        // A directory in the place of a file makes its rename fail, for root too.
        fs::create_dir(office.file("3.snapshot.json")).unwrap();
        assert!(matches!(office.list("os", "os/b.manifest"), Err(ListError::File(_))));
        assert_eq!(read(&office.repo()).unwrap().head(), Some(before));
        fs::remove_dir(office.file("3.snapshot.json")).unwrap();
        office.list("os", "os/b.manifest").unwrap();
    }

    #[test]
    fn a_spoiled_or_missing_file_is_named() {
        let office = Office::new();
        office.list("os", "os/a.manifest").unwrap();
        for name in ["1.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "1.os.json"] {
            let bytes = fs::read(office.file(name)).unwrap();
            fs::write(office.file(name), &bytes[1..]).unwrap();
            let error = read(&office.repo()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            fs::remove_file(office.file(name)).unwrap();
            let error = read(&office.repo()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            fs::write(office.file(name), bytes).unwrap();
        }
        assert!(read(&office.repo()).is_ok());
        assert!(matches!(read(office.place.path()), Err(ReadError::NoRepository { .. })));
    }

    #[test]
    fn clock_says_1970() {
        let office = Office::new();
        office.list_at("os", "os/a.manifest", UnixTime(0)).unwrap();
        assert!(matches!(read(&office.repo()).unwrap().freshness(NOW), Freshness::Fresh { .. }));
    }

    #[test]
    fn targets_are_signed_anew_before_they_expire() {
        let office = Office::new();
        let later = |days: i64| UnixTime(NOW.0 + days * DAY_S);
        office.list("os", "os/a.manifest").unwrap();
        office.list_at("os", "os/b.manifest", later(180)).unwrap();
        assert!(!office.names().contains(&"3.targets.json".to_owned()));
        office.list_at("os", "os/c.manifest", later(200)).unwrap();
        assert!(office.names().contains(&"3.targets.json".to_owned()));
        let set = read(&office.repo()).unwrap();
        assert!(matches!(set.freshness(later(289)), Freshness::Fresh { .. }));
        assert!(matches!(set.freshness(later(290)), Freshness::Stale { role: Role::Timestamp, .. }));
    }

    #[test]
    fn a_release_is_taken_back() {
        let office = Office::new();
        let os = "os".parse().unwrap();
        office.list("os", "os/a.manifest").unwrap();
        office.list("os", "os/b.manifest").unwrap();
        let head = office.at(NOW).unwrap().withdraw(&os, "os/b.manifest").unwrap();
        let set = read(&office.repo()).unwrap();
        assert_eq!((paths(&set), set.head()), (vec!["os/a.manifest".to_owned()], Some(head)));
        for (channel, path) in [("os", "os/b.manifest"), ("apps", "apps/a.manifest")] {
            let refused = office.at(NOW).unwrap().withdraw(&channel.parse().unwrap(), path);
            assert!(matches!(refused, Err(ListError::NotListed { .. })));
        }
        assert_eq!(read(&office.repo()).unwrap().head(), Some(head));
        office.at(NOW).unwrap().withdraw(&os, "os/a.manifest").unwrap();
        assert_eq!(paths(&read(&office.repo()).unwrap()), [""; 0]);
    }

    #[test]
    fn a_repository_to_which_nothing_is_published_stays_fresh() {
        let office = Office::new();
        office.list("os", "os/a.manifest").unwrap();
        let later = |days: i64| UnixTime(NOW.0 + days * DAY_S);
        for days in (60..600).step_by(60) {
            office.at(later(days)).unwrap().refresh().unwrap();
            let set = read(&office.repo()).unwrap();
            assert!(matches!(set.freshness(later(days + 60)), Freshness::Fresh { .. }), "day {days}");
            assert_eq!(paths(&set), ["os/a.manifest"]);
        }
        let names = office.names();
        // After 240 and 480 days, when more than half of the 365 were over.
        let signed = |version: u64| names.contains(&format!("{version}.os.json"));
        assert!(signed(3) && !signed(4), "{names:?}");
        // With the channel's key in a drawer it stays fresh for as long as what that key signed last.
        fs::remove_file(office.keys().join("os.pem")).unwrap();
        office.at(later(600)).unwrap().refresh().unwrap();
        assert!(matches!(read(&office.repo()).unwrap().freshness(later(689)), Freshness::Fresh { .. }));
        assert!(matches!(office.at(later(845)).unwrap().refresh(), Err(ListError::Key(KeyError::TooFew { .. }))));
    }

    #[test]
    fn a_key_that_others_can_read_stops_the_publish() {
        let office = Office::new();
        fs::set_permissions(office.keys().join("snapshot.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(office.list("os", "os/a"), Err(ListError::Key(KeyError::Exposed { .. }))));
    }
}
