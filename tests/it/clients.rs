//! What clients do with a connection: pipelining, keeping it, closing it, HTTP/1.0 (rows 58 to 61 and 95),
//! and what answers look like to them.

use crate::harness::{
    EVENTS_HEAD, End, Origin, Peer, Proxy, Seen, chat, chunked, document, document_answer, each_driver,
    event_stream, message, models, parse_all, post, provider, text_of,
};

/// Answers with the words of the request, as a stream if asked to.
fn echo(peer: &mut Peer, seen: &Seen) {
    let text = seen.text();
    let nonce = text.split(['<', '>']).nth(1).unwrap_or("none").to_owned();
    if seen.wants_stream() {
        peer.send(EVENTS_HEAD.as_bytes());
        peer.send(chunked(&event_stream("echo", &["a ", &nonce])).as_bytes());
    } else {
        peer.send(&document_answer("200 OK", &document("echo", &nonce)));
    }
}

fn start(driver: &str) -> (Origin, Proxy) {
    let origin = Origin::answering(echo);
    let config = format!("{}{}", provider("o", origin.address, ""), models("t/m", &["o"]));
    let proxy = Proxy::start(driver, &config);
    (origin, proxy)
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    each_driver(|driver| {
        let (origin, proxy) = start(driver);
        // Row 58: twelve at once, streams and documents, and paths of our own between them.
        let mut bytes = Vec::new();
        for turn in 0..12 {
            match turn % 4 {
                3 => bytes.extend_from_slice(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"),
                kind => bytes.extend_from_slice(&chat("t/m", kind == 1, &format!("n{turn}"))),
            }
        }
        let mut client = proxy.connect();
        client.send(&bytes);
        for turn in 0..12 {
            let answer = client.answer();
            assert!(answer.status == 200 && answer.whole, "{turn}: {answer:?}");
            let said = match turn % 4 {
                3 => answer.json()["status"].as_str().unwrap_or_default().to_owned(),
                1 => text_of(&answer.text()),
                _ => {
                    answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
                }
            };
            let expected = match turn % 4 {
                3 => "ok".to_owned(),
                1 => format!("a n{turn}"),
                _ => format!("n{turn}"),
            };
            assert_eq!(said, expected, "turn {turn}");
        }
        assert_eq!(origin.requests().len(), 9);
        assert_eq!(origin.connections(), 1, "a clean upstream connection serves again");
        // Row 59: garbage after a request does not harm its answer.
        let mut client = proxy.connect();
        client.send(&[&chat("t/m", false, "first")[..], b"\0garbage\r\n\r\n"].concat());
        let (received, end) = client.rest();
        let answers = parse_all(&received, end);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!((statuses, end), (vec![200, 400], End::Fin));
        // Row 60: after `Connection: close` nothing further is read as a request.
        let mut client = proxy.connect();
        let request = post("/v1/chat/completions", "connection: close\r\n", &message("t/m", false, "last"));
        client.send(&[&request[..], &chat("t/m", false, "ignored")[..]].concat());
        let (received, end) = client.rest();
        let answers = parse_all(&received, end);
        assert!(answers.len() == 1 && answers[0].whole && answers[0].closes(), "{answers:?}");
        assert!(!origin.requests().iter().any(|seen| seen.text().contains("ignored")));
    });
}

#[test]
fn http10_clients_get_bare_bodies_and_a_close() {
    each_driver(|driver| {
        let (_origin, proxy) = start(driver);
        for (stream, fields) in [(false, ""), (true, ""), (false, "connection: keep-alive\r\n")] {
            let request = post("/v1/chat/completions", fields, &message("t/m", stream, "old"));
            let request = String::from_utf8_lossy(&request).replace("HTTP/1.1", "HTTP/1.0");
            let mut client = proxy.connect();
            client.send(request.as_bytes());
            let (received, end) = client.rest();
            let answers = parse_all(&received, end);
            assert!(answers.len() == 1 && answers[0].whole && end == End::Fin, "{answers:?}");
            assert!(answers[0].field("transfer-encoding").is_none(), "{answers:?}");
            let text = answers[0].text();
            assert!(text.contains("old") && (!stream || text.ends_with("data: [DONE]\n\n")), "{text}");
        }
    });
}

#[test]
fn a_kept_connection_serves_many_requests_on_one_upstream_connection() {
    each_driver(|driver| {
        let (origin, proxy) = start(driver);
        let mut client = proxy.connect();
        for turn in 0..50 {
            let nonce = format!("turn{turn}");
            let answer = client.ask(&chat("t/m", turn % 2 == 0, &nonce));
            assert!(answer.whole && answer.status == 200 && answer.text().contains(&nonce), "{answer:?}");
            assert!(!answer.closes(), "{answer:?}");
            assert!(answer.field("x-generation-id").is_some_and(|id| id.starts_with("gen-")), "{answer:?}");
        }
        assert_eq!((origin.requests().len(), origin.connections()), (50, 1));
        assert!(origin.requests().iter().all(|seen| seen.connection == 0));
        assert_eq!(proxy.metric("millrace_upstream_reuses_total"), 49);
    });
}

#[test]
fn a_head_request_has_no_body() {
    each_driver(|driver| {
        let (_origin, proxy) = start(driver);
        let mut client = proxy.connect();
        client.send(b"HEAD /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let (received, end) = client.rest();
        let text = String::from_utf8_lossy(&received).into_owned();
        assert!(end == End::Fin && text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\n"), "{text}");
    });
}
