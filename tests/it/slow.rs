//! Clients that do not read, or read slowly: nothing piles up in the proxy. What the origin could push and
//! what lies in the kernel's queues (from `/proc/net/tcp`) give what the proxy itself holds.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::harness::{
    Client, EVENTS_HEAD, End, Origin, PATIENCE, Peer, Proxy, chat, chunk, delta_event, each_driver, models,
    parse_all, provider, until,
};

/// The most one stream may hold in user space: its read window, and ciphertext or copies of it on their way.
const HELD_MOST: usize = 256 * 1024;
/// The origin pushes for this long: far more than the kernel's queues need to fill up.
const PUSHING: Duration = Duration::from_millis(700);
const CLIENT_SEND: Duration = Duration::from_secs(2);

/// Bytes in the send and the receive queue of a loopback connection's end.
fn queues(local: SocketAddr, remote: SocketAddr) -> Option<(usize, usize)> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let port = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns.get(1) != Some(&&*port(local)) || columns.get(2) != Some(&&*port(remote)) {
            return None;
        }
        let (sent, received) = columns.get(4)?.split_once(':')?;
        Some((usize::from_str_radix(sent, 16).ok()?, usize::from_str_radix(received, 16).ok()?))
    })
}

/// What the origin pushed, and its connection's ends.
struct Pushed {
    bytes: usize,
    ends: (SocketAddr, SocketAddr),
}

/// Sends as much of an answer without end as is taken in a while.
fn push(peer: &mut Peer, stream: bool) -> Option<Pushed> {
    peer.narrow(16 * 1024);
    let ends = peer.ends()?;
    let (head, piece) = if stream {
        (EVENTS_HEAD.to_owned(), chunk(&delta_event("o", &"word ".repeat(100))))
    } else {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n";
        (head.to_owned(), "x".repeat(700))
    };
    let (mut bytes, mut rest) = (0, head.into_bytes());
    let end = Instant::now() + PUSHING;
    while Instant::now() < end {
        if rest.is_empty() {
            rest = piece.clone().into_bytes();
        }
        let Some(count) = peer.push(&rest, PUSHING) else { break };
        bytes += count;
        rest.drain(..count);
    }
    Some(Pushed { bytes, ends })
}

#[test]
fn a_client_that_does_not_read_stops_the_origin_and_is_cut() {
    each_driver(|driver| {
        let (tell, told) = channel();
        let (tell_gone, gone) = channel();
        let origin = Origin::start(move |peer| {
            if let Some(seen) = peer.request() {
                let _ = tell.send(push(peer, seen.wants_stream()));
                let _ = tell_gone.send(peer.until_gone());
            }
        });
        let config = format!("{}{}", provider("o", origin.address, ""), models("t/m", &["o"]));
        let proxy =
            Proxy::start(driver, &format!("[deadlines]\nclient_send = \"{CLIENT_SEND:?}\"\n{config}"));
        let mut clients = Vec::new();
        for stream in [true, false] {
            let mut client = Client::connect_narrow(proxy.address, 4096);
            client.send(&chat("t/m", stream, "slow"));
            let pushed = told.recv_timeout(PATIENCE).expect("the origin stops pushing");
            let pushed = pushed.expect("the connection was open");
            let queued = in_kernel(&pushed, &client, proxy.address);
            let held = pushed.bytes.saturating_sub(queued);
            println!(
                "{driver} stream={stream}: origin pushed {} KiB, kernel holds {} KiB, proxy {} KiB",
                pushed.bytes / 1024,
                queued / 1024,
                held / 1024
            );
            assert!(queued > 0 && held <= HELD_MOST, "{held} bytes in user space");
            clients.push(client);
        }
        for mut client in clients {
            gone.recv_timeout(PATIENCE).expect("the script ends").expect("the origin's connection is closed");
            let (received, end) = client.rest();
            assert_ne!(end, End::Silence);
            let answers = parse_all(&received, end);
            assert!(answers.iter().all(|answer| !answer.whole), "an answer that looks complete: {answers:?}");
        }
        until("the deadline is counted", || proxy.metric("millrace_deadline_client_send_total") == 2);
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

/// Bytes on their way that the kernel holds: both queues of both connections, each byte once or twice.
fn in_kernel(pushed: &Pushed, client: &Client, proxy: SocketAddr) -> usize {
    let (origin, upstream) = pushed.ends;
    let ends = [(origin, upstream), (upstream, origin), (proxy, client.local()), (client.local(), proxy)];
    ends.into_iter()
        .filter_map(|(local, remote)| queues(local, remote))
        .map(|(sent, received)| sent + received)
        .sum()
}

#[test]
fn a_client_that_reads_slowly_gets_every_byte() {
    const EVENTS: usize = 3000;
    each_driver(|driver| {
        let origin = Origin::answering(|peer, _| {
            peer.send(EVENTS_HEAD.as_bytes());
            let taken = (0..EVENTS).all(|turn| {
                let text = format!("{turn} {}", "x".repeat(turn % 700));
                peer.send(chunk(&delta_event("o", &text)).as_bytes())
            });
            if taken {
                peer.send(format!("{}0\r\n\r\n", chunk("data: [DONE]\n\n")).as_bytes());
            }
        });
        let config = format!("{}{}", provider("o", origin.address, ""), models("t/m", &["o"]));
        let proxy = Proxy::start(driver, &config);
        let mut client = Client::connect_narrow(proxy.address, 4096);
        client.send(&chat("t/m", true, "slow"));
        let answer = client.answer();
        assert!(answer.whole, "{answer:?}");
        let expected: String = (0..EVENTS)
            .map(|turn| delta_event("o", &format!("{turn} {}", "x".repeat(turn % 700))))
            .chain(["data: [DONE]\n\n".to_owned()])
            .collect();
        assert!(answer.text() == expected, "{} bytes of {}", answer.body.len(), expected.len());
    });
}
