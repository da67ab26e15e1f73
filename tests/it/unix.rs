//! Unix sockets on both sides: a sidecar in front, a model server behind, and the files in the file system.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{
    Client, EVENTS_HEAD, End, Folder, Identity, PATIENCE, Peer, Proxy, Seen, UnixOrigin, chat, chunk,
    chunked, document, document_answer, each_driver, event_stream, models, provider_at, text_of, until,
};

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Answers with its name, as a stream if asked to.
fn named(name: &'static str) -> impl Fn(&mut Peer, &Seen) + Send + Sync + 'static {
    move |peer, seen| {
        if seen.wants_stream() {
            peer.send(EVENTS_HEAD.as_bytes());
            // Cut at odd places, so that the relay sees pieces of events.
            peer.send_cut(chunked(&event_stream(name, &["from ", name])).as_bytes(), 37);
        } else {
            peer.send(&document_answer("200 OK", &document(name, name)));
        }
    }
}

fn at(path: &Path) -> String {
    format!("unix:{}:/v1", path.display())
}

fn start(folder: Folder, driver: &str, cores: usize, config: &str) -> (Proxy, PathBuf) {
    let path = folder.path().join("proxy.sock");
    let more = [format!("unix:{}", path.display())];
    (Proxy::start_listening(folder, driver, cores, config, &more), path)
}

/// Runs the binary to its end; its exit code and what it said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let data = Folder::new();
    let out = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments)
        .env_clear()
        .env("MILLRACE_DATA_DIR", data.path())
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn a_request_goes_from_socket_to_socket() {
    each_driver(|driver| {
        let folder = Folder::new();
        let upstream = folder.path().join("vllm.sock");
        let origin = UnixOrigin::answering(&upstream, named("o"));
        let config = format!("{}{}", provider_at("o", &at(&upstream), ""), models("t/m", &["o"]));
        let (proxy, path) = start(folder, driver, 1, &config);
        let line = format!("listening on unix:{} (driver", path.display());
        until("the second address is told too", || proxy.printed().contains(&line));
        let (mut local, mut remote) = (Client::connect_unix(&path), proxy.connect());
        for turn in 0..6 {
            let client = if turn % 3 == 2 { &mut remote } else { &mut local };
            let stream = turn % 2 == 0;
            let answer = client.ask(&chat("t/m", stream, &format!("n{turn}")));
            assert!(answer.status == 200 && answer.whole, "{turn}: {answer:?}");
            if stream {
                assert_eq!(text_of(&answer.text()), "from o");
                assert!(answer.text().contains("data: [DONE]"), "{answer:?}");
            } else {
                assert_eq!(answer.json()["choices"][0]["message"]["content"], "o");
            }
        }
        let seen = origin.requests();
        assert_eq!(seen.len(), 6);
        for (turn, seen) in seen.iter().enumerate() {
            assert!(seen.head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", seen.head);
            assert_eq!(seen.field("host"), Some("localhost"));
            assert!(seen.text().contains(&format!("<n{turn}>")), "{}", seen.text());
        }
        assert_eq!(origin.connections(), 1, "a clean upstream connection serves again");
        assert_eq!(proxy.metric("millrace_upstream_reuses_total"), 5);
    });
}

/// What an upstream may do wrong before it answers: another one answers, and the client notices nothing.
#[test]
fn a_dead_socket_fails_over_to_a_living_one() {
    each_driver(|driver| {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        drop(UnixListener::bind(path("stale")).expect("the path is free"));
        folder.write("file", "not a socket");
        let _slams = UnixOrigin::answering(&path("slams"), |peer, _| peer.close());
        let living = UnixOrigin::answering(&path("living"), named("living"));
        let dead = ["missing", "stale", "file", "slams"];
        let mut config = provider_at("living", &at(&path("living")), "");
        for name in dead {
            config.push_str(&provider_at(name, &at(&path(name)), ""));
            config.push_str(&models(&format!("t/{name}"), &[name, "living"]));
            config.push_str(&models(&format!("only/{name}"), &[name]));
        }
        let (_proxy, path) = start(folder, driver, 1, &config);
        let mut client = Client::connect_unix(&path);
        for name in dead {
            for stream in [false, true] {
                let answer = client.ask(&chat(&format!("t/{name}"), stream, name));
                assert!(answer.status == 200 && answer.whole, "{name}: {answer:?}");
                assert!(answer.text().contains("living"), "{name}: {answer:?}");
            }
            let answer = client.ask(&chat(&format!("only/{name}"), false, name));
            assert!(answer.is_clear_error(), "{name}: {answer:?}");
        }
        assert_eq!(living.requests().len(), 2 * dead.len());
    });
}

/// A socket that comes back, as after a restart of the server behind it, is used again.
#[test]
fn an_upstream_may_be_restarted() {
    each_driver(|driver| {
        let folder = Folder::new();
        let upstream = folder.path().join("vllm.sock");
        let origin = UnixOrigin::answering(&upstream, named("one"));
        let config = format!("{}{}", provider_at("o", &at(&upstream), ""), models("t/m", &["o"]));
        let (_proxy, path) = start(folder, driver, 1, &config);
        let mut client = Client::connect_unix(&path);
        assert_eq!(client.ask(&chat("t/m", false, "a")).status, 200);
        drop(origin);
        std::fs::remove_file(&upstream).expect("the origin left its file");
        let origin = UnixOrigin::answering(&upstream, named("two"));
        // The first server's thread still serves its open connection; a new one goes to the new server.
        let mut streams: Vec<Client> = (0..2).map(|_| Client::connect_unix(&path)).collect();
        for stream in &mut streams {
            stream.send(&chat("t/m", true, "b"));
        }
        let texts: Vec<String> = streams.iter_mut().map(|stream| text_of(&stream.answer().text())).collect();
        assert!(texts.iter().all(|text| text.starts_with("from ")), "{texts:?}");
        assert!(origin.connections() <= 2);
    });
}

#[test]
fn a_client_that_leaves_and_an_upstream_that_is_cut_are_noticed() {
    each_driver(|driver| {
        let folder = Folder::new();
        let upstream = folder.path().join("o.sock");
        let (tell, told) = std::sync::mpsc::channel();
        let origin = UnixOrigin::answering(&upstream, move |peer, seen| {
            let events = event_stream("o", &["first ", "second"]);
            peer.send(EVENTS_HEAD.as_bytes());
            peer.send(chunk(&events[0]).as_bytes());
            if seen.text().contains("<cut>") {
                peer.close();
            } else {
                let _ = tell.send(peer.until_gone().is_some());
            }
        });
        let config = format!("{}{}", provider_at("o", &at(&upstream), ""), models("t/m", &["o"]));
        let (proxy, path) = start(folder, driver, 1, &config);
        let mut cut = Client::connect_unix(&path);
        let answer = cut.ask(&chat("t/m", true, "cut"));
        assert!(!answer.text().contains("[DONE]"), "{answer:?}");
        assert!(answer.text().contains("first "), "{answer:?}");
        assert!(!answer.whole || answer.text().contains("\"error\""), "{answer:?}");
        let mut leaves = Client::connect_unix(&path);
        leaves.send(&chat("t/m", true, "leave"));
        leaves.hold_until(b"first ");
        drop(leaves);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(true), "the upstream sees that the client has left");
        until("it is counted", || proxy.metric("millrace_clients_gone_total") == 1);
        assert_eq!(origin.connections(), 2);
    });
}

