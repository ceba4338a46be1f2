//! What the device has already: chunks of the new release that an older tree holds, copied over.

use super::staging::{Staging, WriteError};
use super::tree::Tree;
use protocol::bitmap::Bitmap;
use protocol::content::plan::{self, Reuse};
use std::ops::ControlFlow;

/// Copies into `staging` the chunks that `old` holds and `have` lacks, in the order of the old tree,
/// and adds them to `have`. Each is verified: one that a person changed is left to be fetched.
///
/// `progress` gets the bytes of each chunk looked at, and may stop the copying. What was copied is
/// durable only after [`Staging::sync`].
///
/// # Errors
/// [`WriteError`] from the staging tree; trouble with the old tree only costs its chunks.
pub fn reuse(
    old: &mut Tree,
    staging: &mut Staging,
    have: &mut Bitmap,
    mut progress: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<(), WriteError> {
    let (old_release, new_release) = (old.release().clone(), staging.release().clone());
    for Reuse { chunk: index, place } in plan::reuse(&old_release, &new_release) {
        if have.contains(index) {
            continue;
        }
        let wanted = new_release.chunks()[index as usize];
        if let Ok(chunk) = old.read_at(place, wanted) {
            staging.write(index, &chunk)?;
            have.insert(index);
        }
        if progress(wanted.bytes).is_break() {
            break;
        }
    }
    Ok(())
}
