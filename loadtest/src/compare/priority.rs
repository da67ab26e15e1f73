//! Real-time priority for clients, origin and contenders.
//!
//! Without it anything else that runs, a build or a monitor, takes their cores for milliseconds at a time,
//! and every percentile above the median shows the scheduler's slices instead of the contender. Children
//! inherit it. Deliberately absent: pinning, which is `floor::pin`.

use std::process::{Command, Stdio};

use super::contender::installed;

/// Runs this process, and every one it starts from now on, before all ordinary ones: `SCHED_RR`, so that a
/// contender's own threads still take turns.
///
/// # Errors
/// Why not: it takes root or `CAP_SYS_NICE`, and `chrt` of util-linux.
pub(super) fn raise() -> Result<(), String> {
    let chrt = installed("chrt").ok_or("chrt is not installed")?;
    let own = std::process::id().to_string();
    let output = Command::new(chrt)
        .args(["--rr", "--pid", "1", &own])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("chrt did not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