#[test]
fn all_cores_serve_one_socket() {
    const CONNECTIONS: u64 = 64;
    each_driver(|driver| {
        let (proxy, path) = start(Folder::new(), driver, 2, "");
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = Client::connect_unix(&path);
            assert_eq!(client.ask(HEALTH).status, 200);
            clients.push(client);
        }
        let cores =
            [0, 1].map(|core| proxy.metric(&format!("millrace_client_connections{{core=\"{core}\"}}")));
        println!("{driver}: {cores:?}");
        assert!((CONNECTIONS..=CONNECTIONS + 2).contains(&cores.iter().sum()), "{cores:?}");
        assert!(cores.iter().all(|&open| open * 4 <= CONNECTIONS * 3), "{cores:?}");
        for client in &mut clients {
            assert_eq!(client.ask(HEALTH).status, 200);
        }
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

/// TLS is for the IP address; the unix socket beside it is plain.
#[test]
fn a_socket_beside_tls_is_plain() {
    each_driver(|driver| {
        let (folder, identity) = (Folder::new(), Identity::of("localhost"));
        folder.write("cert.pem", &identity.cert);
        folder.write("key.pem", &identity.key);
        let config = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
        let (proxy, path) = start(folder, driver, 2, config);
        // Some of them are handed from core to core on the way.
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect_unix(&path)).collect();
        for client in &mut clients {
            assert_eq!(client.ask(HEALTH).status, 200);
        }
        let mut secure =
            Client::connect_tls(proxy.address, &identity.client(), "localhost").expect("a handshake");
        assert_eq!(secure.ask(HEALTH).status, 200);
    });
}

#[test]
fn the_file_comes_and_goes_with_the_process() {
    each_driver(|driver| {
        let folder = Folder::new();
        let path = folder.path().join("proxy.sock");
        // What a crashed process left behind.
        drop(UnixListener::bind(&path).expect("the path is free"));
        let stale = std::fs::metadata(&path).expect("it is there").ino();
        let (mut proxy, path) = start(folder, driver, 2, "[server]\nlisten_mode = \"0600\"\n");
        let found = std::fs::metadata(&path).expect("the socket has a file");
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        println!("{driver}: inode {stale}, then {}", found.ino());
        let name = format!("unix:{}", path.display());
        let (code, said) = run(&["--listen", &name]);
        assert!(code == Some(74) && said.contains("another process listens there"), "{code:?}: {said}");
        let mut busy = Client::connect_unix(&path);
        busy.send(b"GET /healthz HTTP/1.1\r\n");
        assert_eq!(Client::connect_unix(&path).ask(HEALTH).status, 200, "and still serves");
        let mut idle = Client::connect_unix(&path);
        assert_eq!(idle.ask(HEALTH).status, 200);
        proxy.signal("TERM");
        assert_eq!(idle.ends_within(PATIENCE), Some(End::Fin), "an idle connection is closed");
        let refused = UnixStream::connect(&path).map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "the file goes when draining begins");
        busy.send(b"host: h\r\n\r\n");
        // 200 where its core has not heard of the drain yet: there are two.
        assert!(matches!(busy.answer().status, 200 | 503), "what has begun is answered");
        let status = proxy.exit_within(PATIENCE).expect("it ends after the last answer");
        assert_eq!(status.code(), Some(0), "{}", proxy.printed());
        assert!(!path.exists());
    });
}

