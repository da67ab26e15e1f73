//! The real binary, killed in the midst of answers: whom it served is written down.
//!
//! Deliberately absent: points inside the journal (`kill.rs` meets those one by one).

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::{Folder, PATIENCE};

/// A running Millrace, killed when it goes out of scope. Its data lie in `data` of its folder, its log in
/// `log`, and `config.toml` of that folder is what it is configured with.
pub(crate) struct Server {
    pub(crate) child: Child,
    address: String,
}

/// `millrace` with these arguments, and nothing of our environment.
pub(crate) fn millrace(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments)
        .arg(folder.join("data"))
        .env_clear()
        .output()
        .expect("the binary starts")
}

/// What every server has said in this folder.
pub(crate) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

impl Server {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::try_start(folder, 2).unwrap_or_else(|status| panic!("{status}: {}", log(folder)))
    }

    /// With so many cores; its exit status when it ends instead.
    pub(crate) fn try_start(folder: &Path, cores: usize) -> Result<Self, ExitStatus> {
        let config = folder.join("config.toml");
        if !config.exists() {
            fs::write(&config, "").expect("a place for the configuration");
        }
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["--listen", "127.0.0.1:0", "--cores", &cores.to_string(), "--config"])
            .arg(config)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on http://")?.split(' ').next()?.to_owned()));
        match address {
            Some(address) => Ok(Self { child, address }),
            None => Err(child.wait().expect("its end")),
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(&self.address).expect("it accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        socket
    }

    /// A whole answer: its head and its body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut socket = self.connect();
        socket.write_all(request(method, path, body).as_bytes()).expect("it takes the request");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("the whole answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    /// Asks the simulator for an answer: the request's id, or the status that says why there is none.
    pub(crate) fn chat(&self) -> Result<String, u16> {
        let body = r#"{"model":"sim/fast","messages":[{"role":"user","content":"a word or two"}]}"#;
        let (head, _) = self.ask("POST", "/v1/chat/completions", body);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        if status == 200 { Ok(generation_id(&head)) } else { Err(status) }
    }

    /// What the API says of a request; null when it knows nothing.
    pub(crate) fn generation(&self, id: &str) -> Value {
        let (_, body) = self.ask("GET", &format!("/v1/generation?id={id}"), "");
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_default();
        answer["data"].take()
    }

    /// Does a metric have this value, as a line says it?
    pub(crate) fn shows(&self, line: &str) -> bool {
        self.ask("GET", "/metrics", "").1.lines().any(|shown| shown == line)
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name}");
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Asks for a stream, and returns its connection when the answer has begun.
    pub(crate) fn stream(&self, metadata: &str) -> (BufReader<TcpStream>, String) {
        let body = format!(
            r#"{{"model":"sim/steady","stream":true,"metadata":{metadata},
                "messages":[{{"role":"user","content":"a word or two"}}]}}"#
        );
        let mut socket = self.connect();
        let request = request("POST", "/v1/chat/completions", &body);
        socket.write_all(request.as_bytes()).expect("it takes the request");
        let mut socket = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let count = socket.read_line(&mut head).expect("a head");
            assert!(count > 0, "the answer ends early: {head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        (socket, generation_id(&head))
    }
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn generation_id(head: &str) -> String {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let field = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-generation-id"));
    field.map(|(_, value)| value.trim().to_owned()).expect("every answer has an id")
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `journal inspect` says: the ids that were admitted, and those that were settled.
fn inspected(folder: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let out = millrace(&["journal", "inspect", "--json"], folder);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let (mut admitted, mut settled) = (BTreeSet::new(), BTreeSet::new());
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let id = value["id"].as_str().expect("an id").to_owned();
        if value["kind"] == "admit" {
            admitted.insert(id)
        } else {
            settled.insert(id)
        };
    }
    (admitted, settled)
}

#[test]
fn a_killed_server_has_written_down_whom_it_served() {
    let folder = Folder::new();
    let mut whole = BTreeSet::new();
    let mut begun = BTreeSet::new();
    for _ in 0..4 {
        let mut server = Server::start(&folder.0);
        for turn in 0..4 {
            let (mut socket, id) = server.stream("null");
            assert!(id.starts_with("gen-"), "{id}");
            begun.insert(id.clone());
            if turn < 2 {
                let mut answer = String::new();
                socket.read_to_string(&mut answer).expect("the whole answer");
                assert!(answer.contains("[DONE]"), "{answer}");
                whole.insert(id);
            } else if turn == 3 {
                // In the midst of two answers.
                server.child.kill().expect("kill -9");
                server.child.wait().expect("its end");
            }
        }
        let (admitted, settled) = inspected(&folder.0);
        assert!(begun.is_subset(&admitted), "{begun:?} of {admitted:?}");
        assert!(whole.is_subset(&settled), "{whole:?} of {settled:?}");
        assert!(settled.is_subset(&admitted));
    }
    // Verified, and ready for the next one.
    let verified = millrace(&["journal", "verify"], &folder.0);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
