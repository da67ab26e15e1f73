//! Files that are replaced while the process runs: certificates and their keys.
//!
//! They are looked at once a second instead of through inotify: replacing by rename, by symbolic link (as
//! Kubernetes mounts secrets) and over a network file system all look the same this way.
//! Deliberately absent: reading the files and judging what is in them; the callback does that.

use core::time::Duration;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::time::MissedTickBehavior;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// What tells two versions of a file apart without reading it. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Last modification: seconds and nanoseconds since the Unix epoch.
    modified: (i64, i64),
    /// Bytes.
    size: u64,
    /// Device and inode.
    file: (u64, u64),
}

impl Stamp {
    /// The stamp of a file; `None` when it cannot be looked at. Blocks on the file system.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.len(),
            file: (metadata.dev(), metadata.ino()),
        })
    }
}

/// Device and inode of a file: which one it is, whatever is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// Of the file at `path`; `None` when it cannot be looked at. Blocks on the file system.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self(metadata.dev(), metadata.ino()))
    }
}

/// The stamps of all files. Blocks on the file system.
#[must_use]
pub fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}

/// Calls `changed` after any of the files was replaced or rewritten, once per change of the whole set. Never
/// returns; drop it to stop.
///
/// `changed` is called when all files exist and have stayed the same for two looks, so that a certificate
/// and its key that are replaced one after the other count as one change, and a file that is missing
/// meanwhile as none. `known` is what they were when they were last read: taken with [`stamps`] before the
/// reading, so that a change in between is not missed.
pub async fn watch(paths: Vec<PathBuf>, mut known: Vec<Option<Stamp>>, mut changed: impl FnMut()) {
    let mut before = known.clone();
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    period.tick().await;
    loop {
        period.tick().await;
        let now = look(&paths).await;
        let settled = now == before && now.iter().all(Option::is_some);
        if settled && now != known {
            known.clone_from(&now);
            changed();
        }
        before = now;
    }
}

/// The stamps of all files, read where blocking is allowed. A look that could not be finished counts as
/// missing files.
async fn look(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let missing = vec![None; paths.len()];
    let paths = paths.to_vec();
    tokio::task::spawn_blocking(move || stamps(&paths)).await.unwrap_or(missing)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use super::*;

    /// A directory of its own under the system's, removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("millrace-watch-{}-{number}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }

        /// Replaces a file in one step, as careful writers do.
        fn replace(&self, name: &str, text: &str) {
            fs::rename(self.write("new", text), self.0.join(name)).unwrap();
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    struct Watched {
        directory: Directory,
        calls: Arc<AtomicUsize>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    impl Watched {
        async fn new() -> Self {
            let directory = Directory::new();
            let paths = vec![directory.write("cert", "cert 1"), directory.write("key", "key 1")];
            let calls = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&calls);
            let known = stamps(&paths);
            let task = tokio::spawn(watch(paths, known, move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }));
            let watched = Self { directory, calls, task };
            // Half a period out of step, so that no file is replaced while it is being looked at.
            tokio::time::sleep(PERIOD / 2).await;
            assert_eq!(watched.calls_after(3).await, 0, "nothing has changed yet");
            watched
        }

        /// Lets seconds of the paused clock pass.
        async fn calls_after(&self, seconds: u64) -> usize {
            for _ in 0..seconds {
                tokio::time::sleep(PERIOD).await;
            }
            self.calls.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replaced_pair_is_one_change() {
        let watched = Watched::new().await;
        watched.directory.replace("cert", "cert 2");
        assert_eq!(watched.calls_after(1).await, 0, "not settled yet");
        watched.directory.replace("key", "key 2");
        assert_eq!(watched.calls_after(4).await, 1);
        assert_eq!(watched.calls_after(10).await, 1, "and then there is peace");
    }

    #[tokio::test(start_paused = true)]
    async fn every_way_of_replacing_counts() {
        let watched = Watched::new().await;
        watched.directory.write("cert", "written over, longer");
        assert_eq!(watched.calls_after(4).await, 1);
        watched.directory.replace("key", "key 2");
        assert_eq!(watched.calls_after(4).await, 2, "same size, another inode");
        let target = watched.directory.write("target", "linked");
        fs::remove_file(watched.directory.0.join("cert")).unwrap();
        std::os::unix::fs::symlink(target, watched.directory.0.join("cert")).unwrap();
        assert_eq!(watched.calls_after(4).await, 3);
        watched.directory.replace("target", "another target");
        assert_eq!(watched.calls_after(4).await, 4, "the link stayed, its target did not");
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_file_is_waited_for() {
        let watched = Watched::new().await;
        let cert = watched.directory.0.join("cert");
        let aside = watched.directory.0.join("aside");
        fs::rename(&cert, &aside).unwrap();
        assert_eq!(watched.calls_after(5).await, 0);
        fs::rename(&aside, &cert).unwrap();
        assert_eq!(watched.calls_after(5).await, 0, "it came back as it was");
        fs::remove_file(&cert).unwrap();
        assert_eq!(watched.calls_after(5).await, 0);
        watched.directory.replace("cert", "cert 2 with more");
        assert_eq!(watched.calls_after(5).await, 1);
    }
}
