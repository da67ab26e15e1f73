//! Hedging over real sockets: after the endpoint's own 95th percentile a second candidate is begun, the first
//! event wins, and the loser's connection ends at once. The cases `h…` hold the rest.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    EVENTS_HEAD, Origin, PATIENCE, Proxy, chat, chunked, each_driver, event_stream, models, provider,
    text_of, until,
};

/// First events that the percentile is measured from.
const MEASURED: usize = 30;

fn stream(from: &str) -> String {
    format!("{EVENTS_HEAD}{}", chunked(&event_stream(from, &["hello ", from])))
}

/// Two providers, of which the first comes first, and what `[hedge]` says.
fn config(first: &Origin, second: &Origin, hedge: &str) -> String {
    format!(
        "[hedge]\n{hedge}\n{}{}{}",
        provider("first", first.address, ""),
        provider("second", second.address, ""),
        models("t/m", &["first", "second"]).replace("[[model]]", "[[model]]\nstrategy = \"order\"")
    )
}

#[test]
fn what_is_slower_than_its_own_percentile_is_hedged() {
    each_driver(|driver| {
        let slow = Arc::new(AtomicBool::new(false));
        let (gone, left) = mpsc::channel();
        let first = {
            let slow = Arc::clone(&slow);
            Origin::answering(move |peer, _| {
                if slow.load(Ordering::Acquire) {
                    let _ = gone.send(peer.until_gone());
                } else {
                    peer.send(stream("first").as_bytes());
                }
            })
        };
        let second = Origin::answering(|peer, _| {
            peer.send(stream("second").as_bytes());
        });
        let proxy = Proxy::start(driver, &config(&first, &second, "after = \"p95\"\nleast = \"50ms\""));
        let mut client = proxy.connect();
        for turn in 0..MEASURED {
            let answer = client.ask(&chat("t/m", true, &turn.to_string()));
            assert_eq!(text_of(&answer.text()), "hello first");
        }
        assert_eq!(proxy.metric("millrace_hedges_started_total"), 0);
        // paced: percentiles are brought up to date once a second
        thread::sleep(Duration::from_millis(1300));
        slow.store(true, Ordering::Release);
        let asked = Instant::now();
        let answer = client.ask(&chat("t/m", true, "late"));
        assert_eq!(text_of(&answer.text()), "hello second");
        assert!(asked.elapsed() >= Duration::from_millis(50), "sooner than `least`");
        let ended = left.recv_timeout(PATIENCE).expect("the loser's connection ends");
        assert!(ended.is_some(), "the loser's connection was kept");
        // The connection of the winner is a clean one, whatever lane it is on.
        slow.store(false, Ordering::Release);
        let answer = client.ask(&chat("t/m", true, "after"));
        assert_eq!(text_of(&answer.text()), "hello first");
        for (name, want) in [("started", 1), ("won", 1), ("lost", 0), ("denied", 0)] {
            assert_eq!(proxy.metric(&format!("millrace_hedges_{name}_total")), want, "{name}");
        }
        assert_eq!((first.requests().len(), second.requests().len()), (MEASURED + 2, 1));
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
        until("nothing is under way any more", || {
            let metrics = proxy.metrics();
            let mut lines = metrics.lines().filter(|line| line.starts_with("millrace_endpoint_in_flight"));
            lines.all(|line| line.ends_with(" 0"))
        });
    });
}

#[test]
fn races_one_after_the_other_on_one_connection() {
    const RACES: usize = 40;
    each_driver(|driver| {
        // Each of the two is the fast one in turn, so that now one lane wins and now the other.
        let (asked, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let origin = |name: &'static str, odd: usize| {
            let (asked, taken) = (Arc::clone(&asked), Arc::clone(&taken));
            Origin::answering(move |peer, _| {
                taken.fetch_add(1, Ordering::AcqRel);
                let turn = asked.load(Ordering::Acquire);
                if turn % 2 == odd {
                    until("both are under way", || taken.load(Ordering::Acquire) == 2 * (turn + 1));
                    peer.send(stream(name).as_bytes());
                } else {
                    peer.until_gone();
                }
            })
        };
        let (first, second) = (origin("first", 0), origin("second", 1));
        let hedge = "after = \"2ms\"\nrequests_percent = 100\ncost_percent = 100";
        let proxy = Proxy::start(driver, &config(&first, &second, hedge));
        let mut client = proxy.connect();
        for turn in 0..RACES {
            asked.store(turn, Ordering::Release);
            let answer = client.ask(&chat("t/m", true, &turn.to_string()));
            let want = if turn % 2 == 0 { "hello first" } else { "hello second" };
            assert_eq!((answer.status, text_of(&answer.text()).as_str()), (200, want), "{turn}");
        }
        let metric = |name: &str| proxy.metric(&format!("millrace_hedges_{name}_total"));
        assert_eq!((metric("started"), metric("won"), metric("lost")), (40, 20, 20));
        assert_eq!((first.requests().len(), second.requests().len()), (RACES, RACES));
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

#[test]
fn the_share_of_requests_bounds_the_hedges() {
    const REQUESTS: usize = 30;
    each_driver(|driver| {
        let origin = || {
            Origin::answering(|peer, _| {
                // paced: longer than the delay of a hedge, on a busy machine too
                thread::sleep(Duration::from_millis(60));
                peer.send(stream("either").as_bytes());
            })
        };
        let (first, second) = (origin(), origin());
        let hedge = "after = \"2ms\"\nrequests_percent = 10";
        let proxy = Proxy::start(driver, &config(&first, &second, hedge));
        let mut client = proxy.connect();
        for turn in 0..REQUESTS {
            assert_eq!(client.ask(&chat("t/m", true, &turn.to_string())).status, 200);
        }
        let metric = |name: &str| proxy.metric(&format!("millrace_hedges_{name}_total"));
        // A burst of ten, then a tenth of what came since. An answer that came in the same turn as its hedge
        // was due counts for neither.
        let (started, denied) = (metric("started"), metric("denied"));
        assert!((10..=13).contains(&started) && denied > 0, "{started} and {denied}");
        assert!(started + denied <= REQUESTS as u64, "{started} and {denied}");
        assert_eq!(metric("won") + metric("lost"), started);
    });
}
