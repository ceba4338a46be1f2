//! What the device has already: chunks of the new release that an older tree holds, copied over.

use super::staging::{Staging, WriteError};
use super::tree::Tree;
use protocol::bitmap::Bitmap;
use protocol::content::plan::{self, Reuse};

/// What is copied is made durable in batches of this many bytes, so that a kill costs little.
const BATCH_BYTES: u64 = 64 * 1024 * 1024;

/// Copies into `staging` the chunks that `old` holds and `have` lacks, in the order of the old tree,
/// and adds them to `have`. Each is verified: one that a person changed, or that was never fetched, is
/// left to be fetched. Whenever all of `have` is durable, `durable` is told.
///
/// # Errors
/// [`WriteError`] from the staging tree, and what `durable` fails with; trouble with the old tree only
/// costs its chunks.
pub fn reuse<E: From<WriteError>>(
    old: &mut Tree,
    staging: &mut Staging,
    have: &mut Bitmap,
    mut durable: impl FnMut(&Bitmap) -> Result<(), E>,
) -> Result<(), E> {
    let (old_release, new_release) = (old.release().clone(), staging.release().clone());
    let mut copied_bytes = 0;
    for Reuse { chunk: index, place } in plan::reuse(&old_release, &new_release) {
        if have.contains(index) {
            continue;
        }
        let wanted = new_release.chunks()[index as usize];
        let Ok(chunk) = old.read_at(place, wanted) else { continue };
        staging.write(index, &chunk)?;
        have.insert(index);
        copied_bytes += u64::from(wanted.bytes);
        if copied_bytes >= BATCH_BYTES {
            staging.sync()?;
            durable(have)?;
            copied_bytes = 0;
        }
    }
    if copied_bytes > 0 {
        staging.sync()?;
        durable(have)?;
    }
    Ok(())
}
