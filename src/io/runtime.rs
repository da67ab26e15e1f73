//! Which driver works on this machine, and running a core on it.
//!
//! io_uring is first choice. Containers often forbid it (the default seccomp profiles do), so the same binary
//! falls back to epoll. The ring flags matter: with them a bare proxy spends a quarter less CPU than with the
//! defaults.
//!
//! Deliberately absent: how many cores there are and what runs on them (`app`, `worker`).

use std::future::Future;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use super::descriptor::Descriptor;
use super::ring::{Arrival, Done, Ring};
use super::{clock, process};
use crate::base::span::Span;
use crate::wire::parcel::{Parcel, Piece};
use crate::wire::spares::Spares;

/// Entries of the submission queue. A full one is flushed, so this bounds a batch, not the operations in
/// flight.
const SUBMISSIONS: u32 = 1024;
/// Sizes of the completion queue to try, largest first: 16 bytes per entry. An overflowing queue makes the
/// runtime spin, so it is as large as one completion per busy socket; the small one is for a tight
/// `RLIMIT_MEMLOCK`.
const COMPLETIONS: [u32; 2] = [32 * 1024, 4 * 1024];

/// What carries a core's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring, our own ring: armed receives with buffers of the kernel's choice (Linux 6.1).
    Uring,
    /// io_uring through monoio: one operation per receive (Linux 5.11).
    Monoio,
    /// epoll and plain system calls, through monoio.
    Epoll,
}

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// The first of the others that works.
    #[default]
    Auto,
    /// Our own ring or nothing.
    Uring,
    /// monoio's ring or nothing.
    Monoio,
    /// epoll.
    Epoll,
}

/// Finds out which driver to use by setting up a ring and running real operations on it.
///
/// # Errors
/// Only where a ring was asked for: why there is none here, and what to do.
pub fn probe(choice: DriverChoice) -> Result<Driver, String> {
    match choice {
        DriverChoice::Epoll => Ok(Driver::Epoll),
        DriverChoice::Uring => try_ring(own_ring).map(|()| Driver::Uring).map_err(|error| explain(&error)),
        DriverChoice::Monoio => {
            try_ring(monoio_ring).map(|()| Driver::Monoio).map_err(|error| explain(&error))
        }
        DriverChoice::Auto if try_ring(own_ring).is_ok() => Ok(Driver::Uring),
        DriverChoice::Auto if try_ring(monoio_ring).is_ok() => Ok(Driver::Monoio),
        DriverChoice::Auto => Ok(Driver::Epoll),
    }
}

/// Pins the calling thread to the `core`-th CPU the process may use. A refusal is ignored: the thread then
/// runs where the kernel puts it.
pub fn pin_to_core(core: usize) {
    let _unpinned_is_slower_not_wrong = process::pin(core);
}

/// Runs `main` on monoio on the calling thread, which should be fresh: it is pinned as by [`pin_to_core`] and
/// the ring belongs to it alone. Returns when the future of `main` is done; tasks that are still waiting then
/// are abandoned with their sockets, so `main` should end them first.
///
/// # Errors
/// The driver could not be set up.
pub fn run_on_core<F: Future>(
    driver: Driver,
    core: usize,
    main: impl FnOnce() -> F,
) -> io::Result<F::Output> {
    pin_to_core(core);
    // `main` is called inside, so that it may open sockets before its first wait.
    match driver {
        // Our own ring is driven by the worker; a future needs monoio's.
        Driver::Uring | Driver::Monoio => Ok(ring()?.block_on(async { main().await })),
        Driver::Epoll => {
            let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(SUBMISSIONS);
            Ok(builder.enable_timer().build()?.block_on(async { main().await }))
        }
    }
}

/// Lets every other task that is ready run, and the driver reap completions, before the caller goes on.
/// Waking oneself would not do: this runtime puts such a task in front of the queue.
pub async fn give_way() {
    monoio::spawn(async {}).await;
}

/// A runtime on a ring with our flags; flag by flag fewer where the kernel is older.
///
/// `COOP_TASKRUN` (5.19) spares the interrupt that otherwise announces a completion to a running thread,
/// `TASKRUN_FLAG` (5.19) tells user space that there is work, `SINGLE_ISSUER` (6.0) drops locking.
fn ring() -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    let mut refused = io::Error::from(io::ErrorKind::Unsupported);
    for completions in COMPLETIONS {
        for flags in (0..=2).rev() {
            let mut ring = io_uring::IoUring::builder();
            ring.setup_cqsize(completions).setup_clamp();
            if flags >= 1 {
                ring.setup_coop_taskrun().setup_taskrun_flag();
            }
            if flags >= 2 {
                ring.setup_single_issuer();
            }
            let builder =
                RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).with_entries(SUBMISSIONS);
            match builder.enable_timer().build() {
                Ok(runtime) => return Ok(runtime),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOMEM)) => {
                    refused = error
                }
                Err(error) => return Err(error),
            }
        }
    }
    Err(refused)
}