/// Two processes, the second started while the first one drains: the first one's end leaves the file alone.
#[test]
fn a_successor_keeps_its_file() {
    each_driver(|driver| {
        let folder = Folder::new();
        let upstream = folder.path().join("o.sock");
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let _origin = UnixOrigin::answering(&upstream, move |peer, _| {
            let _ = gate.lock().map(|gate| gate.recv_timeout(PATIENCE));
            peer.send(&document_answer("200 OK", &document("o", "late")));
        });
        let config = format!("{}{}", provider_at("o", &at(&upstream), ""), models("t/m", &["o"]));
        let (mut first, path) = start(folder, driver, 1, &config);
        let mut client = Client::connect_unix(&path);
        client.send(&chat("t/m", false, "slow"));
        until("the request is on its way", || first.metric("millrace_upstream_attempts_total") >= 1);
        first.signal("TERM");
        until("draining begins", || !path.exists());
        let more = [format!("unix:{}", path.display())];
        let second = Proxy::start_listening(Folder::new(), driver, 1, "", &more);
        assert_eq!(Client::connect_unix(&path).ask(HEALTH).status, 200);
        open.send(()).expect("the origin lives");
        assert_eq!(client.answer().status, 200);
        assert_eq!(first.exit_within(PATIENCE).and_then(|status| status.code()), Some(0));
        assert_eq!(Client::connect_unix(&path).ask(HEALTH).status, 200, "the file is the second one's");
        drop(second);
    });
}

