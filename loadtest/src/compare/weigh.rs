//! User memory of an idle connection and of a stream: what the resident memory of a fresh process grows by,
//! divided by their number, as `hold` does it.
//!
//! Deliberately absent: the kernel's memory (sockets, their buffers), which is the same for all.

use std::time::{Duration, Instant};

use super::contender::{self, Kind, Places};
use super::rig::{Load, Rig};
use crate::memory::resident;

/// Connections that a fresh process serves first, so that what it keeps once and for all is there.
const WARM: u32 = 16;
/// Idle connections and streams.
const IDLE: u32 = 5000;
const STREAMS: u32 = 500;
/// How long all idle connections may take to have had an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes per piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weight {
    pub(super) idle_bytes: f64,
    pub(super) stream_bytes: f64,
}

/// Weighs one kind, in two processes of its own.
///
/// # Errors
/// It did not start, or something failed under load.
pub(super) fn weigh(kind: Kind, places: &Places, rig: &mut Rig) -> Result<Weight, String> {
    let gap = Some(Duration::from_millis(100));
    let idle = |connections| Load::Once { connections };
    let stream = |count| Load::Streams { count, gap };
    Ok(Weight {
        idle_bytes: growth(kind, places, rig, [idle(WARM), idle(IDLE)])?,
        stream_bytes: growth(kind, places, rig, [stream(WARM), stream(STREAMS)])?,
    })
}

fn growth(kind: Kind, places: &Places, rig: &mut Rig, loads: [Load; 2]) -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    let contender = contender::start(kind, places)?;
    let pid = contender.pid().ok_or("it has no process")?;
    let mut memory = [0; 2];
    for (load, memory) in loads.into_iter().zip(&mut memory) {
        rig.start(contender.door, load).map_err(text)?;
        let end = Instant::now() + PATIENCE;
        let mut failures = rig.run(Duration::from_secs(1)).map_err(text)?.failures;
        while matches!(load, Load::Once { .. }) && !rig.is_idle() {
            if Instant::now() >= end {
                return Err("idle connections did not all have an answer in time".to_owned());
            }
            failures.extend(rig.run(LOOK).map_err(text)?.failures);
        }
        *memory = resident(pid).map_err(text)?.all;
        failures.extend(rig.finish().map_err(text)?.failures);
        if let Some(failure) = failures.first() {
            return Err(failure.clone());
        }
    }
    let [warm, full] = memory.map(|bytes| bytes as f64);
    Ok((full - warm) / f64::from(loads[1].connections()))
}
