//! The rig against its own origin, and against a line that lies.
//!
//! Deliberately absent: figures.

use super::*;

fn plain(rig: &Rig) -> Door {
    Door { address: rig.origins().unwrap()[0], model: text::MODEL, gateway: None }
}

fn run(load: Load) -> (Counts, Vec<String>) {
    let mut rig = Rig::new("key").expect("io_uring of Linux 6.1 or newer");
    let origin = plain(&rig);
    rig.start(origin, load).unwrap();
    let counts = rig.run(Duration::from_millis(200)).unwrap();
    let failures = rig.finish().unwrap().failures;
    (counts, failures)
}

#[test]
fn every_load_runs_and_ends_without_failure() {
    if crate::floor::ring_is_absent() {
        return;
    }
    for load in [
        Load::Closed { connections: 4, body_bytes: 1500 },
        Load::Closed { connections: 2, body_bytes: 256 * 1024 },
        Load::Rate { connections: 8, per_second: 500.0, body_bytes: 1500 },
        Load::Streams { count: 5, gap: Some(Duration::from_millis(5)) },
        Load::Streams { count: 3, gap: None },
    ] {
        let (counts, failures) = run(load);
        assert!(
            counts.failures.is_empty() && failures.is_empty(),
            "{load:?}: {:?} {failures:?}",
            counts.failures
        );
        assert!(counts.done > 10, "{load:?}: {}", counts.done);
        assert_eq!(counts.nanos.len(), counts.done, "{load:?}");
    }
}

#[test]
fn an_open_loop_keeps_its_rate_however_busy_the_machine_is() {
    if crate::floor::ring_is_absent() {
        return;
    }
    let mut rig = Rig::new("key").expect("io_uring of Linux 6.1 or newer");
    let origin = plain(&rig);
    let before = Instant::now();
    rig.start(origin, Load::Rate { connections: 8, per_second: 500.0, body_bytes: 1500 }).unwrap();
    let after = Instant::now();
    rig.run(Duration::from_millis(200)).unwrap();
    let now = Instant::now();
    rig.timers(now).unwrap();
    let started = rig.number as f64 + rig.late.len() as f64;
    let due = |since: Instant| (now - since).as_secs_f64() * 500.0;
    assert!(started > due(after) - 1.0 && started < due(before) + 2.0, "{started}, {}", due(before));
    assert_eq!(rig.finish().unwrap().failures, Vec::<String>::new());
}

fn nowhere() -> Door {
    Door { address: "127.0.0.1:1".parse().unwrap(), model: text::MODEL, gateway: None }
}

/// A client that has sent request 7, and what it makes of `answer`, whole and cut at every byte.
fn check(stream: bool, answer: &[u8], want: Result<Step, &str>) {
    let load = if stream {
        Load::Streams { count: 1, gap: None }
    } else {
        Load::Closed { connections: 1, body_bytes: 1500 }
    };
    for cut in 0..=answer.len() {
        let mut client = Client::new(load, "key", nowhere());
        client.request(7, Instant::now());
        let mut counts = Counts::new();
        let (front, back) = answer.split_at(cut);
        let mut outcome = Ok(Step::Wait);
        for piece in [front, back] {
            if !piece.is_empty() && outcome == Ok(Step::Wait) {
                outcome = client.take(piece, Instant::now(), &mut counts);
            }
        }
        match &want {
            Ok(step) => assert_eq!(outcome.as_ref(), Ok(step), "cut at {cut}"),
            Err(what) => assert!(outcome.as_ref().is_err_and(|error| error.contains(what)), "{outcome:?}"),
        }
    }
}

#[test]
fn answers_are_checked() {
    if crate::floor::ring_is_absent() {
        return;
    }
    let mut origin = Origin::default();
    let good = origin.chat_answer(7);
    check(false, &good, Ok(Step::Answered));
    check(false, &good[..good.len() - 1], Ok(Step::Wait));
    check(false, &origin.chat_answer(8), Err("another request"));
    check(false, b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", Err("status 502"));
}

fn stream(numbers: &[u64], whole: bool) -> Vec<u8> {
    let mut bytes = text::STREAM_HEAD.to_vec();
    for number in numbers {
        let mut event = text::event();
        text::stamp(&mut event, *number, Duration::ZERO);
        bytes.extend(event);
    }
    if whole {
        bytes.extend(text::last_words());
    } else {
        bytes.extend(b"0\r\n\r\n");
    }
    bytes
}

#[test]
fn events_are_checked() {
    if crate::floor::ring_is_absent() {
        return;
    }
    check(true, &stream(&[0, 1, 2], true), Ok(Step::Answered));
    check(true, &stream(&[0, 2], true), Err("event 2 where 1"));
    check(true, &stream(&[0, 0], true), Err("event 0 where 1"));
    check(true, &stream(&[1, 0], true), Err("event 1 where 0"));
    check(true, &stream(&[0], false), Err("without [DONE]"));
}

#[test]
fn requests_arrive_whole_however_they_are_cut() {
    if crate::floor::ring_is_absent() {
        return;
    }
    for is_stream in [false, true] {
        let mut bytes = text::request(is_stream, 600, "key", nowhere());
        let at = text::request_number_at(&bytes);
        text::write_number(&mut bytes[at], 1234);
        for cut in 1..bytes.len() {
            let mut origin = Origin::default();
            let (front, back) = bytes.split_at(cut);
            assert_eq!(origin.take(front), Ok(Step::Wait), "cut at {cut}");
            assert_eq!(
                origin.take(back),
                Ok(Step::Asked { number: 1234, stream: is_stream }),
                "cut at {cut}"
            );
        }
    }
}
