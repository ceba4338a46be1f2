//! Ctrl-C, SIGTERM, or a terminal that was closed, for a program without a runtime of its own that ends everything in
//! order.

use tokio::signal::unix::{SignalKind, signal};

/// Calls `act`, in a thread of its own, at the first of these signals from now on.
///
/// # Errors
/// When the system has no descriptors or threads left.
pub fn at_first(act: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let [mut interrupt, mut terminate, mut hangup] = {
        let _in_runtime = runtime.enter();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        [interrupt?, terminate?, hangup?]
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        act();
    })?;
    Ok(())
}
