//! `hold` against the real router, and against peers that lie: a check that never fails checks nothing.
//!
//! Deliberately absent: full-size runs; those are made by hand on a release build.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A running router; ended when dropped.
struct Router {
    child: Child,
    address: String,
    data: PathBuf,
}

impl Router {
    fn start() -> Self {
        static STARTS: AtomicU32 = AtomicU32::new(0);
        let number = STARTS.fetch_add(1, Ordering::Relaxed);
        let data = env::temp_dir().join(format!("millrace-hold-{}-{number}", std::process::id()));
        let mut child = Command::new(router_binary())
            .args(["--listen", "127.0.0.1:0", "--cores", "1", "--data-dir"])
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the router starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let listening = |line: String| line.strip_prefix("listening on http://").map(str::to_owned);
        let line = out.lines().map_while(Result::ok).find_map(listening).expect("the router listens");
        let address = line.split(' ').next().expect("an address").to_owned();
        Self { child, address, data }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// The router beside this test's own binary; built if it is not there yet.
fn router_binary() -> PathBuf {
    let own = env::current_exe().expect("our own path");
    let folder = own.parent().and_then(Path::parent).expect("deps/ inside a profile's folder");
    let binary = folder.join("millrace");
    if !binary.exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(root).args(["build", "--bin", "millrace", "--target-dir"]);
        build.arg(folder.parent().expect("the target folder"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success());
    }
    binary
}

fn hold(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace-loadtest"))
        .arg("hold")
        .args(arguments)
        .output()
        .expect("the load generator runs")
}

#[test]
fn a_small_hold_of_the_real_router_passes() {
    let router = Router::start();
    let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hold-{}.json", std::process::id()));
    let (pid, file) = (router.child.id().to_string(), json.display().to_string());
    let output = hold(&[
        "--target",
        &router.address,
        "--idle",
        "10",
        "--streams",
        "5",
        "--seconds",
        "0.3",
        "--gap-ms",
        "20",
        "--pid",
        &pid,
        "--json",
        &file,
    ]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
    for row in ["failures                0\n", "per idle connection", "per stream", "gap between words"] {
        assert!(table.contains(row), "{row} in {table}");
    }
    let figures = fs::read_to_string(&json).expect("the figures were written");
    fs::remove_file(&json).expect("the file is ours");
    // 300 ms and one gap of 20 ms for the starts are 17 words; with role, finish and [DONE] 20 events,
    // 5 times.
    for member in ["\"failed\": 0,", "\"failures\": {},", "\"words\": 17,", "\"events\": 100,"] {
        assert!(figures.contains(member), "{member} in {figures}");
    }
    assert!(!figures.contains("null"), "everything was measured: {figures}");
}

/// How a peer deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// Leaves out the third word.
    WordLost,
    /// Sends the third word twice.
    WordTwice,
    NoDone,
    /// Closes behind `[DONE]`, without the terminal chunk.
    NoTerminalChunk,
    /// Closes the idle connection.
    IdleClosed,
    /// Speaks on an idle connection.
    IdleSpoken,
    Status,
}

#[test]
fn every_lie_is_caught() {
    for (lie, want) in [
        (Lie::None, "failures                0\n"),
        (Lie::WordLost, "1 × stream: answer: a word is missing\n"),
        (Lie::WordTwice, "1 × stream: answer: a word came twice or late\n"),
        (Lie::NoDone, "1 × stream: answer: no [DONE]\n"),
        (Lie::NoTerminalChunk, "1 × stream: closed by the peer: before the terminal chunk\n"),
        (Lie::IdleClosed, "1 × idle, second request: closed by the peer: while idle\n"),
        (Lie::IdleSpoken, "1 × idle, second request: HTTP: bytes without a request\n"),
        (Lie::Status, "1 × stream: status 503\n"),
    ] {
        let target = start_peer(lie).to_string();
        let output = hold(&[
            "--target",
            &target,
            "--idle",
            "1",
            "--streams",
            "1",
            "--seconds",
            "0.05",
            "--gap-ms",
            "10",
        ]);
        let table = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), lie == Lie::None, "{lie:?}: {table}");
        assert!(table.contains(want), "{lie:?}: {table}");
    }
}

#[test]
fn nobody_there_is_a_failure() {
    // Bound and not listening: connecting is refused, and nobody else gets the port.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let target = held.local_addr().expect("its address").to_string();
    let output = hold(&["--target", &target, "--idle", "3", "--streams", "2", "--seconds", "0.01"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(table.contains("3 × idle, first request: connect: "), "{table}");
    assert!(table.contains("2 × stream: connect: "), "{table}");
}

/// The idle connection of a peer, kept by the thread that serves it for the one that serves the stream.
type Idle = Arc<Mutex<Option<TcpStream>>>;

/// A peer on threads of its own, which end with the test's process.
fn start_peer(lie: Lie) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let idle = Idle::default();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let idle = Arc::clone(&idle);
            // The client's side of a broken connection is what is tested.
            thread::spawn(move || drop(serve(stream, &idle, lie)));
        }
    });
    address
}

fn serve(mut stream: TcpStream, idle: &Idle, lie: Lie) -> io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 2048];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..count]);
        if request.starts_with(b"GET /healthz ") && request.ends_with(b"\r\n\r\n") {
            request.clear();
            *idle.lock().expect("no thread panics with it") = Some(stream.try_clone()?);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        } else if request.starts_with(b"POST /v1/chat/completions ") && request.ends_with(b"}}") {
            request.clear();
            disturb(idle, lie)?;
            if !answer(&mut stream, lie)? {
                return Ok(());
            }
        }
    }
}

/// What happens to the idle connection while the stream runs: surely behind its first answer and before its
/// second request.
fn disturb(idle: &Idle, lie: Lie) -> io::Result<()> {
    let mut idle = idle.lock().expect("no thread panics with it");
    match (lie, idle.as_mut()) {
        (Lie::IdleClosed, Some(idle)) => idle.shutdown(Shutdown::Both),
        (Lie::IdleSpoken, Some(idle)) => {
            idle.write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        }
        _ => Ok(()),
    }
}

/// Answers with the seven words that the options above lead to; false when the connection is to end.
fn answer(stream: &mut TcpStream, lie: Lie) -> io::Result<bool> {
    if lie == Lie::Status {
        stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(true);
    }
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let mut event = |data: &str| {
        let event = format!("data: {data}\n\n");
        text.push_str(&format!("{:x}\r\n{event}\r\n", event.len()));
    };
    for number in 1..=7 {
        let times = match (lie, number) {
            (Lie::WordLost, 3) => 0,
            (Lie::WordTwice, 3) => 2,
            _ => 1,
        };
        let space = if number == 1 { "" } else { " " };
        for _ in 0..times {
            event(&format!(
                "{{\"choices\":[{{\"delta\":{{\"content\":\"{space}word-{number}\"}},\
                 \"finish_reason\":null}}]}}"
            ));
        }
    }
    event("{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}");
    if lie != Lie::NoDone {
        event("[DONE]");
    }
    if lie != Lie::NoTerminalChunk {
        text.push_str("0\r\n\r\n");
    }
    stream.write_all(text.as_bytes())?;
    Ok(lie != Lie::NoTerminalChunk)
}