/// Without any IP address; and what the file system says is told as it is.
#[test]
fn a_socket_alone_is_enough_and_errors_are_clear() {
    let folder = Folder::new();
    let path = folder.path().join("alone.sock");
    let file = folder.write("precious.txt", "not a socket");
    let name = |path: &Path| format!("unix:{}", path.display());
    for (listen, code, word) in [
        (name(&file), 74, "not a socket; it is not touched"),
        (name(&folder.path().join("deep/m.sock")), 74, "cannot listen on unix:"),
        ("unix:relative.sock".to_owned(), 2, "neither an absolute path nor"),
        (format!("unix:/{}", "x".repeat(107)), 2, "107 bytes"),
    ] {
        let (said_code, said) = run(&["--listen", &listen]);
        assert!(said_code == Some(code) && said.contains(word), "{listen}: {said_code:?}: {said}");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "not a socket");
    each_driver(|driver| {
        let data = Folder::new();
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["--driver", driver, "--cores", "1", "--listen", &name(&path)])
            .env_clear()
            .env("MILLRACE_DATA_DIR", data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let said: Vec<String> = lines.map_while(Result::ok).take(3).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(said[0], "no keys configured: serving this machine only");
        assert!(said[2].starts_with(&format!("listening on {} (", name(&path))), "{said:?}");
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o660);
        assert_eq!(Client::connect_unix(&path).ask(HEALTH).status, 200);
        // SIGKILL: nothing is tidied up, and the next turn starts at the same path all the same.
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(path.exists());
    });
}

/// Abstract names: in no file system, on both sides.
#[test]
fn abstract_names_work_too() {
    each_driver(|driver| {
        let front = format!("unix:@millrace-it-{}-{driver}", std::process::id());
        let back = Proxy::start_listening(Folder::new(), driver, 1, "", std::slice::from_ref(&front));
        let deadlines = "deadlines = { connect = \"5s\" }";
        let config = provider_at("back", &format!("{front}:/v1"), deadlines);
        let (_proxy, path) = start(Folder::new(), driver, 1, &config);
        let answer = Client::connect_unix(&path).ask(&chat("back/sim/steady", false, "through"));
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        assert_eq!(back.metric("millrace_requests_completed_total"), 1);
        let (code, said) = run(&["--listen", &front]);
        assert!(code == Some(74) && said.contains("another process listens there"), "{code:?}: {said}");
        drop(back);
        let answer = Client::connect_unix(&path).ask(&chat("back/sim/steady", false, "gone"));
        assert!(answer.is_clear_error(), "{answer:?}");
    });
}

/// Draining with connections that no core has accepted yet: they end, they do not hang.
#[test]
fn what_waits_to_be_accepted_ends_with_the_drain() {
    each_driver(|driver| {
        let (mut proxy, path) = start(Folder::new(), driver, 2, "[limits]\nconnections_per_core = 1\n");
        let mut served: Vec<Client> = (0..2).map(|_| Client::connect_unix(&path)).collect();
        for client in &mut served {
            assert_eq!(client.ask(HEALTH).status, 200);
        }
        let mut late: Vec<Client> = (0..3).map(|_| Client::connect_unix(&path)).collect();
        assert_eq!(late[2].ends_within(Duration::from_millis(50)), None);
        proxy.signal("TERM");
        for client in &mut late {
            let end = client.ends_within(PATIENCE);
            assert!(matches!(end, Some(End::Fin | End::Reset)), "{end:?}");
        }
        assert_eq!(proxy.exit_within(PATIENCE).and_then(|status| status.code()), Some(0));
    });
}
