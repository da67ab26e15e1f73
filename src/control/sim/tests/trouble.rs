//! The listeners that misbehave, clients that leave, and many streams at once.
//!
//! Deliberately absent: what sound answers say (`answers`).

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{Counts, Listener, Seen, Simulator};
use super::{bounded, chat, exchange, request};
use crate::base::limits::Deadlines;

const USER: &str = r#"[{"role":"user","content":"Hi"}]"#;

fn flaky(stream: bool) -> Vec<u8> {
    request("/v1/chat/completions", &format!(r#"{{"model":"flaky","stream":{stream},"messages":{USER}}}"#))
}

/// Waits until the counters say what is expected.
async fn until(seen: &Seen, expected: impl Fn(Counts) -> bool) -> Counts {
    let started = Instant::now();
    while !expected(seen.counts()) {
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", seen.counts());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    seen.counts()
}

#[tokio::test]
async fn the_refusing_port_refuses() {
    let sim = Simulator::start().await.unwrap();
    let error = TcpStream::connect(sim.addresses().refusing).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn troubles_come_in_turn() {
    let sim = Simulator::start().await.unwrap();
    let troubled = sim.addresses().troubled;
    for round in 0..2_u64 {
        let stream = round == 1;
        let reset = exchange(troubled, &[&flaky(stream)]).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset, "round {round}");

        let mut stalled = TcpStream::connect(troubled).await.unwrap();
        stalled.write_all(&flaky(stream)).await.unwrap();
        until(&sim.seen, |counts| counts.active == 1).await;
        assert_eq!(stalled.try_read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(stalled);
        until(&sim.seen, |counts| counts.disconnects == round + 1 && counts.active == 0).await;

        let limited = exchange(troubled, &[&flaky(stream)]).await.unwrap();
        assert!(limited.status == 429 && limited.head.contains("retry-after: 1"), "{limited:?}");
        assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");

        let failed = exchange(troubled, &[&flaky(stream)]).await.unwrap();
        assert_eq!((failed.status, &failed.json()["error"]["type"]), (500, &json!("server_error")));

        let inside = exchange(troubled, &[&flaky(stream)]).await.unwrap();
        assert_eq!(inside.status, 200);
        let error: Value = if stream {
            let events = inside.events();
            assert_eq!(events.len(), 1, "no end marker after an error");
            serde_json::from_str(events[0]).unwrap()
        } else {
            inside.json()
        };
        assert_eq!(error["error"]["code"], 500);
    }
    let counts = until(&sim.seen, |counts| counts.active == 0).await;
    assert_eq!(counts, Counts { requests: 10, completed: 0, disconnects: 2, faults: 8, active: 0 });
}

/// Sends a request, waits for the first `wait_for` bytes of the answer, leaves, and expects to be missed at
/// once.
async fn leave(sim: &Simulator, bytes: &[u8], wait_for: &str) {
    let before = sim.seen.counts();
    let mut stream = TcpStream::connect(sim.addresses().main).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    until(&sim.seen, |counts| counts.active == before.active + 1).await;
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(wait_for) {
        assert_ne!(bounded(stream.read_buf(&mut read)).await.unwrap(), 0, "{wait_for:?}");
    }
    let left = Instant::now();
    drop(stream);
    let after = until(&sim.seen, |counts| counts.active == before.active).await;
    // Far below every pause of the answers used here: the counter cannot have waited for a write.
    assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
    assert_eq!(
        (after.disconnects, after.completed),
        (before.disconnects + 1, before.completed),
        "{wait_for:?}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_missed_at_once() {
    let sim = Simulator::start().await.unwrap();
    let slow = r#""metadata":{"tokens":"100","gap_ms":"9000","first_ms":"0"}"#;
    let silent = r#""metadata":{"first_ms":"60000"}"#;
    for stream in [true, false] {
        for (members, wait_for) in [(slow, if stream { "word-1" } else { "" }), (silent, "")] {
            let body = format!(r#"{{"model":"fast","stream":{stream},{members},"messages":{USER}}}"#);
            let bytes = request("/v1/chat/completions", &body);
            leave(&sim, &bytes, wait_for).await;
            let kept_alive = String::from_utf8(bytes).unwrap().replace("Connection: close\r\n", "");
            leave(&sim, kept_alive.as_bytes(), wait_for).await;
        }
    }
    let half = request("/v1/chat/completions", "{\"model\":");
    let half = String::from_utf8(half).unwrap().replace("Content-Length: 9", "Content-Length: 90");
    leave(&sim, half.as_bytes(), "").await;
    assert_eq!(sim.seen.counts().disconnects, 9);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let sim = Simulator::start().await.unwrap();
    let mut stream = TcpStream::connect(sim.addresses().main).await.unwrap();
    let bytes = String::from_utf8(flaky(true)).unwrap().replace("Connection: close\r\n", "");
    for turn in 1..=3 {
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"0\r\n\r\n") {
            assert_ne!(bounded(stream.read_buf(&mut read)).await.unwrap(), 0);
        }
        assert_eq!(sim.seen.counts().requests, turn);
    }
    let counts = until(&sim.seen, |counts| counts.completed == 3).await;
    assert_eq!((counts.disconnects, counts.active), (0, 0));
}

#[tokio::test]
async fn the_counters_are_served() {
    let sim = Simulator::start().await.unwrap();
    chat(sim.addresses().main, &format!(r#"{{"model":"fast","messages":{USER}}}"#)).await;
    until(&sim.seen, |counts| counts.active == 0).await;
    let get = b"GET /sim/stats HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n";
    let reply = exchange(sim.addresses().main, &[get]).await.unwrap();
    let expected = json!({"requests": 1, "completed": 1, "disconnects": 0, "faults": 0, "active": 0});
    assert_eq!((reply.status, reply.json()), (200, expected));
}

async fn paced(address: SocketAddr) -> usize {
    let body = format!(
        r#"{{"model":"steady","stream":true,"metadata":{{"tokens":"20","gap_ms":"10"}},"messages":{USER}}}"#
    );
    chat(address, &body).await.chunks().len()
}

#[tokio::test]
async fn many_streams_run_at_once() {
    const STREAMS: u64 = 200;
    let sim = Simulator::start().await.unwrap();
    let address = sim.addresses().main;
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(paced(address));
    }
    let mut most = 0;
    while let Some(chunks) = streams.join_next().await {
        assert_eq!(chunks.unwrap(), 22);
        most = most.max(sim.seen.counts().active);
    }
    assert!(most > 1, "they overlapped");
    let counts = until(&sim.seen, |counts| counts.active == 0).await;
    assert_eq!((counts.requests, counts.completed), (STREAMS, STREAMS));
}

#[tokio::test]
async fn dropping_it_closes_everything() {
    let sim = Simulator::start().await.unwrap();
    let (addresses, seen) = (sim.addresses(), std::sync::Arc::clone(&sim.seen));
    let mut open = TcpStream::connect(addresses.main).await.unwrap();
    open.write_all(&request("/v1/chat/completions", "")[..20]).await.unwrap();
    let answered = chat(addresses.main, &format!(r#"{{"model":"fast","messages":{USER}}}"#)).await;
    assert_eq!(answered.status, 200);
    drop(sim);
    let ended = bounded(open.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    for listener in Listener::ALL {
        assert!(TcpStream::connect(addresses.of(listener)).await.is_err(), "{listener:?}");
    }
    assert_eq!(seen.counts().active, 0);
}

#[test]
fn only_the_troubled_listener_has_short_deadlines() {
    let configured = Deadlines::default();
    assert_eq!(Listener::Main.deadlines(&configured), configured);
    let troubled = Listener::Troubled.deadlines(&configured);
    assert_eq!(
        (troubled.response_head, troubled.first_event),
        (Duration::from_millis(300), Duration::from_millis(300))
    );
    assert_eq!(troubled.idle, configured.idle);
}
