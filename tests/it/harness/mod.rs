//! What every test needs: the proxy as a process, origins that follow a script, clients that send raw bytes.
//!
//! All waits are bounded, and nothing waits for a time that only happens to be long enough: `until` polls a
//! condition.

mod answer;
mod client;
mod openai;
mod origin;
mod proxy;
mod tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use answer::{Answer, End, parse_all};
pub(crate) use client::Client;
pub(crate) use openai::{
    CHAT, EVENTS_HEAD, chat, chunk, chunked, delta_event, digest, document, document_answer, event_stream,
    message, models, number_between, post, provider, provider_at, text_of, tls_provider,
};
pub(crate) use origin::{Blackhole, Origin, Peer, Refusing, Seen, UnixOrigin};
pub(crate) use proxy::Proxy;
pub(crate) use tls::Identity;

/// The longest that anything here may take. A wait that comes to this is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test for each kernel interface that can be had here.
pub(crate) fn each_driver(test: impl Fn(&'static str)) {
    static URING: OnceLock<bool> = OnceLock::new();
    let uring = *URING.get_or_init(|| millrace::io::probe(millrace::io::DriverChoice::Uring).is_ok());
    if uring {
        test("uring");
        test("monoio");
    } else {
        println!("skipped for io_uring, which the kernel does not allow here");
    }
    test("epoll");
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < give_up, "waited {PATIENCE:?} in vain: {what}");
        // paced: the condition belongs to another process, which tells nobody when it changes.
        thread::sleep(Duration::from_millis(2));
    }
}

/// Gives the peer time to read what was sent, so that the next bytes come to it in a read of their own.
/// Nothing depends on it: whether it reads once or twice, the outcome must be the same.
pub(crate) fn let_read() {
    // paced: there is no event at the peer to wait for.
    thread::sleep(Duration::from_micros(300));
}

/// A small generator of random words (splitmix64): a failing seed is printed and can be run again.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The seed of this run: `MILLRACE_SEED`, or the time.
    pub(crate) fn seed() -> u64 {
        let given = std::env::var("MILLRACE_SEED").ok().and_then(|text| text.parse().ok());
        given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |since| since.as_nanos() as u64)
        })
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A folder that goes away with its owner.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-it-{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("a folder for the test's files can be made");
        Self(path)
    }

    /// Writes a file and returns where.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("the test's folder can be written");
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left behind harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
