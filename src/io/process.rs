//! What is set once per process: descriptor limit, no memory dumps, and which CPUs we may run on.
//!
//! Deliberately absent: signals and the order of start and stop (`app`).
#![allow(unsafe_code, reason = "rlimits, prctl and affinity have no face in std")]

use std::io;

/// Raises the soft limit of open descriptors to the hard one and returns it. A router holds two sockets per
/// stream, and the usual soft limit of 1,024 is for programs that use `select(2)`.
///
/// # Errors
/// What `getrlimit(2)` or `setrlimit(2)` says.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and writable during the call. std has no call for limits.
    done(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is live and initialised during the call, which only reads it.
        done(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// Makes core dumps and `ptrace` by unprivileged processes impossible: this memory holds provider keys and
/// prompts.
///
/// # Errors
/// What `setrlimit(2)` or `prctl(2)` says.
pub fn forbid_dumps() -> io::Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is live and initialised during the call, which only reads it.
    done(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })?;
    // SAFETY: PR_SET_DUMPABLE takes one integer and touches no memory of ours.
    done(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

/// Has memory backed by small pages only. With huge ones every idle connection costs about 2 KiB more,
/// because the allocator's free stretches stay resident; the tables of a router are too small to gain from
/// them.
///
/// # Errors
/// What `prctl(2)` says.
pub fn use_small_pages() -> io::Result<()> {
    // SAFETY: PR_SET_THP_DISABLE takes one integer and touches no memory of ours.
    done(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) })
}

/// How many CPUs this process may run on (cpuset and affinity respected); at least 1.
#[must_use]
pub fn cores_allowed() -> usize {
    allowed_cpus().len().max(1)
}

/// The CPUs the calling thread may run on, ascending; empty when the kernel does not say.
pub(super) fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = affinity() else {
        return (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
    };
    // SAFETY: CPU_ISSET reads one bit of `set`, and every index is below CPU_SETSIZE, the number of bits it
    // has.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Binds the calling thread to the `core`-th CPU it may run on.
///
/// # Errors
/// No such CPU, or what `sched_setaffinity(2)` says.
pub(super) fn pin(core: usize) -> io::Result<()> {
    let cpu = *allowed_cpus().get(core).ok_or(io::ErrorKind::NotFound)?;
    // SAFETY: a cpu_set_t is an array of integers, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` came out of `allowed_cpus`, so it is below CPU_SETSIZE; `set` is live and initialised.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the size is that of `set`, which is live and only read; 0 means the calling thread.
    done(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

fn affinity() -> io::Result<libc::cpu_set_t> {
    // SAFETY: a cpu_set_t is an array of integers, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the size is that of `set`, which is live and writable; 0 means the calling thread.
    done(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    Ok(set)
}

fn done(status: libc::c_int) -> io::Result<()> {
    if status == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_raised_and_stays() {
        let first = raise_descriptor_limit().unwrap();
        assert!(first >= 64);
        assert_eq!(raise_descriptor_limit().unwrap(), first);
    }

    #[test]
    fn a_pinned_thread_runs_on_one_cpu() {
        let all = allowed_cpus();
        assert_eq!(all.len(), cores_allowed());
        let last = all.len() - 1;
        let pinned = std::thread::spawn(move || pin(last).map(|()| allowed_cpus())).join().unwrap().unwrap();
        assert_eq!(pinned, [all[last]]);
        assert_eq!(pin(all.len()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// In a process of its own: the setting would take `/proc/self` away from the other tests.
    #[test]
    fn dumps_are_forbidden() {
        const CHILD: &str = "MILLRACE_TEST_DUMPS_CHILD";
        if std::env::var_os(CHILD).is_some() {
            forbid_dumps().unwrap();
            // SAFETY: PR_GET_DUMPABLE takes no argument and touches no memory of ours.
            assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
            return;
        }
        let name = "io::process::tests::dumps_are_forbidden";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && text.contains("1 passed"), "{text}");
    }
}
