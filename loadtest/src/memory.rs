//! Memory of a process, as Linux tells it in `/proc/PID/status`.
//!
//! Deliberately absent: kernel memory (socket buffers, ring entries). It is not in these figures.

use std::fs;
use std::io;

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resident {
    /// `VmRSS`: everything resident.
    pub(crate) all: u64,
    /// `RssAnon`: the part that no file backs, which is heap and stacks.
    pub(crate) anonymous: u64,
}

/// The resident memory of process `pid`.
///
/// # Errors
/// There is no such process, or it may not be read.
pub(crate) fn resident(pid: u32) -> io::Result<Resident> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no VmRSS: the process has ended"))
}

fn parse(text: &str) -> Option<Resident> {
    Some(Resident { all: row(text, "VmRSS:")?, anonymous: row(text, "RssAnon:")? })
}

fn row(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let text = "Name:\tx\nVmHWM:\t  9000 kB\nVmRSS:\t    8120 kB\nRssAnon:\t    2048 kB\n";
        assert_eq!(parse(text), Some(Resident { all: 8120 * 1024, anonymous: 2048 * 1024 }));
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\n"), None);
        assert_eq!(parse("VmRSS:\t12 MB\nRssAnon:\t1 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let own = resident(std::process::id()).expect("our own status");
        assert!(own.all >= own.anonymous && own.anonymous > 0);
    }
}
