//! The real binary, killed in the midst of answers: whom it served is written down.
//!
//! Deliberately absent: points inside the journal (`kill.rs` meets those one by one).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{Folder, PATIENCE};

/// A running Millrace, killed when it goes out of scope.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["--listen", "127.0.0.1:0", "--cores", "2", "--data-dir"])
            .arg(folder.join("data"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on http://")?.split(' ').next()?.to_owned()))
            .expect("it listens");
        Self { child, address }
    }

    /// Asks for a stream, and returns its connection when the answer has begun.
    fn stream(&self) -> (BufReader<TcpStream>, String) {
        let body =
            r#"{"model":"sim/steady","stream":true,"messages":[{"role":"user","content":"a word or two"}]}"#;
        let mut socket = TcpStream::connect(&self.address).expect("it accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let length = body.len();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).expect("it takes the request");
        let mut socket = BufReader::new(socket);
        let mut id = String::new();
        loop {
            let mut line = String::new();
            socket.read_line(&mut line).expect("a head");
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("x-generation-id")
            {
                value.trim().clone_into(&mut id);
            }
            if line.starts_with("data: ") {
                return (socket, id);
            }
            assert!(!line.is_empty(), "the answer ends early");
        }
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
    let out = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["journal", "inspect", "--json"])
        .arg(folder.join("data"))
        .env_clear()
        .output()
        .expect("the binary starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let (mut admitted, mut settled) = (BTreeSet::new(), BTreeSet::new());
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
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
            let (mut socket, id) = server.stream();
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
    let verified = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["journal", "verify"])
        .arg(folder.0.join("data"))
        .output()
        .expect("the binary starts");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
