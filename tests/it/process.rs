//! The process: how it stops, how it spreads connections over its cores, and how it ends when it cannot
//! start.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::harness::{
    Client, EVENTS_HEAD, End, Folder, Origin, PATIENCE, Proxy, chat, chunk, document, document_answer,
    each_driver, event_stream, models, provider, text_of,
};

/// Workers may take two seconds for last words, and the process four to collect them.
const STOPPED_AT_ONCE: Duration = Duration::from_secs(6);

/// An origin that answers in two halves; between them it waits to be told.
struct Gated {
    origin: Origin,
    reached: Receiver<()>,
    open: Sender<()>,
}

impl Gated {
    fn start() -> Self {
        let (tell, reached) = channel();
        let (open, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let origin = Origin::answering(move |peer, seen| {
            let whole = if seen.wants_stream() {
                let body: String =
                    event_stream("o", &["one ", "two"]).iter().map(|event| chunk(event)).collect();
                format!("{EVENTS_HEAD}{body}0\r\n\r\n").into_bytes()
            } else {
                document_answer("200 OK", &document("o", "one two"))
            };
            // The first event ends where the second one's chunk begins.
            let half = memchr::memmem::find(&whole, b"\n\n\r\n").map_or(20, |at| at + 4);
            peer.send(&whole[..half]);
            let _ = tell.send(());
            // The gate also opens when the test is over.
            let _ = gate.lock().map(|gate| gate.recv_timeout(PATIENCE));
            peer.send(&whole[half..]);
        });
        Self { origin, reached, open }
    }

    fn config(&self) -> String {
        format!("{}{}", provider("o", self.origin.address, ""), models("t/m", &["o"]))
    }

    /// Begins a request and waits until its answer has begun.
    fn begin(&self, proxy: &Proxy, stream: bool) -> Client {
        let mut client = proxy.connect();
        client.send(&chat("t/m", stream, "gated"));
        self.reached.recv_timeout(PATIENCE).expect("the origin gets the request");
        if stream {
            client.hold_until(b"one ");
        }
        client
    }
}

#[test]
fn a_drain_ends_what_runs_and_takes_nothing_new() {
    each_driver(|driver| {
        let gated = Gated::start();
        let mut proxy = Proxy::start(driver, &gated.config());
        let mut idle = proxy.connect();
        assert_eq!(idle.ask(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").status, 200);
        let mut fresh = proxy.connect();
        let mut begun = proxy.connect();
        begun.send(b"GET /healthz HTTP/1.1\r\nhost: h\r\n");
        let mut stream = gated.begin(&proxy, true);
        // Its origin connection is busy, so this one gets another.
        let mut held = gated.begin(&proxy, false);
        proxy.signal("TERM");
        assert_eq!(idle.ends_within(PATIENCE), Some(End::Fin), "an idle connection is closed");
        assert_eq!(fresh.ends_within(PATIENCE), Some(End::Fin), "so is one that never asked");
        if let Ok(mut late) = Client::try_connect(proxy.address) {
            let _ = late.try_send(&chat("t/m", false, "late"));
            let (received, end) = late.rest();
            assert!(
                received.is_empty() && end != End::Silence,
                "a new connection is not served: {received:?}"
            );
        }
        begun.send(b"\r\n");
        let health = begun.answer();
        assert!(health.status == 503 && health.closes(), "a load balancer is told: {health:?}");
        assert!(proxy.exit_within(Duration::ZERO).is_none(), "answers still run");
        for _ in 0..2 {
            gated.open.send(()).expect("the origin lives");
        }
        let answer = stream.answer();
        assert!(answer.whole && text_of(&answer.text()) == "one two", "{answer:?}");
        assert_eq!(stream.rest(), (Vec::new(), End::Fin));
        let answer = held.answer();
        assert!(answer.whole && answer.status == 200 && answer.closes(), "{answer:?}");
        assert_eq!(held.rest(), (Vec::new(), End::Fin));
        let status = proxy.exit_within(PATIENCE).expect("it ends after the last answer");
        assert_eq!(status.code(), Some(0), "{}", proxy.printed());
    });
}

#[test]
fn a_second_signal_or_the_end_of_patience_ends_at_once() {
    each_driver(|driver| {
        for (drain_timeout, second) in [("10m", true), ("200ms", false)] {
            let gated = Gated::start();
            let config = format!("[server]\ndrain_timeout = \"{drain_timeout}\"\n{}", gated.config());
            let mut proxy = Proxy::start(driver, &config);
            let mut stream = gated.begin(&proxy, true);
            let mut held = gated.begin(&proxy, false);
            let mut idle = proxy.connect();
            proxy.signal("INT");
            if second {
                // The first signal was taken when its effect shows.
                assert_eq!(idle.ends_within(PATIENCE), Some(End::Fin));
                proxy.signal("TERM");
            }
            let answer = stream.answer();
            assert!(!answer.whole && answer.text().contains("\"finish_reason\":\"error\""), "{answer:?}");
            assert!(!answer.text().contains("[DONE]"), "{answer:?}");
            let answer = held.answer();
            assert!(answer.status == 503 && answer.is_clear_error(), "{answer:?}");
            let status = proxy.exit_within(STOPPED_AT_ONCE).expect("it ends although answers ran");
            assert_eq!(status.code(), Some(0), "{}", proxy.printed());
        }
    });
}

#[test]
fn connections_spread_over_the_cores() {
    const CONNECTIONS: u64 = 64;
    each_driver(|driver| {
        let proxy = Proxy::start_in(Folder::new(), driver, 2, "");
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = proxy.connect();
            // Answered, so it is placed: the next one is placed with this one counted.
            assert_eq!(client.ask(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").status, 200);
            clients.push(client);
        }
        let cores =
            [0, 1].map(|core| proxy.metric(&format!("millrace_client_connections{{core=\"{core}\"}}")));
        println!("{driver}: {cores:?}");
        // Each look is one connection more.
        assert!((CONNECTIONS..=CONNECTIONS + 2).contains(&cores.iter().sum()), "{cores:?}");
        assert!(cores.iter().all(|&open| open * 4 <= CONNECTIONS * 3), "{cores:?}");
        for client in &mut clients {
            assert_eq!(client.ask(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").status, 200);
        }
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    const MOST: usize = 4;
    const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n";
    each_driver(|driver| {
        let proxy = Proxy::start(driver, &format!("[limits]\nconnections_per_core = {MOST}\n"));
        let mut clients: Vec<Client> = (0..MOST).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.ask(HEALTH).status, 200);
        }
        // The kernel takes the connection, the proxy does not. One accept may be under way already.
        let mut late: Vec<Client> = (0..3).map(|_| proxy.connect()).collect();
        for client in &mut late {
            client.send(HEALTH);
        }
        let last = late.last_mut().expect("three are late");
        assert_eq!(last.ends_within(Duration::from_millis(100)), None);
        assert!(last.hold_now().is_empty(), "it was answered beyond the limit");
        drop(clients);
        for client in &mut late {
            assert_eq!(client.answer().status, 200);
        }
    });
}

#[test]
fn what_cannot_start_says_why() {
    let folder = Folder::new();
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().map(|address| address.to_string()).expect("it is bound");
    let wrong = folder.write("wrong.toml", "[server]\nlistne = \"127.0.0.1:1\"\n");
    let wrong = wrong.display().to_string();
    let absent = folder.path().join("absent.toml").display().to_string();
    for (arguments, code, word) in [
        (vec!["--config", &wrong], 78, "did you mean `listen`?"),
        (vec!["--config", &absent], 78, "cannot be read"),
        (vec!["--listen", "0.0.0.0:0"], 78, "auth"),
        (vec!["--listen", &taken], 74, "cannot listen on"),
    ] {
        let out = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(&arguments)
            .env_clear()
            .env("MILLRACE_DATA_DIR", folder.path().join("data"))
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
        assert!(!String::from_utf8_lossy(&out.stdout).contains("listening"), "{arguments:?}");
    }
    drop(held);
}
