//! What a manifest may state. A publisher runs this before it signs and every device before it
//! believes, so that no key, stolen or careless, can make a device write outside a release's tree,
//! through a link, or hand out rights that the publisher did not list.

use super::manifest::{Attributes, Entry, Kind, Manifest};
use super::name::{ChannelName, NameError};
use super::version::{Version, VersionError};
use crate::limits::{
    DOCUMENT_BYTES_MAX, ENTRIES_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX, XATTR_BYTES_MAX, XATTR_NAME_BYTES_MAX,
};
use serde_bytes::ByteBuf;

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Its channel has no lawful name.
    #[error("its channel is refused")]
    Channel(#[source] NameError),
    /// Its version is none, or not in its normal spelling.
    #[error("its version is refused")]
    Version(#[source] VersionError),
    /// Sizes that no chunker can follow.
    #[error("its chunker parameters are out of order; publish with the default ones")]
    Chunker,
    /// A chunk list beyond [`DOCUMENT_BYTES_MAX`].
    #[error("its chunk list of {0} bytes is longer than {DOCUMENT_BYTES_MAX}; split the tree into several channels")]
    ChunkListTooLong(u64),
    /// More than [`ENTRIES_MAX`] entries.
    #[error("it has {0} entries, and {ENTRIES_MAX} are the most; split the tree into several channels")]
    TooManyEntries(usize),
    /// Its first entry is not the tree's root.
    #[error("its first entry is not the tree's root directory; publish a directory")]
    NoRoot,
    /// Its files together are longer than a number can say.
    #[error("its files are longer than any disk")]
    TotalOverflow,
    /// The privileged list is not ascending, or names the same path twice.
    #[error("its list of privileged files is not in order at {0}")]
    PrivilegedOrder(String),
    /// The privileged list names something that is not a regular file of the tree.
    #[error("{0} is listed as privileged and is no regular file of the tree; take it off the list")]
    PrivilegedNoFile(String),
    /// One entry is refused.
    #[error("{path}: {fault}")]
    Entry {
        /// Its path, as it can be shown.
        path: String,
        /// What is wrong with it.
        fault: EntryFault,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// The path starts with `/`.
    #[error("an absolute path; paths start at the tree's root")]
    Absolute,
    /// A name in the path is `.` or `..`.
    #[error("a path with '.' or '..' in it could leave the tree")]
    Dots,
    /// A name in the path is empty.
    #[error("a path with an empty name in it")]
    EmptyName,
    /// The path, a link's target or an attribute's name holds a NUL.
    #[error("a NUL byte, which no file system can hold")]
    Nul,
    /// A name is longer than [`NAME_BYTES_MAX`].
    #[error("a name longer than {NAME_BYTES_MAX} bytes; rename it")]
    NameTooLong,
    /// A path or a link's target is longer than [`PATH_BYTES_MAX`].
    #[error("a path longer than {PATH_BYTES_MAX} bytes; move it up")]
    PathTooLong,
    /// Not above the entry before it: out of order, or there twice.
    #[error("not in ascending order, or there twice")]
    Order,
    /// No directory entry stands above it.
    #[error("nothing can stand beneath what is no directory of the tree")]
    Parent,
    /// A hard link whose target is not a regular file earlier in the manifest.
    #[error("a hard link to what is no regular file earlier in the tree")]
    HardLink,
    /// A hard link with attributes, or another entry without.
    #[error("attributes where there are none, or none where there must be some")]
    Attributes,
    /// A mode beyond 12 bits.
    #[error("a mode beyond 07777")]
    Mode,
    /// The owner or group -1, which systems read as "leave it".
    #[error("an owner or group of 4294967295, which systems read as none; change its owner")]
    Owner,
    /// Nanoseconds of a second or more.
    #[error("a time with 10^9 or more nanoseconds")]
    Time,
    /// An extended attribute without a name, or with too long a one.
    #[error("an extended attribute whose name is empty or longer than {XATTR_NAME_BYTES_MAX} bytes")]
    XattrName,
    /// More than [`XATTR_BYTES_MAX`] of extended attributes.
    #[error("more than {XATTR_BYTES_MAX} bytes of extended attributes; remove some")]
    XattrsTooLong,
    /// A symbolic link to nothing.
    #[error("a symbolic link with an empty target")]
    EmptyTarget,
    /// Setuid, setgid or capabilities without the publisher's word.
    #[error(
        "setuid, setgid or file capabilities that the publisher did not allow; publish with --allow-setuid, or take them off"
    )]
    NotListedPrivileged,
}

