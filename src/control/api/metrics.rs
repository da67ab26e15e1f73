//! The table of counters as text: Prometheus' exposition format 0.0.4.
//!
//! Deliberately absent: the table itself (`base::metrics`) and any arithmetic beyond the sum over cores.

use core::fmt::Write;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use super::health;
use crate::base::metrics::{COUNTERS, Counters};
use crate::policy::catalog::Snapshot;
use crate::policy::health::board::Board;

/// The gauge of open client connections, one sample per core.
const CONNECTIONS: &str = "millrace_client_connections";

/// Every counter summed over the cores, then the gauges, then the endpoints.
pub(super) fn text(cores: &[Arc<Counters>], snapshot: &Snapshot, board: &Board) -> String {
    let mut text = String::with_capacity(8 * 1024);
    for (counter, name, help) in COUNTERS {
        let sum = cores.iter().fold(0_u64, |sum, core| sum.wrapping_add(core.value(*counter)));
        head(&mut text, name, help, "counter");
        line(&mut text, format_args!("{name} {sum}"));
    }
    head(&mut text, CONNECTIONS, "Client connections open now.", "gauge");
    for (core, counters) in cores.iter().enumerate() {
        let open = counters.connections.load(Ordering::Relaxed);
        line(&mut text, format_args!("{CONNECTIONS}{{core=\"{core}\"}} {open}"));
    }
    health::write(&mut text, snapshot, board);
    text
}

pub(super) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // The format gives backslash and line feed a meaning in help texts.
    let help = help.trim().replace('\\', "\\\\").replace('\n', "\\n");
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {kind}"));
}

pub(super) fn line(text: &mut String, line: core::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}