/// Sets a ring up on a thread of its own and moves bytes with it: some sandboxes let the setup pass and
/// refuse the operations.
fn try_ring(attempt: fn(UnixStream, UnixStream) -> io::Result<()>) -> io::Result<()> {
    let attempt = move || {
        let (near, far) = UnixStream::pair()?;
        attempt(near, far)
    };
    let thread = std::thread::Builder::new().name("ring-probe".into()).spawn(attempt)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the ring refused an operation")))
}

fn monoio_ring(mut near: UnixStream, far: UnixStream) -> io::Result<()> {
    near.write_all(b"!")?;
    ring()?.block_on(async move {
        let far = Descriptor::for_transfer(OwnedFd::from(far))?;
        far.readable().await?;
        let (count, _) = far.read(vec![0; 8]).await;
        let (echoed, _) = far.write(vec![0; 8]).await;
        if count? == 1 && echoed? == 8 { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
    })
}

/// Everything a worker asks of the kernel: an armed receive that stays armed, a send, a silent one, a poll
/// and an alarm.
fn own_ring(mut near: UnixStream, far: UnixStream) -> io::Result<()> {
    let (mut ring, mut spares) = (Ring::new()?, Spares::default());
    near.write_all(b"!")?;
    ring.poll(&far, libc::POLLIN, 0);
    ring.receive(&far, 1);
    ring.send(&far, 2, vec![0; 8]);
    let parcel = Parcel { own: vec![0], pieces: vec![Piece::Own(Span::new(0, 1))], ..Parcel::default() };
    ring.send_parcel(&far, 3, parcel, true);
    ring.wake_by(clock::now() + Duration::from_secs(1));
    let (mut ready, mut received, mut sent, mut silent) = (false, false, false, false);
    while !(ready && received && sent && silent) {
        ring.wait()?;
        while let Some(done) = ring.next(&mut spares) {
            match done {
                Done::Ready { .. } => ready = true,
                Done::Received { got, armed, .. } => {
                    received = armed && matches!(got, Arrival::Bytes(lent) if lent.filled == 1);
                    if !received {
                        return Err(io::ErrorKind::Unsupported.into());
                    }
                }
                Done::Sent { token: 2, ok: true, .. } => sent = true,
                Done::Sent { token: 3, ok: true, silent: true, .. } => silent = true,
                // The alarm: what works takes microseconds.
                Done::Sent { .. } | Done::Filled { .. } | Done::Nothing => {
                    return Err(io::ErrorKind::Unsupported.into());
                }
            }
        }
    }
    Ok(())
}

fn explain(error: &io::Error) -> String {
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "it is forbidden here: allow the io_uring system calls in the container's seccomp profile and \
             set kernel.io_uring_disabled=0"
        }
        Some(libc::ENOSYS) => "this kernel has none: Linux 5.11 or newer is needed",
        Some(libc::EINVAL) => "this kernel's is too old: Linux 5.11 or newer is needed",
        Some(libc::ENOMEM) => "its memory limit is too low: raise RLIMIT_MEMLOCK (ulimit -l)",
        Some(libc::EMFILE | libc::ENFILE) => "there are no descriptors left: raise RLIMIT_NOFILE (ulimit -n)",
        _ => "the kernel refused it",
    };
    format!("io_uring is not available ({error}); {remedy}, or choose the epoll driver")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_epoll_is_kept_and_auto_never_fails() {
        assert_eq!(probe(DriverChoice::Epoll), Ok(Driver::Epoll));
        let auto = probe(DriverChoice::Auto).unwrap();
        assert_eq!(probe(DriverChoice::Uring).is_ok(), auto == Driver::Uring);
        assert!(auto != Driver::Epoll || probe(DriverChoice::Monoio).is_err());
    }

    #[test]
    fn every_refusal_names_a_remedy() {
        let check = |code: i32, expected: &str| {
            let text = explain(&io::Error::from_raw_os_error(code));
            assert!(text.contains(expected) && text.contains("epoll"), "{text}");
        };
        check(libc::EPERM, "seccomp");
        check(libc::ENOSYS, "Linux 5.11");
        check(libc::EINVAL, "too old");
        check(libc::ENOMEM, "MEMLOCK");
        check(libc::EMFILE, "NOFILE");
        check(libc::EIO, "refused");
    }
}