/// `path` as an error can show it: the root as `.`, what is no text escaped, and not endless.
fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(&path[..path.len().min(PATH_BYTES_MAX)]);
    if text.is_empty() { ".".to_owned() } else { text.escape_debug().to_string() }
}

/// Judges all of a manifest but its format.
pub fn manifest(manifest: &Manifest) -> Result<(), CheckError> {
    manifest.channel.parse::<ChannelName>().map_err(CheckError::Channel)?;
    Version::from_normal(&manifest.version).map_err(CheckError::Version)?;
    if !manifest.chunker.are_valid() {
        return Err(CheckError::Chunker);
    }
    if manifest.chunk_list.bytes > DOCUMENT_BYTES_MAX {
        return Err(CheckError::ChunkListTooLong(manifest.chunk_list.bytes));
    }
    entries(&manifest.entries, &manifest.privileged)
}

/// Judges the entries of a tree and the list of its files that may be privileged.
pub fn entries(entries: &[Entry], privileged: &[ByteBuf]) -> Result<(), CheckError> {
    if entries.len() > ENTRIES_MAX {
        return Err(CheckError::TooManyEntries(entries.len()));
    }
    match entries.first() {
        Some(Entry { path, kind: Kind::Directory, .. }) if path.is_empty() => {}
        _ => return Err(CheckError::NoRoot),
    }
    if let Some(pair) = privileged.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(CheckError::PrivilegedOrder(shown(&pair[1])));
    }
    let mut total_bytes: u64 = 0;
    for (at, entry) in entries.iter().enumerate() {
        let earlier = &entries[..at];
        let fault = |fault| CheckError::Entry { path: shown(&entry.path), fault };
        place(&entry.path, earlier).map_err(fault)?;
        kind(&entry.kind, earlier).map_err(fault)?;
        match (&entry.kind, &entry.attributes) {
            (Kind::HardLink { .. }, None) => {}
            (Kind::HardLink { .. }, Some(_)) | (_, None) => return Err(fault(EntryFault::Attributes)),
            (kind, Some(attributes)) => {
                self::attributes(attributes).map_err(fault)?;
                let unlisted = || privileged.binary_search_by(|listed| listed.as_slice().cmp(&entry.path)).is_err();
                if matches!(kind, Kind::File { .. }) && attributes.are_privileged() && unlisted() {
                    return Err(fault(EntryFault::NotListedPrivileged));
                }
            }
        }
        if let Kind::File { bytes, .. } = entry.kind {
            total_bytes = total_bytes.checked_add(bytes).ok_or(CheckError::TotalOverflow)?;
        }
    }
    match privileged.iter().find(|path| !matches!(find(entries, path), Some(Kind::File { .. }))) {
        Some(path) => Err(CheckError::PrivilegedNoFile(shown(path))),
        None => Ok(()),
    }
}

/// What stands at `path` among `entries`, which are in order.
fn find<'a>(entries: &'a [Entry], path: &[u8]) -> Option<&'a Kind> {
    let at = entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()?;
    Some(&entries[at].kind)
}

/// Whether `path` is one, and may stand after the `earlier` entries.
fn place(path: &[u8], earlier: &[Entry]) -> Result<(), EntryFault> {
    let Some(before) = earlier.last() else {
        return Ok(()); // The root, whose path is empty.
    };
    if path.len() > PATH_BYTES_MAX {
        return Err(EntryFault::PathTooLong);
    }
    if path.starts_with(b"/") {
        return Err(EntryFault::Absolute);
    }
    path.split(|byte| *byte == b'/').try_for_each(|name| match name {
        b"" => Err(EntryFault::EmptyName),
        b"." | b".." => Err(EntryFault::Dots),
        name if name.contains(&0) => Err(EntryFault::Nul),
        name if name.len() > NAME_BYTES_MAX => Err(EntryFault::NameTooLong),
        _ => Ok(()),
    })?;
    if before.path.as_slice() >= path {
        return Err(EntryFault::Order);
    }
    let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |slash| &path[..slash]);
    // A directory is above all beneath it, so it is among the earlier ones.
    if matches!(find(earlier, parent), Some(Kind::Directory)) { Ok(()) } else { Err(EntryFault::Parent) }
}

