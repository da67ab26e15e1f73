//! Every scenario file, run for about a second against `origin` itself, so that none can rot; and answers
//! that are wrong on purpose, because a check that never fails checks nothing.
//!
//! Deliberately absent: figures to be reached; those belong to quiet machines.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A running fleet; ended when dropped, and by itself after a minute.
struct Origin {
    child: Child,
    targets: Vec<String>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
    }
}

fn loadtest() -> Command {
    Command::new(env!("CARGO_BIN_EXE_millrace-loadtest"))
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scenarios-{}-{name}", std::process::id()))
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"))
}

fn start(scenario: &Path, members: usize, certificate: &Path) -> Origin {
    let mut child = loadtest()
        .args(["origin", "--seconds", "60", "--scenario"])
        .arg(scenario)
        .arg("--certificate")
        .arg(certificate)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the fleet starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let listening = |line: String| line.strip_prefix("origin listening on ").map(str::to_owned);
    let targets: Vec<String> =
        out.lines().map_while(Result::ok).filter_map(listening).take(members).collect();
    let origin = Origin { child, targets };
    assert_eq!(origin.targets.len(), members, "every member listens");
    origin
}

/// Runs the client against a fleet of its own; its output and its figures.
fn run(name: &str, scenario: &Path, members: usize, arguments: &[&str]) -> (Output, Value) {
    let (json, certificate) = (scratch(&format!("{name}.json")), scratch(&format!("{name}.pem")));
    let origin = start(scenario, members, &certificate);
    let mut client = loadtest();
    client.args(["client", "--quiet", "--scenario"]).arg(scenario).arg("--json").arg(&json);
    client.arg("--certificate").arg(&certificate).args(arguments);
    for target in &origin.targets {
        client.args(["--target", target]);
    }
    let output = client.output().expect("the client runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let figures = fs::read_to_string(&json).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    let _ = (fs::remove_file(&json), fs::remove_file(&certificate));
    (output, serde_json::from_str(&figures).expect("JSON"))
}

/// Runs a shipped scenario, which must be without failures and bring at least these answers and events.
#[track_caller]
fn check(name: &str, arguments: &[&str], answers: u64, events: u64) -> Value {
    let members = if name == "failover" { 2 } else { 1 };
    let (output, figures) = run(name, &shipped(name), members, &[&["--seconds", "1"], arguments].concat());
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name}: {table}{}", String::from_utf8_lossy(&output.stderr));
    let number = |member: &str| figures[member].as_u64().unwrap_or_else(|| panic!("{member} in {figures}"));
    assert_eq!((number("failed"), number("not_sent")), (0, 0), "{table}");
    assert!(number("ok") >= answers, "{name}: {} answers of {answers}: {table}", number("ok"));
    assert!(number("events") >= events, "{name}: {} events of {events}: {table}", number("events"));
    assert!(table.contains("one way, origin to here"), "{table}");
    figures
}

#[test]
fn every_shipped_file_is_tested_here() {
    let folder = shipped("x").parent().expect("a folder").to_owned();
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the scenarios")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let tested = ["burst", "chat-large", "chat", "failover", "many-idle", "slow-reader", "stream", "tls"];
    assert_eq!(names, tested.map(|name| format!("{name}.toml")));
}

#[test]
fn chat() {
    let figures = check("chat", &[], 50, 50);
    assert!(figures["latency_us"]["raw"]["p99"].as_f64() > Some(0.0), "{figures}");
    assert!(figures["latency_us"]["corrected"].is_null(), "a closed loop means no time: {figures}");
}

#[test]
fn chat_large() {
    check("chat-large", &[], 5, 5);
}

#[test]
fn stream() {
    // 200 streams of 100 events a second each; a busy machine may bring fewer in time, none may bring more.
    let figures = check("stream", &[], 0, 1000);
    let events = figures["events"].as_u64().expect("a number");
    assert!(events <= 200 * 101, "an event every 10 ms: {figures}");
    assert!(figures["gap_us"]["count"].as_u64() > Some(0), "{figures}");
}

#[test]
fn burst() {
    check("burst", &[], 0, 3000);
}

#[test]
fn slow_reader() {
    let figures = check("slow-reader", &[], 0, 1000);
    // 50 readers of 64 KiB a second, and what they read before they first rested.
    let bytes = figures["bytes"].as_u64().expect("bytes");
    assert!(bytes < 50 * 65536 * 2, "the readers are slow: {bytes}");
}

#[test]
fn failover() {
    let figures = check("failover", &["--retries", "1"], 50, 1000);
    // The first target never answers, so every request is sent again, once.
    assert!(figures["retried"].as_u64() >= figures["ok"].as_u64(), "{figures}");
}

#[test]
fn tls() {
    check("tls", &[], 0, 1000);
}

#[test]
fn many_idle() {
    let figures = check("many-idle", &["--idle", "300"], 50, 50);
    assert!(figures["connections"].as_u64() > Some(300), "{figures}");
    assert!(figures["latency_us"]["corrected"]["count"].as_u64() >= Some(50), "an open loop: {figures}");
}

