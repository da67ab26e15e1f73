//! `floor`: a raw relay on io_uring. It shows what the kernel's TCP work alone costs on this machine, so
//! that a proxy's own share can be told.
//!
//! Multishot receives into provided buffers, sends from the same buffers, one thread, one connection to the
//! target for each client. Deliberately absent: any understanding of the bytes.

mod relay;
pub(crate) mod ring;

use core::net::SocketAddr;
use std::io::{self, Write};
use std::net::TcpListener;

use clap::Args;

use relay::Relay;

/// What the line that `floor` prints begins with; the address follows.
pub(crate) const ANNOUNCEMENT: &str = "floor listening on http://";

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Options of `floor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where everything is relayed to
    #[arg(long, value_name = "ADDR")]
    target: SocketAddr,
    /// CPU to run on; without it the kernel chooses
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
}

/// Relays until the process is ended.
///
/// # Errors
/// The address is taken, the CPU does not exist, or there is no io_uring of Linux 6.1 or newer.
pub(crate) fn floor(options: &Options) -> Result<u64, String> {
    if let Some(cpu) = options.cpu {
        pin(cpu)?;
    }
    crate::raise_descriptor_limit(0)?;
    let listener = TcpListener::bind(options.listen)
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    // Clients come in hundreds at once; a full queue would delay them by a second.
    rustix::net::listen(&listener, BACKLOG).map_err(|error| format!("cannot listen: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let mut relay = Relay::new(listener, options.target)
        .map_err(|error| format!("io_uring of Linux 6.1 or newer is needed: {error}"))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{ANNOUNCEMENT}{address}")
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    relay.run(None, || false).map_err(|error| format!("the ring failed: {error}"))?;
    Ok(0)
}

/// Lets the calling thread, and every process it starts from now on, run on one CPU only.
///
/// # Errors
/// There is no such CPU, or it may not be used.
pub(crate) fn pin(cpu: usize) -> Result<(), String> {
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        return Err(format!("there is no CPU {cpu}"));
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| format!("cannot run on CPU {cpu}: {error}"))
}

#[cfg(test)]
mod tests;

/// True where rings are forbidden (containers) or too old: what needs one is then not tested, and says so.
#[cfg(test)]
pub(crate) fn ring_is_absent() -> bool {
    let absent = ring::Ring::new(8, 64).is_err();
    if absent {
        eprintln!("not tested: no io_uring of Linux 6.1 or newer here");
    }
    absent
}