fn kind(kind: &Kind, earlier: &[Entry]) -> Result<(), EntryFault> {
    match kind {
        Kind::File { .. } | Kind::Directory => Ok(()),
        Kind::Symlink { target } if target.is_empty() => Err(EntryFault::EmptyTarget),
        Kind::Symlink { target } if target.contains(&0) => Err(EntryFault::Nul),
        Kind::Symlink { target } if target.len() > PATH_BYTES_MAX => Err(EntryFault::PathTooLong),
        Kind::Symlink { .. } => Ok(()),
        Kind::HardLink { target } if matches!(find(earlier, target), Some(Kind::File { .. })) => Ok(()),
        Kind::HardLink { .. } => Err(EntryFault::HardLink),
    }
}

fn attributes(attributes: &Attributes) -> Result<(), EntryFault> {
    if attributes.mode > 0o7777 {
        return Err(EntryFault::Mode);
    }
    if attributes.uid == u32::MAX || attributes.gid == u32::MAX {
        return Err(EntryFault::Owner);
    }
    if attributes.mtime_ns >= 1_000_000_000 {
        return Err(EntryFault::Time);
    }
    if attributes.xattrs.keys().any(|name| name.contains(&0)) {
        return Err(EntryFault::Nul);
    }
    if attributes.xattrs.keys().any(|name| name.is_empty() || name.len() > XATTR_NAME_BYTES_MAX) {
        return Err(EntryFault::XattrName);
    }
    let xattr_bytes: usize = attributes.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if xattr_bytes > XATTR_BYTES_MAX { Err(EntryFault::XattrsTooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::sample::{self, Sample, attributes};
    use proptest::prelude::*;

    /// What is wrong with a tree of good entries and this one.
    fn fault_of(path: &[u8], kind: Kind, attributes: Option<Attributes>) -> Option<EntryFault> {
        let good = |path: &[u8], kind| Entry { path: path.to_vec(), kind, attributes: Some(sample::attributes()) };
        let mut entries = vec![
            good(b"", Kind::Directory),
            good(b"dir", Kind::Directory),
            good(b"dir/file", FILE),
            good(b"link", Kind::Symlink { target: b"dir".to_vec() }),
        ];
        let at = entries.partition_point(|entry| entry.path.as_slice() < path);
        entries.insert(at.max(1), Entry { path: path.to_vec(), kind, attributes });
        match super::entries(&entries, &[]) {
            Ok(()) => None,
            Err(CheckError::Entry { fault, .. }) => Some(fault),
            Err(other) => panic!("{other}"),
        }
    }

    const FILE: Kind = Kind::File { bytes: 3, blake3: [0; 32] };

    fn fault_of_path(path: &[u8]) -> Option<EntryFault> {
        fault_of(path, FILE, Some(attributes()))
    }

    fn fault_of_attributes(change: impl Fn(&mut Attributes)) -> Option<EntryFault> {
        let mut attributes = attributes();
        change(&mut attributes);
        fault_of(b"new", FILE, Some(attributes))
    }

    #[test]
    fn odd_names_that_file_systems_hold_are_taken() {
        for path in
            [&b"dir/-rf"[..], b"new\nline", b"dir/...", b" ", b"\xff\xfe", b"..a", "dir/é€".as_bytes(), &[b'x'; 255]]
        {
            assert_eq!(fault_of_path(path), None, "{path:?}");
        }
    }

    #[test]
    fn a_path_that_leaves_the_tree_is_refused() {
        assert_eq!(fault_of_path(b".."), Some(EntryFault::Dots));
        assert_eq!(fault_of_path(b"dir/../../etc/passwd"), Some(EntryFault::Dots));
        assert_eq!(fault_of_path(b"dir/."), Some(EntryFault::Dots));
        assert_eq!(fault_of_path(b"/etc/passwd"), Some(EntryFault::Absolute));
        assert_eq!(fault_of_path(b"dir//x"), Some(EntryFault::EmptyName));
        assert_eq!(fault_of_path(b"dir/x/"), Some(EntryFault::EmptyName));
        assert_eq!(fault_of_path(b"a\0b"), Some(EntryFault::Nul));
        assert_eq!(fault_of_path(&[b'x'; 256]), Some(EntryFault::NameTooLong));
        let deep = [b"dir/".as_slice(), &b"d/".repeat(2100)].concat();
        assert_eq!(fault_of_path(&deep[..deep.len() - 1]), Some(EntryFault::PathTooLong));
    }

    #[test]
    fn an_entry_beneath_a_link_a_file_or_nothing_is_refused() {
        for path in [&b"link/x"[..], b"dir/file/x", b"nowhere/x"] {
            assert_eq!(fault_of_path(path), Some(EntryFault::Parent), "{path:?}");
        }
    }

    #[test]
    fn a_path_that_stands_twice_is_refused() {
        assert_eq!(fault_of_path(b"dir/file"), Some(EntryFault::Order));
        assert_eq!(fault_of_path(b"link"), Some(EntryFault::Order));
        // A second root has an empty name.
        assert_eq!(fault_of_path(b""), Some(EntryFault::EmptyName));
    }

    #[test]
    fn entries_out_of_order_are_refused() {
        let mut sample = Sample::new().file(b"x", 1).file(b"y", 1).manifest();
        let last = sample.entries.len() - 1;
        sample.entries.swap(last, last - 1);
        assert!(matches!(manifest(&sample), Err(CheckError::Entry { fault: EntryFault::Order, .. })));
    }

    #[test]
    fn a_tree_without_its_root_is_refused() {
        assert!(matches!(super::entries(&[], &[]), Err(CheckError::NoRoot)));
        let mut sample = Sample::new().manifest();
        sample.entries.remove(0);
        assert!(matches!(manifest(&sample), Err(CheckError::NoRoot)));
        let root = Entry { path: Vec::new(), kind: FILE, attributes: Some(attributes()) };
        assert!(matches!(super::entries(&[root], &[]), Err(CheckError::NoRoot)));
    }

    #[test]
    fn a_hard_link_leads_to_an_earlier_file_only() {
        let fault_of_link =
            |path: &[u8], target: &[u8]| fault_of(path, Kind::HardLink { target: target.to_vec() }, None);
        assert_eq!(fault_of_link(b"new", b"dir/file"), None);
        for (path, target) in [
            (&b"new"[..], &b"new"[..]),
            (b"new", b"dir"),
            (b"new", b"link"),
            (b"new", b"nowhere"),
            (b"new", b"../x"),
            (b"dir/early", b"dir/file"),
            (b"new", b""),
        ] {
            assert_eq!(fault_of_link(path, target), Some(EntryFault::HardLink), "{path:?}");
        }
    }

    #[test]
    fn a_symbolic_link_may_lead_anywhere_but_must_lead() {
        let fault_of_link =
            |target: &[u8]| fault_of(b"new", Kind::Symlink { target: target.to_vec() }, Some(attributes()));
        assert_eq!(fault_of_link(b"/etc/../../.."), None);
        assert_eq!(fault_of_link(b""), Some(EntryFault::EmptyTarget));
        assert_eq!(fault_of_link(b"a\0"), Some(EntryFault::Nul));
        assert_eq!(fault_of_link(&[b'x'; 4096]), Some(EntryFault::PathTooLong));
    }

    #[test]
    fn attributes_that_no_system_can_set_are_refused() {
        assert_eq!(fault_of_attributes(|a| a.mode = 0o1777), None);
        assert_eq!(fault_of_attributes(|a| a.mode = 0o10644), Some(EntryFault::Mode));
        assert_eq!(fault_of_attributes(|a| a.mtime_ns = 1_000_000_000), Some(EntryFault::Time));
        assert_eq!(fault_of_attributes(|a| a.uid = u32::MAX), Some(EntryFault::Owner));
        assert_eq!(fault_of_attributes(|a| a.gid = u32::MAX), Some(EntryFault::Owner));
        let xattr = |name: &[u8], bytes| (ByteBuf::from(name), ByteBuf::from(vec![0; bytes]));
        assert_eq!(fault_of_attributes(|a| a.xattrs.extend([xattr(b"user.x", 65_530)])), None);
        assert_eq!(
            fault_of_attributes(|a| a.xattrs.extend([xattr(b"user.x", 65_531)])),
            Some(EntryFault::XattrsTooLong)
        );
        assert_eq!(fault_of_attributes(|a| a.xattrs.extend([xattr(b"", 1)])), Some(EntryFault::XattrName));
        assert_eq!(fault_of_attributes(|a| a.xattrs.extend([xattr(&[b'u'; 256], 1)])), Some(EntryFault::XattrName));
        assert_eq!(fault_of_attributes(|a| a.xattrs.extend([xattr(b"user.\0", 1)])), Some(EntryFault::Nul));
        assert_eq!(fault_of(b"new", FILE, None), Some(EntryFault::Attributes));
        let link = Kind::HardLink { target: b"dir/file".to_vec() };
        assert_eq!(fault_of(b"new", link, Some(attributes())), Some(EntryFault::Attributes));
    }

    #[test]
    fn rights_that_the_publisher_did_not_list_are_refused() {
        let capability = (ByteBuf::from(Attributes::CAPABILITIES), ByteBuf::from(vec![1; 20]));
        for change in [
            |a: &mut Attributes, _| a.mode = 0o4755,
            |a: &mut Attributes, _| a.mode = 0o2755,
            |a: &mut Attributes, capability| a.xattrs.extend([capability]),
        ] {
            let mut sample = Sample::new().file(b"sudo", 1).manifest();
            let sudo = sample.position(b"sudo").unwrap();
            change(sample.entries[sudo].attributes.as_mut().unwrap(), capability.clone());
            let error = manifest(&sample).unwrap_err();
            assert!(matches!(error, CheckError::Entry { fault: EntryFault::NotListedPrivileged, .. }));
            assert!(error.to_string().starts_with("sudo: "));
            sample.privileged = vec![ByteBuf::from("sudo")];
            assert!(manifest(&sample).is_ok());
        }
        let setgid_directory = fault_of(b"new", Kind::Directory, Some(Attributes { mode: 0o2775, ..attributes() }));
        assert_eq!(setgid_directory, None);
    }

    #[test]
    fn a_privileged_list_that_lies_is_refused() {
        let with_list = |list: &[&str]| {
            let mut sample = Sample::new().file(b"a", 1).file(b"b", 1).manifest();
            sample.privileged = list.iter().map(|path| ByteBuf::from(*path)).collect();
            manifest(&sample)
        };
        assert!(with_list(&["a", "b"]).is_ok());
        assert!(matches!(with_list(&["b", "a"]), Err(CheckError::PrivilegedOrder(_))));
        assert!(matches!(with_list(&["a", "a"]), Err(CheckError::PrivilegedOrder(_))));
        assert!(matches!(with_list(&["nowhere"]), Err(CheckError::PrivilegedNoFile(_))));
        assert!(matches!(with_list(&[""]), Err(CheckError::PrivilegedNoFile(_))));
    }

    #[test]
    fn a_head_that_makes_no_sense_is_refused() {
        let good = Sample::new().manifest();
        assert!(manifest(&good).is_ok());
        assert!(matches!(manifest(&Manifest { channel: "../x".into(), ..good.clone() }), Err(CheckError::Channel(_))));
        for version in ["1.0.bogus", "1.0-1", ""] {
            let error = manifest(&Manifest { version: version.into(), ..good.clone() }).unwrap_err();
            assert!(matches!(error, CheckError::Version(_)));
        }
        let mut odd = good.clone();
        odd.chunker.min_bytes = 3;
        assert!(matches!(manifest(&odd), Err(CheckError::Chunker)));
        let mut long = good.clone();
        long.chunk_list.bytes = DOCUMENT_BYTES_MAX + 1;
        assert!(matches!(manifest(&long), Err(CheckError::ChunkListTooLong(_))));
    }

    #[test]
    fn files_longer_than_numbers_are_refused() {
        let sample = Sample::new().file(b"a", 1).file(b"b", 1).manifest();
        let mut entries = sample.entries;
        for entry in &mut entries {
            if let Kind::File { bytes, .. } = &mut entry.kind {
                *bytes = u64::MAX / 2 + 1;
            }
        }
        assert!(matches!(super::entries(&entries, &[]), Err(CheckError::TotalOverflow)));
    }

    #[test]
    fn an_error_shows_any_path_on_one_line() {
        assert_eq!(shown(b"a\nb\x1b[31m\xff"), "a\\nb\\u{1b}[31m\u{fffd}");
        assert_eq!(shown(b""), ".");
    }

    proptest! {
        #[test]
        fn no_path_panics(path in prop::collection::vec(prop::sample::select(b"/.\0ax".to_vec()), 0..12)) {
            let legal = !path.is_empty() && path.split(|b| *b == b'/').all(|name| {
                !name.is_empty() && name != b"." && name != b".." && !name.contains(&0)
            });
            let fault = fault_of_path(&path);
            prop_assert!(legal || fault.is_some());
            prop_assert!(!legal || matches!(fault, None | Some(EntryFault::Parent)));
        }
    }
}
