//! Strict mode on a real worker, with the test in the disk's place: a request leaves when its admission is on
//! disk, the end of an answer when its settlement is, and nothing at all when the disk fails.
//!
//! Deliberately absent: the disk.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use millrace::app::journal::{Journals, open};
use millrace::base::metrics::Counters;
use millrace::control::config::{self, Config, Overrides, Sources};
use millrace::control::snapshot::{Extras, Interner, build};
use millrace::io::{Driver, DriverChoice, Message, Post, mailbox, probe};
use millrace::policy::health::board::Board;
use millrace::wire::journal::Sequence;
use millrace::wire::journal::marks::Marks;
use millrace::worker::{self, CoreJournal, Options, Shared};

use crate::{Folder, PATIENCE};

/// Long enough for a send that should not have happened to arrive.
const SILENCE: Duration = Duration::from_millis(30);

/// A whole message: its head, and as many bytes as that announces.
fn message(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = socket.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Some(text);
            }
        }
    }
}

/// An origin that says when a request has arrived, and answers it.
fn origin() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (tell, arrived) = channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, tell) = (socket.expect("a connection"), tell.clone());
            thread::spawn(move || {
                while let Some(request) = message(&mut socket) {
                    let _ = tell.send(request);
                    let body = concat!(
                        r#"{"id":"a-1","object":"chat.completion","created":1,"model":"m","choices":"#,
                        r#"[{"index":0,"message":{"role":"assistant","content":"LAST WORDS"},"#,
                        r#""finish_reason":"stop"}],"#,
                        r#""usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#
                    );
                    let length = body.len();
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
                    let _ = socket.write_all(format!("{head} {length}\r\n\r\n{body}").as_bytes());
                }
            });
        }
    });
    (port, arrived)
}

/// A worker whose disk is the test.
struct Strict {
    marks: Arc<Marks>,
    post: Post,
    /// Its worker has asked for a sync.
    asked: Mutex<Receiver<()>>,
    address: std::net::SocketAddr,
    worker: JoinHandle<std::io::Result<()>>,
}

fn strict_config(folder: &Path, port: u16) -> Config {
    let text = format!(
        "[ledger]\ndurability = \"strict\"\nsegment_bytes = 1048576\n\
         [[provider]]\nid = \"o\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\nauth = \"none\"\n\
         probe = {{ enabled = false }}\n\
         [[model]]\nid = \"t/m\"\n[[model.endpoint]]\nprovider = \"o\"\nname = \"m\"\n"
    );
    let sources = Sources { environment: &|_| None, read_file: &|_| Ok(String::new()) };
    let overrides = Overrides { data_dir: Some(folder.join("data")), ..Overrides::default() };
    config::load(Some((Path::new("millrace.toml"), text.as_bytes())), overrides, sources)
        .expect("it is right")
}

impl Strict {
    fn start(driver: Driver, folder: &Path, port: u16) -> Self {
        let config = strict_config(folder, port);
        let exposure = config::check_exposure(&config).expect("local");
        let snapshot = build(&config, exposure, Extras::default(), &mut Interner::default()).snapshot;
        assert!(snapshot.ledger.strict);
        let journals = open(&config, 1, |_| Sequence(0)).expect("it opens").expect("it is on");
        let Journals { mut writers, marks, .. } = journals;
        let (ask, asked) = channel();
        let ask = Mutex::new(ask);
        let ask = move || drop(ask.lock().map(|ask| ask.send(())));
        let (post, half) = mailbox().expect("a mailbox");
        let shared = Shared {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            upstream_tls: Arc::new(ArcSwap::from_pointee(Vec::new())),
            client_tls: None,
            counters: vec![Arc::new(Counters::default())],
            health: Arc::new(Board::new(1)),
            sticky: None,
            vocabularies: Arc::default(),
            posts: vec![post.clone()],
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let options = Options {
            index: 0,
            cpu: 0,
            driver,
            listeners: vec![listener.into()],
            mailbox: half,
            seed: [1, 2, 3],
            journal: Some(CoreJournal { writer: writers.remove(0), strict: Some(Arc::new(ask)) }),
            shared: Arc::new(shared),
        };
        let worker = thread::spawn(move || worker::run(options));
        Self { marks: Arc::clone(&marks[0]), post, asked: Mutex::new(asked), address, worker }
    }

    fn ask(&self) -> TcpStream {
        let body = r#"{"model":"t/m","messages":[{"role":"user","content":"hello"}]}"#;
        let mut client = TcpStream::connect(self.address).expect("it accepts");
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\n\
                    content-length:";
        client.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).expect("it takes it");
        client
    }

    /// Waits until something waits for the disk.
    fn is_asked(&self) {
        self.asked.lock().expect("one test").recv_timeout(PATIENCE).expect("a sync is asked for");
    }

    fn sync(&self) {
        self.marks.sync(self.marks.written());
        self.post.post(Message::Synced).expect("the worker lives");
    }

    fn end(self) {
        self.post.post(Message::Stop).expect("the worker lives");
        self.worker.join().expect("no panic").expect("it ends well");
    }
}

/// Nothing comes for a while.
fn is_silent(client: &mut TcpStream) {
    client.set_read_timeout(Some(SILENCE)).expect("a time limit");
    let mut bytes = [0; 4096];
    match client.read(&mut bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&bytes)),
    }
    client.set_read_timeout(Some(PATIENCE)).expect("a time limit");
}

fn each_driver(test: impl Fn(Driver)) {
    for choice in [DriverChoice::Uring, DriverChoice::Monoio, DriverChoice::Epoll] {
        if let Ok(driver) = probe(choice) {
            test(driver);
        }
    }
}

#[test]
fn nothing_leaves_before_its_record_is_on_disk() {
    each_driver(|driver| {
        let (folder, (port, arrived)) = (Folder::new(), origin());
        let strict = Strict::start(driver, &folder.0, port);
        let mut client = strict.ask();
        strict.is_asked();
        assert_eq!((strict.marks.written(), strict.marks.synced()), (Sequence(1), Sequence(0)));
        assert!(arrived.recv_timeout(SILENCE).is_err(), "{driver:?}: it was sent before it was recorded");
        strict.sync();
        let request = arrived.recv_timeout(PATIENCE).expect("now it is sent");
        assert!(request.contains("hello"));
        strict.is_asked();
        assert_eq!((strict.marks.written(), strict.marks.synced()), (Sequence(2), Sequence(1)));
        is_silent(&mut client);
        strict.sync();
        let answer = message(&mut client).expect("now it is answered");
        assert!(answer.contains("last words"), "{answer}");
        // A second one, whose sync comes at once.
        let mut client = strict.ask();
        strict.is_asked();
        strict.sync();
        strict.is_asked();
        strict.sync();
        assert!(message(&mut client).is_some());
        strict.end();
    });
}

#[test]
fn nothing_leaves_when_the_disk_fails() {
    each_driver(|driver| {
        let (folder, (port, arrived)) = (Folder::new(), origin());
        let strict = Strict::start(driver, &folder.0, port);
        let mut client = strict.ask();
        strict.is_asked();
        strict.marks.refuse(true);
        strict.post.post(Message::Synced).expect("the worker lives");
        client.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        assert!(message(&mut client).is_none(), "{driver:?}: the connection ends without an answer");
        assert!(arrived.recv_timeout(SILENCE).is_err(), "{driver:?}: it was sent all the same");
        // The next one is refused, which needs no disk.
        let answer = message(&mut strict.ask()).expect("an answer");
        assert!(answer.starts_with("http/1.1 503"), "{answer}");
        strict.marks.refuse(false);
        strict.end();
    });
}
