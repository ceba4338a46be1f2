//! Reads extended attributes: all that this process may read, but for those that belong to the
//! machine and not to the tree.

use protocol::content::manifest::Attributes;
use protocol::limits::XATTR_BYTES_MAX;
use rustix::buffer::{SpareCapacity, spare_capacity};
use rustix::io::Errno;
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The extended attributes of what stands at `path`, itself and not what it may link to.
pub fn read(path: &Path) -> io::Result<BTreeMap<ByteBuf, ByteBuf>> {
    let names = match whole(|buffer| rustix::fs::llistxattr(path, buffer)) {
        Ok(names) => names,
        // No such thing here, or not for us.
        Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => return Ok(BTreeMap::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut xattrs = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_of_the_tree(name)) {
        match whole(|buffer| rustix::fs::lgetxattr(path, name, buffer)) {
            Ok(value) => {
                xattrs.insert(ByteBuf::from(name), ByteBuf::from(value));
            }
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(xattrs)
}

fn is_of_the_tree(name: &[u8]) -> bool {
    !name.is_empty() && !Attributes::is_of_the_machine(name)
}

/// All that `read` has to give. Linux gives at most 64 KiB of names, and of a value.
fn whole(read: impl FnOnce(SpareCapacity<'_, u8>) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(XATTR_BYTES_MAX);
    read(spare_capacity(&mut bytes))?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{XattrFlags, lsetxattr};

    #[test]
    fn attributes_of_the_user_are_read_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let value = [0, 255, b'x'];
        if lsetxattr(&path, "user.comment", &value, XattrFlags::empty()) == Err(Errno::NOTSUP) {
            eprintln!("SKIPPED: the temporary directory holds no extended attributes");
            return;
        }
        lsetxattr(&path, "user.empty", b"", XattrFlags::empty()).unwrap();
        let expected = [("user.comment", &value[..]), ("user.empty", b"")];
        let expected = expected.map(|(name, value)| (ByteBuf::from(name), ByteBuf::from(value)));
        assert_eq!(read(&path).unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn marks_of_the_machine_are_left_out() {
        for name in ["security.selinux", "security.ima", "security.evm", "trusted.overlay.opaque", ""] {
            assert!(!is_of_the_tree(name.as_bytes()), "{name}");
        }
        for name in ["security.capability", "user.x", "trusted.x", "system.posix_acl_access"] {
            assert!(is_of_the_tree(name.as_bytes()), "{name}");
        }
    }
}
