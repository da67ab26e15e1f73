//! The prober against a real server that dies and comes back, as a core sees it.
//!
//! Deliberately absent: when a probe is due (`verdict` tests that without a clock).

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::base::address::{Address, UnixName};
use crate::base::ids::{EndpointId, HostId, ModelId, PoolId};
use crate::base::limits::Deadlines;
use crate::base::secret::Secret;
use crate::dialect::{DialectName, StreamUsage};
use crate::policy::catalog::{Credential, Endpoint, Host, Model, Provider};
use crate::policy::heads::Heads;
use crate::policy::health::Health;
use crate::policy::health::breaker::State;

const EVERY: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long anything may take at most.
const PATIENCE: Duration = Duration::from_secs(30);

fn clock() -> Moment {
    use std::sync::OnceLock;
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let begin = *BEGIN.get_or_init(Instant::now);
    Moment::from_nanos(1_000_000_000_000 + begin.elapsed().as_nanos() as u64)
}

fn provider(address: SocketAddr, credential: Credential) -> Provider {
    Provider {
        id: "fleet".into(),
        dialect: DialectName::OpenAi,
        tls: false,
        host: HostId(0),
        port: address.port(),
        authority: address.to_string().into(),
        base_path: "/v1".into(),
        credential,
        stream_usage: StreamUsage::OnRequest,
        deadlines: Deadlines::default(),
        pool: PoolId(0),
        passthrough: false,
        sticky_ttl: crate::base::limits::STICKY_TTL,
        on_client_gone: crate::policy::catalog::OnClientGone::Cut,
        heads: Heads::default(),
    }
}

/// A provider at this address with two endpoints of one model.
fn world(address: SocketAddr) -> Snapshot {
    let mut snapshot = Snapshot::bare();
    snapshot.hosts.push(Host { name: "h".into(), addresses: Arc::new([address.ip()]), unix: None });
    snapshot.providers.push(provider(address, Credential::None));
    snapshot.provider_ids.insert("fleet".into(), ProviderId(0));
    snapshot.endpoints = ["a", "b"].map(|name| Endpoint::plain(ProviderId(0), ModelId(0), name)).into();
    snapshot.models.push(Model::plain("m", vec![EndpointId(0), EndpointId(1)]));
    snapshot
}

/// A server that answers every request with a status, and tells what it was asked.
struct Server {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is ours");
        let address = listener.local_addr().expect("an address");
        let (status, asked) = (Arc::new(AtomicU16::new(200)), Arc::<AtomicUsize>::default());
        let (answer, count) = (Arc::clone(&status), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert!(text.starts_with("GET /health HTTP/1.1\r\n") && text.contains("connection: close"));
                count.fetch_add(1, Ordering::Relaxed);
                let head =
                    format!("HTTP/1.1 {} x\r\ncontent-length: 0\r\n\r\n", answer.load(Ordering::Relaxed));
                let _ = stream.write_all(head.as_bytes()).await;
            }
        });
        Self { address, status, asked, task }
    }

    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// A core beside a prober that runs.
struct Rig {
    snapshot: Arc<Snapshot>,
    core: Health,
    prober: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.prober.abort();
    }
}

impl Rig {
    fn new(address: SocketAddr) -> Self {
        let (snapshot, board) = (Arc::new(world(address)), Arc::new(Board::new(1)));
        let mut core = Health::default();
        core.join(Arc::clone(&board), 0);
        core.follow(&snapshot, clock());
        let target =
            Target { provider: "fleet".into(), path: "/health".into(), every: EVERY, timeout: TIMEOUT };
        let prober = Prober {
            targets: Arc::new(ArcSwap::from_pointee(vec![target])),
            snapshot: Arc::new(ArcSwap::new(Arc::clone(&snapshot))),
            board,
            now: clock,
        };
        Self { snapshot, core, prober: tokio::spawn(prober.run()) }
    }

    /// Waits until both endpoints stand like this on the core.
    async fn until(&mut self, state: State) {
        let begin = Instant::now();
        loop {
            let now = clock();
            self.core.tick(&self.snapshot, now, 1);
            let states = [0, 1].map(|endpoint| self.core.state(EndpointId(endpoint), now));
            if states == [state; 2] {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{states:?}, expected {state:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_dies_goes_behind_and_one_that_is_back_may_be_tried() {
    let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let (address, asked) = (server.address, Arc::clone(&server.asked));
    let mut rig = Rig::new(address);
    let begin = Instant::now();
    while asked.load(Ordering::Relaxed) < 3 {
        assert!(begin.elapsed() < PATIENCE, "an idle server is asked again and again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.until(State::Closed).await;
    server.stop().await;
    rig.until(State::Open).await;
    let server = Server::start(address).await;
    rig.until(State::HalfOpen).await;
    server.status.store(503, Ordering::Relaxed);
    rig.until(State::Open).await;
    server.status.store(401, Ordering::Relaxed);
    rig.until(State::HalfOpen).await;
    server.stop().await;
}

#[tokio::test]
async fn a_question_has_the_providers_key_and_answers_are_judged_by_their_status() {
    let credential = Credential::Bearer(Secret::new("sk-own"));
    let own = provider(SocketAddr::from(([10, 0, 0, 1], 8000)), credential);
    let question = String::from_utf8(ask::question(&own, "/v1/models")).expect("text");
    assert!(question.starts_with("GET /v1/models HTTP/1.1\r\nhost: 10.0.0.1:8000\r\n"), "{question}");
    assert!(question.contains("\r\nauthorization: Bearer sk-own\r\n") && question.ends_with("\r\n\r\n"));
    for (answer, want) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Ok(())),
        ("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 429 Slow\r\n\r\n", Ok(())),
        ("HTTP/1.1 500 No\r\n\r\n", Err("status 500")),
        ("HTTP/1.1 200", Err("closed without an answer")),
        ("SSH-2.0-OpenSSH\r\n\r\n", Err("no HTTP answer")),
        ("", Err("closed without an answer")),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address::Inet(listener.local_addr().expect("an address"));
        let serving = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await;
            // Byte by byte: a head may come cut anywhere.
            for byte in answer.as_bytes() {
                let _ = stream.write_all(&[*byte]).await;
            }
        };
        let (found, ()) = tokio::join!(ask::ask(&address, Some(question.as_bytes()), TIMEOUT), serving);
        assert_eq!(found, want.map_err(str::to_owned), "{answer:?}");
    }
}

#[tokio::test]
async fn what_does_not_answer_is_given_up_and_sockets_of_this_machine_are_asked_too() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = Address::Inet(silent.local_addr().expect("an address"));
    let short = Duration::from_millis(50);
    assert_eq!(ask::ask(&address, Some(b"GET"), short).await, Err("no answer in time".to_owned()));
    assert_eq!(ask::ask(&address, None, TIMEOUT).await, Ok(()), "a connection is enough for https");
    drop(silent);
    assert!(ask::ask(&address, None, TIMEOUT).await.is_err());
    let name = UnixName::parse(&format!("@millrace-probe-{}", std::process::id())).expect("a name");
    let address = Address::Unix(name.clone());
    assert!(ask::ask(&address, None, TIMEOUT).await.is_err());
    let text = format!("\0{}", name.abstract_name().expect("abstract"));
    let listener = tokio::net::UnixListener::bind(text).expect("the name is free");
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"HTTP/1.1 204 x\r\n\r\n").await;
    };
    let (found, ()) = tokio::join!(ask::ask(&address, Some(b"GET / HTTP/1.1\r\n\r\n"), TIMEOUT), serving);
    assert_eq!(found, Ok(()));
}
