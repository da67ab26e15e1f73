//! Clients that leave: whatever the proxy is doing for them ends at once, because the provider bills by the
//! token.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::harness::{
    Blackhole, Client, EVENTS_HEAD, Origin, PATIENCE, Peer, Proxy, Random, chat, chunk, delta_event,
    document, document_answer, each_driver, models, provider, until,
};

/// What is promised, and what a busy machine is allowed on top of it.
const PROMISED: Duration = Duration::from_millis(100);
const SLACK: Duration = Duration::from_millis(400);

/// How far the origin is when the client leaves.
#[derive(Clone, Copy, Debug)]
enum When {
    /// It has the request and says nothing.
    BeforeFirstByte,
    /// It has sent a head and nothing else.
    BeforeFirstEvent,
    /// It sends half of an answer that is held back until it is whole.
    HeldAnswer,
    /// It has sent one event and goes on thinking.
    MidStream,
    /// It sends events as fast as it can.
    Flood,
}

const ALL: [When; 5] =
    [When::BeforeFirstByte, When::BeforeFirstEvent, When::HeldAnswer, When::MidStream, When::Flood];

impl When {
    const fn model(self) -> &'static str {
        match self {
            Self::BeforeFirstByte => "t/before-byte",
            Self::BeforeFirstEvent => "t/before-event",
            Self::HeldAnswer => "t/held",
            Self::MidStream => "t/mid",
            Self::Flood => "t/flood",
        }
    }

    /// What the origin does until its peer is gone; when that was.
    fn act(self, peer: &mut Peer) -> Option<Instant> {
        let event = chunk(&delta_event("o", "word"));
        match self {
            Self::BeforeFirstByte => {}
            Self::BeforeFirstEvent => {
                peer.send(EVENTS_HEAD.as_bytes());
            }
            Self::HeldAnswer => {
                let whole = document_answer("200 OK", &document("o", "held"));
                peer.send(&whole[..whole.len() / 2]);
            }
            Self::MidStream => {
                peer.send(format!("{EVENTS_HEAD}{event}").as_bytes());
            }
            Self::Flood => {
                peer.send(EVENTS_HEAD.as_bytes());
                let give_up = Instant::now() + PATIENCE;
                while peer.send(event.as_bytes()) {
                    if Instant::now() > give_up {
                        return None;
                    }
                }
                return Some(Instant::now());
            }
        }
        peer.until_gone()
    }

    /// Sends the request and waits until the origin is where it should be.
    fn begin(self, proxy: &Proxy, began: &Receiver<()>) -> Client {
        let mut client = proxy.connect();
        client.send(&chat(self.model(), !matches!(self, Self::HeldAnswer), "abort"));
        began.recv_timeout(PATIENCE).expect("the origin gets the request");
        if matches!(self, Self::MidStream | Self::Flood) {
            client.hold_until(b"word");
        }
        client
    }
}

#[test]
fn the_origin_loses_its_connection_when_the_client_leaves() {
    each_driver(|driver| {
        for when in ALL {
            let (tell_began, began) = channel();
            let (tell_gone, gone) = channel();
            let origin = Origin::start(move |peer| {
                if peer.request().is_some() {
                    let _ = tell_began.send(());
                    let _ = tell_gone.send(when.act(peer));
                }
            });
            let config = format!("{}{}", provider("o", origin.address, ""), models(when.model(), &["o"]));
            let proxy = Proxy::start(driver, &config);
            for reset in [false, true, false, true] {
                let client = when.begin(&proxy, &began);
                let left = Instant::now();
                if reset {
                    client.reset()
                } else {
                    drop(client)
                }
                let at = gone.recv_timeout(PATIENCE).expect("the origin's script ends");
                let took = at.expect("the origin's connection is closed").saturating_duration_since(left);
                println!("{driver} {when:?} reset={reset}: origin closed after {took:?}");
                assert!(took < PROMISED + SLACK, "{driver} {when:?} reset={reset}: {took:?}");
            }
            until("the clients are counted", || proxy.metric("millrace_clients_gone_total") == 4);
            assert_eq!(proxy.metric("millrace_panics_total"), 0);
        }
    });
}

#[test]
fn a_client_that_leaves_while_dialling_leaves_nothing_behind() {
    each_driver(|driver| {
        let hole = Blackhole::new();
        let config = format!("{}{}", provider("hole", hole.address, ""), models("t/m", &["hole"]));
        let proxy = Proxy::start(driver, &format!("[deadlines]\nconnect = \"30s\"\n{config}"));
        let mut client = proxy.connect();
        client.send(&chat("t/m", false, "x"));
        until("it dials", || proxy.metric("millrace_upstream_attempts_total") >= 2);
        drop(client);
        until("it is counted as gone", || proxy.metric("millrace_clients_gone_total") == 1);
        until("its connection is closed", || proxy.metric("millrace_client_connections{core=\"0\"}") == 1);
    });
}

/// Row 45 the other way round: a client that ends its side is gone, because an SDK that gives up does just
/// that.
#[test]
fn random_aborts_leave_no_descriptor_and_no_connection_behind() {
    let seed = Random::seed();
    println!("seed {seed}");
    each_driver(|driver| {
        let origin = Origin::answering(|peer, seen| {
            let text = document_answer("200 OK", &document("o", "whole"));
            if seen.wants_stream() {
                peer.send(EVENTS_HEAD.as_bytes());
                let event = chunk(&delta_event("o", "word"));
                while peer.send_cut(event.as_bytes(), 100) {}
            } else {
                peer.send_cut(&text, text.len() / 3);
            }
        });
        let config = format!("{}{}", provider("o", origin.address, ""), models("t/m", &["o"]));
        let proxy = Proxy::start(driver, &config);
        let open = || proxy.metric("millrace_client_connections{core=\"0\"}");
        // What is opened once and kept: the connection to the control plane, one idle upstream connection.
        assert_eq!(proxy.connect().ask(&chat("t/m", false, "first")).status, 200);
        assert_eq!(open(), 1);
        let before = proxy.descriptors();
        let mut random = Random(seed);
        for turn in 0..500 {
            let request = chat("t/m", random.below(2) == 0, "abort");
            let mut client = proxy.connect();
            let cut = [0, random.below(request.len()), request.len(), request.len()][random.below(4)];
            let _ = client.try_send(&request[..cut]);
            if cut == request.len() && turn % 2 == 0 {
                client.hold(1 + random.below(250));
            }
            if random.below(2) == 0 { client.reset() } else { drop(client) }
        }
        until("all connections are closed, and counted", || {
            let accepted = proxy.metric("millrace_client_connections_accepted_total");
            // Each look is a connection of its own: one before, one now.
            open() == 1 && proxy.metric("millrace_client_connections_closed_total") == accepted + 1
        });
        match (before, proxy.descriptors()) {
            (Some(before), Some(_)) => {
                // Pooled upstream connections may stay; they are bounded by the requests that ran at once.
                const POOLED: usize = 8;
                until("the descriptors are back", || {
                    proxy.descriptors().is_some_and(|now| now <= before + POOLED)
                });
                println!("{driver}: {before} descriptors before, {:?} after", proxy.descriptors());
            }
            _ => println!("{driver}: descriptors cannot be counted here; connections were"),
        }
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
        assert_eq!(proxy.connect().ask(&chat("t/m", false, "after")).status, 200);
    });
}