#[test]
fn a_page_is_written_that_needs_nothing_else() {
    let page = scratch("page.html");
    let file = page.display().to_string();
    check("chat", &["--html", &file, "--rate", "200", "--warm-up", "0.1"], 50, 50);
    let text = fs::read_to_string(&page).expect("the page");
    fs::remove_file(&page).expect("the file is ours");
    assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
    assert_eq!(text.matches("<svg").count(), text.matches("</svg>").count());
    assert!(text.matches("<svg").count() >= 2, "{text}");
    for outside in ["<script", "src=", "href=", "url(", "@import"] {
        assert!(!text.contains(outside), "{outside}");
    }
}

/// A fleet that goes wrong in one way, and what the client must say of it.
#[track_caller]
fn check_fault(name: &str, stream: bool, fault: &str, want: &str) {
    let file = scratch(&format!("{name}.toml"));
    let text = format!(
        "name = \"{name}\"\nabout = \"x\"\n[origin]\nevents = 5\n[[origin.member]]\n[[origin.member.fault]]\n\
         share = 1.0\n{fault}\n[client]\nstream = {stream}\nload = {{ rate = 50.0 }}\nsilence_max_s = 0.2\n"
    );
    fs::write(&file, text).expect("a file of ours");
    let (output, figures) = run(name, &file, 1, &["--seconds", "0.1"]);
    fs::remove_file(&file).expect("the file is ours");
    assert!(!output.status.success(), "{name}: {figures}");
    let failures = figures["failures"].as_object().expect("failures");
    assert_eq!(failures.keys().collect::<Vec<_>>(), [want], "{name}");
    assert_eq!(figures["ok"], 0, "{name}");
}

#[test]
fn every_fault_is_seen_by_the_client() {
    for (name, stream, fault, want) in [
        ("status", true, "kind = \"status\"\nstatus = 429\nretry_after_s = 1", "request: status 429"),
        ("reset", true, "kind = \"reset\"", "request: receive: connection reset"),
        ("close", false, "kind = \"close\"", "request: closed by the peer: before the end of an answer"),
        (
            "cut",
            false,
            "kind = \"close\"\nafter_events = 1",
            "request: closed by the peer: before the end of an answer",
        ),
        ("died", true, "kind = \"reset\"\nafter_events = 3", "request: receive: connection reset"),
        ("stall", true, "kind = \"stall\"\nafter_events = 3", "request: took too long: an answer"),
    ] {
        check_fault(name, stream, fault, want);
    }
}

#[test]
fn nobody_there_is_a_failure() {
    // Bound and not listening: connecting is refused, and nobody else gets the port.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let target = format!("http://{}", held.local_addr().expect("its address"));
    let output = loadtest()
        .args(["client", "--quiet", "--seconds", "0.1", "--rate", "50", "--target", &target, "--scenario"])
        .arg(shipped("chat"))
        .output()
        .expect("the client runs");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(table.contains("5 × request: connect: connection refused"), "{table}");
}

/// Two requests in one write, and each request cut at every byte: as many right answers.
#[test]
fn requests_may_come_in_pieces_and_together() {
    let origin = start(&shipped("chat"), 1, &scratch("pieces.pem"));
    let address = origin.targets[0].strip_prefix("http://").expect("plain");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(core::time::Duration::from_secs(10))).expect("a socket");
    let body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut first = None;
    for cut in 0..=request.len() {
        // At the front, the second request comes with the first one.
        let (front, back) = if cut == 0 { (&*request, &*request) } else { request.split_at(cut) };
        stream.write_all(front.as_bytes()).expect("a write");
        stream.write_all(back.as_bytes()).expect("a write");
        for _ in 0..if cut == 0 { 2 } else { 1 } {
            let length = *first.get_or_insert_with(|| answer_length(&mut stream));
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).expect("an answer");
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"}"), "cut at {cut}");
        }
    }
}

/// The length of the answer that is on its way, without taking it; all are alike.
fn answer_length(stream: &mut TcpStream) -> usize {
    let mut seen = [0; 4096];
    loop {
        let count = stream.peek(&mut seen).expect("an answer");
        let text = String::from_utf8_lossy(&seen[..count]);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).expect("a length");
            return head.len() + 4 + length.parse::<usize>().expect("a number");
        }
        assert!(count > 0, "the connection has ended");
    }
}

/// A closed loop whose peer refuses rests after each failure.
#[test]
fn a_closed_loop_does_not_storm() {
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let target = format!("http://{}", held.local_addr().expect("its address"));
    let json = scratch("storm.json");
    let output = loadtest()
        .args(["client", "--quiet", "--seconds", "0.2", "--closed", "2", "--target", &target, "--scenario"])
        .arg(shipped("chat"))
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the client runs");
    let figures: Value = serde_json::from_slice(&fs::read(&json).expect("figures")).expect("JSON");
    fs::remove_file(&json).expect("the file is ours");
    assert!(!output.status.success());
    // 2 places, a failure every 10 ms each, for 200 ms.
    let failed = figures["failed"].as_u64().expect("a number");
    assert!((4..=42).contains(&failed), "{figures}");
}

#[test]
fn a_misspelt_key_is_an_error_with_its_line() {
    let file = scratch("misspelt.toml");
    fs::write(&file, "name = \"x\"\nabout = \"y\"\n[client]\nload = { closed = 1 }\nsecond = 5\n")
        .expect("a file");
    let output = loadtest().args(["origin", "--scenario"]).arg(&file).output().expect("it runs");
    fs::remove_file(&file).expect("the file is ours");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("line 5") && text.contains("second"), "{text}");
}
