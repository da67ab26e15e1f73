//! Clients that leave an answer which is billed to its end: it is read on without them, and the connection it
//! came on serves again.

use std::sync::mpsc::channel;

use crate::harness::{
    EVENTS_HEAD, Origin, PATIENCE, Proxy, chat, chunk, delta_event, document, document_answer, each_driver,
    models, provider, until,
};

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":9}}\n\n";

/// An answer whose client leaves in its middle.
#[derive(Clone, Copy, Debug)]
struct Left {
    streams: bool,
    resets: bool,
    /// The process is told to end meanwhile.
    drains: bool,
}

#[test]
fn an_answer_is_read_to_its_end_without_its_client() {
    let all = [(true, false), (true, true), (false, false), (false, true)];
    each_driver(|driver| {
        for (streams, resets) in all {
            left(driver, Left { streams, resets, drains: false });
        }
        left(driver, Left { streams: true, resets: false, drains: true });
    });
}

fn left(driver: &'static str, how: Left) {
    let (tell_began, began) = channel();
    let (go_on, gone) = channel::<()>();
    let (tell_seen, seen) = channel();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::start(move |peer| {
        let whole = document_answer("200 OK", &document("o", "word"));
        let stream = [
            format!("{EVENTS_HEAD}{}", chunk(&delta_event("o", "word"))),
            [chunk(&delta_event("o", "more")), chunk(USAGE), chunk("data: [DONE]\n\n"), "0\r\n\r\n".into()]
                .concat(),
        ];
        let (front, back) = match how.streams {
            true => (stream[0].as_bytes(), stream[1].as_bytes()),
            false => whole.split_at(whole.len() / 2),
        };
        // The first request's answer waits for its client to be gone; the second one's does not.
        for turn in 0..2 {
            let Some(request) = peer.request() else { return };
            let _ = tell_seen.send(request.connection);
            peer.send(front);
            if turn == 0 {
                let _ = tell_began.send(());
                let _ = gone.lock().expect("one script at a time").recv_timeout(PATIENCE);
            }
            peer.send(back);
        }
    });
    let more = "on_client_gone = \"drain\"\n";
    let config = format!("{}{}", provider("o", origin.address, more), models("t/m", &["o"]));
    let mut proxy = Proxy::start(driver, &config);
    let mut client = proxy.connect();
    client.send(&chat("t/m", how.streams, "left"));
    began.recv_timeout(PATIENCE).expect("the origin has begun its answer");
    if how.streams {
        client.hold_until(b"word");
    }
    if how.resets {
        client.reset()
    } else {
        drop(client)
    }
    until("the answer is read on", || proxy.metric("millrace_answers_drained_total") == 1);
    if how.drains {
        proxy.signal("TERM");
        until("it drains", || proxy.printed().contains("draining"));
        go_on.send(()).expect("the origin waits");
        let ended = proxy.exit_within(PATIENCE).expect("its last answer is read, and it ends");
        return assert!(ended.success(), "{driver} {ended}");
    }
    go_on.send(()).expect("the origin waits");
    until("it is read to its end", || proxy.metric("millrace_answers_drained_whole_total") == 1);
    // The connection is clean, so the next request goes there.
    let answer = proxy.connect().ask(&chat("t/m", how.streams, "next"));
    assert_eq!(answer.status, 200, "{driver} {how:?}");
    let seen: Vec<usize> = seen.try_iter().collect();
    assert_eq!(seen, [seen[0], seen[0]], "{driver} {how:?}: both on one connection");
    until("the client's connection is closed", || {
        proxy.metric("millrace_client_connections{core=\"0\"}") == 1
    });
    assert_eq!(proxy.metric("millrace_panics_total"), 0);
}
