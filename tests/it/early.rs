//! Answers that come before the request is whole, and requests that never become whole: Expect, refusals
//! from the head alone with a body still on its way, bodies that end too soon, senders that trickle (rows
//! 50, 52 to 57, 66 to 68).

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::harness::{
    CHAT, Client, End, Origin, Proxy, document, document_answer, each_driver, message, models, parse_all,
    post, provider, until,
};

const MIB: usize = 1 << 20;

fn sound_origin() -> Origin {
    Origin::answering(|peer, _| {
        peer.send(&document_answer("200 OK", &document("origin", "hello")));
    })
}

fn start(driver: &str, origin: &Origin, more: &str) -> Proxy {
    let config = format!("{more}\n{}{}", provider("o", origin.address, ""), models("t/m", &["o"]));
    Proxy::start(driver, &config)
}

#[test]
fn expectations_are_answered_by_us() {
    each_driver(|driver| {
        let origin = sound_origin();
        let proxy = start(driver, &origin, "[limits]\nbody_bytes = \"64KiB\"");
        let body = message("t/m", false, "expect");
        // Row 55: 100 at once, then the answer; the origin never hears of the expectation.
        let request = post(CHAT, "expect: 100-continue\r\n", &body);
        let head_len = request.len() - body.len();
        let mut client = proxy.connect();
        let interim = client.ask(&request[..head_len]);
        assert_eq!((interim.status, interim.body.len()), (100, 0), "{interim:?}");
        let answer = client.ask(&request[head_len..]);
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        // Row 54: what the head alone rules out gets its final status and no 100.
        for (target, fields, length, status) in [
            (CHAT, "", 1 << 20, 413),
            ("/v1/nothing", "", 5, 404),
            (CHAT, "content-encoding: br\r\n", 5, 415),
        ] {
            let mut client = proxy.connect();
            let answer = client.ask(
                format!(
                    "POST {target} HTTP/1.1\r\nhost: h\r\n{fields}expect: 100-continue\r\n\
                     content-length: {length}\r\n\r\n"
                )
                .as_bytes(),
            );
            assert!(answer.status == status && answer.is_clear_error(), "{answer:?}");
            assert!(answer.closes(), "the body may still come: {answer:?}");
            assert_eq!(client.rest(), (Vec::new(), End::Fin));
        }
        // Row 56: without a body there is nothing to expect.
        let answer = proxy.connect().ask(b"GET /healthz HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n\r\n");
        assert_eq!(answer.status, 200, "{answer:?}");
        let requests = origin.requests();
        assert_eq!(requests.len(), 1);
        assert!(requests[0].field("expect").is_none(), "{}", requests[0].head);
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

#[test]
fn an_early_answer_is_readable_although_the_client_keeps_sending() {
    each_driver(|driver| {
        let origin = sound_origin();
        let key = "known";
        let digest = crate::harness::digest(key);
        let mut proxy = start(
            driver,
            &origin,
            &format!("[limits]\nbody_bytes = \"64KiB\"\n[[key]]\nname = \"k\"\nsha256 = \"{digest}\""),
        );
        proxy.key = Some(key.to_owned());
        for (path, key, status) in [(CHAT, "unknown", 401), ("/v1/nothing", key, 404), (CHAT, key, 413)] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {key}\r\n\
                 content-length: {}\r\n\r\n",
                64 * MIB
            );
            // The whole of a body below the bound, then the answer; as clients do that read only when all
            // is sent.
            let mut client = proxy.connect();
            client.send(head.as_bytes());
            let _ = client.try_send(&vec![b'x'; MIB / 2]);
            let answer = client.answer();
            assert!(answer.status == status && answer.is_clear_error() && answer.closes(), "{answer:?}");
            // A body without end, sent while the answer is read.
            let mut client = proxy.connect();
            client.send(head.as_bytes());
            let mut sender = client.handle();
            let sending = thread::spawn(move || {
                let piece = vec![b'x'; MIB / 16];
                (0..64 * 16).take_while(|_| sender.write_all(&piece).is_ok()).count()
            });
            let answer = client.answer();
            assert!(answer.status == status && answer.is_clear_error(), "{answer:?}");
            drop(client);
            let pieces = sending.join().expect("the sender ends");
            assert!(pieces < 64 * 16, "the proxy read {} MiB of a refused body", pieces / 16);
        }
        assert!(origin.requests().is_empty(), "{:?}", origin.requests());
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

#[test]
fn a_request_that_ends_too_soon_reaches_nobody() {
    each_driver(|driver| {
        let origin = sound_origin();
        let proxy = start(driver, &origin, "");
        let request = post(CHAT, "", &message("t/m", false, "short"));
        let chunked =
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n";
        for bytes in
            [&request[..10], &request[..request.len() - 1], &chunked[..], &chunked[..chunked.len() - 4]]
        {
            let mut client = proxy.connect();
            client.send(bytes);
            client.half_close();
            let (received, end) = client.rest();
            assert_eq!(end, End::Fin, "{:?}", bytes.escape_ascii());
            for answer in parse_all(&received, end) {
                assert!(matches!(answer.status, 400 | 408), "{answer:?}");
            }
        }
        // Whatever would come of them had come before this one.
        assert_eq!(proxy.connect().ask(&request).status, 200);
        assert_eq!(origin.requests().len(), 1);
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn clients_that_trickle_meet_their_deadlines() {
    each_driver(|driver| {
        let origin = sound_origin();
        let deadlines =
            "[deadlines]\nclient_head = \"300ms\"\nclient_body = \"300ms\"\nclient_idle = \"300ms\"";
        let proxy = start(driver, &origin, deadlines);
        let request = post(CHAT, "", &message("t/m", false, "slow"));
        // Rows 66 and 67: a head, then a body, of which no more comes; a byte now and then helps nobody.
        for cut in [20, request.len() - 3] {
            let mut client = proxy.connect();
            client.send(&request[..cut]);
            if cut == 20 {
                let mut sender = client.handle();
                let rest = request[cut..].to_vec();
                thread::spawn(move || {
                    for byte in rest.chunks(1) {
                        if sender.write_all(byte).is_err() {
                            return;
                        }
                        // paced: the client under test is a slow one.
                        thread::sleep(Duration::from_millis(50));
                    }
                });
            }
            let answer = client.answer();
            assert!(answer.status == 408 && answer.is_clear_error() && answer.closes(), "{answer:?}");
            assert_eq!(client.rest().1, End::Fin);
        }
        // Row 68: between two requests there is nobody to tell.
        let mut client = proxy.connect();
        assert_eq!(client.ask(&request).status, 200);
        assert_eq!(client.rest(), (Vec::new(), End::Fin));
        assert_eq!(Client::connect(proxy.address).rest(), (Vec::new(), End::Fin));
        assert_eq!(origin.requests().len(), 1);
        until("the deadlines are counted", || {
            proxy.metric("millrace_deadline_client_head_total") == 1
                && proxy.metric("millrace_deadline_client_body_total") == 1
                && proxy.metric("millrace_deadline_client_idle_total") >= 2
        });
    });
}

/// What a core may hold of request bodies is charged when a body is announced, and comes back however its
/// request ends.
#[test]
fn bodies_beyond_the_budget_are_refused_until_others_have_left() {
    const BODY: usize = 700 * 1024;
    each_driver(|driver| {
        let origin = sound_origin();
        let limits = "[limits]\nbody_bytes = \"1MiB\"\nbodies_bytes_per_core = \"1MiB\"";
        let proxy = start(driver, &origin, limits);
        let filling = "x".repeat(BODY - message("t/m", false, "").len());
        let body = message("t/m", false, &filling);
        let (request, announced) = (post(CHAT, "", &body), post(CHAT, "expect: 100-continue\r\n", &body));
        for turn in 0..6 {
            let mut holder = proxy.connect();
            assert_eq!(holder.ask(&announced[..announced.len() - BODY]).status, 100, "its body is charged");
            holder.send(&request[request.len() - BODY..request.len() - BODY / 2]);
            let answer = proxy.connect().ask(&request);
            assert!(answer.status == 503 && answer.is_clear_error(), "{answer:?}");
            match turn % 3 {
                0 => drop(holder),
                1 => holder.reset(),
                _ => {
                    let answer = holder.ask(&request[request.len() - BODY / 2..]);
                    assert!(answer.status == 200 && answer.whole, "{answer:?}");
                }
            }
            until("the budget is free again", || proxy.connect().ask(&request).status == 200);
        }
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}
