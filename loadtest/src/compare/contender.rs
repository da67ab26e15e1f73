//! Starting and stopping what is compared: each a child process of ours, pinned to its own core from its
//! first instruction, in front of the rig's origin.
//!
//! Deliberately absent: measuring, and any process that we did not start.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::rig::text::{MODEL, SECURE_MODEL};
use super::rig::{Door, Gateway};
use crate::floor::{self, ANNOUNCEMENT};

/// How long a process may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// The same for a gateway: LiteLLM imports for a quarter of a minute on a fast machine.
const GATEWAY_START_PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The client key that Millrace checks, made for this purpose alone, and its SHA-256 in the configuration.
pub(super) const KEY: &str = "sk-mr-7_iPxMXiYIg1-81KNJfs16ZoQKp_cuXQj4vLcXaSShg";
const KEY_SHA256: &str = "cec3162b877d6ad2ba2510d948a2ff16c72c1c31577496a6b45480f6ee051f5a";

/// The tuned configurations of the peers, shipped with the source.
const NGINX: &str = include_str!("../../peers/nginx.conf");
const HAPROXY: &str = include_str!("../../peers/haproxy.conf");
const LITELLM: &str = include_str!("../../peers/litellm.yaml");

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No proxy at all: the latencies that others add to.
    Direct,
    /// The raw relay.
    Floor,
    /// The raw relay once more, as a process of its own: what it differs by is noise.
    FloorAgain,
    Millrace,
    Nginx,
    /// As the second floor, for workloads in which the floor takes no part.
    NginxAgain,
    Haproxy,
    /// A gateway in Python.
    Litellm,
    /// A gateway in JavaScript.
    Portkey,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::Direct,
        Self::Floor,
        Self::FloorAgain,
        Self::Millrace,
        Self::Nginx,
        Self::NginxAgain,
        Self::Haproxy,
        Self::Litellm,
        Self::Portkey,
    ];

    /// True of gateways that are in a class of their own, and measured apart.
    pub(super) fn is_gateway(self) -> bool {
        matches!(self, Self::Litellm | Self::Portkey)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::FloorAgain => "floor again",
            Self::Millrace => "millrace",
            Self::Nginx => "nginx",
            Self::NginxAgain => "nginx again",
            Self::Haproxy => "haproxy",
            Self::Litellm => "litellm",
            Self::Portkey => "portkey",
        }
    }

    /// The threads that do its work, where it has others beside them.
    fn threads(self) -> Option<&'static str> {
        (self == Self::Millrace).then_some("worker-")
    }
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) origin: SocketAddr,
    /// The same with TLS, signed by the authority in [`AUTHORITY`] of the scratch folder.
    pub(super) secure_origin: SocketAddr,
    pub(super) millrace: PathBuf,
    pub(super) scratch: PathBuf,
    pub(super) contender_cpu: usize,
    pub(super) rig_cpu: usize,
}

/// A contender that listens.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) kind: Kind,
    pub(super) door: Door,
    /// Where it speaks TLS to the origin.
    pub(super) secure_door: Option<Door>,
    child: Option<Child>,
}

impl Contender {
    /// Its process; none for `direct`.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks the process to end and waits until it has.
    ///
    /// # Errors
    /// It did not end in time, or could not be asked.
    pub(super) fn stop(mut self) -> Result<(), String> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("a process without a number")?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("it could not be stopped: {error}"))?;
        let end = Instant::now() + START_PATIENCE;
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if Instant::now() >= end {
                return Err(format!("{} did not end when asked to", self.kind.name()));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// See [`Kind`].
    pub(super) fn threads(&self) -> Option<&'static str> {
        self.kind.threads()
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended by itself is only waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a contender and waits until it listens.
///
/// # Errors
/// Why it is left out: not installed, or it did not start.
pub(super) fn start(kind: Kind, places: &Places) -> Result<Contender, String> {
    let own = env::current_exe().map_err(|error| format!("our own program was not found: {error}"))?;
    match kind {
        Kind::Direct => {
            Ok(Contender { kind, door: door(places.origin, MODEL), secure_door: None, child: None })
        }
        Kind::Floor | Kind::FloorAgain => {
            let origin = places.origin.to_string();
            announced(kind, &own, &["floor", "--target", &origin], ANNOUNCEMENT, places)
        }
        Kind::Millrace => millrace(places, 0, &[], &[]),
        Kind::Nginx | Kind::NginxAgain => {
            let program = installed("nginx").ok_or("nginx is not installed")?;
            let (prefix, ports) = (places.scratch.display().to_string(), free_ports()?);
            let file =
                write(places, &format!("nginx-{}.conf", ports[0]), &peer_config(NGINX, places, ports))?;
            silent(kind, &program, &["-p", &prefix, "-c", &file, "-e", "stderr"], ports, places)
        }
        Kind::Haproxy => {
            let program = installed("haproxy").ok_or("haproxy is not installed")?;
            let ports = free_ports()?;
            let file = write(places, "haproxy.conf", &peer_config(HAPROXY, places, ports))?;
            silent(kind, &program, &["-db", "-q", "-f", &file], ports, places)
        }
        Kind::Litellm => {
            let program = installed("litellm").ok_or("litellm is not installed")?;
            let ports = free_ports()?;
            let file = write(places, "litellm.yaml", &peer_config(LITELLM, places, ports))?;
            let port = ports[0].to_string();
            let own = ["--config", &file, "--host", "127.0.0.1", "--port", &port, "--num_workers", "1"];
            let mut contender = silent(kind, &program, &own, ports, places)?;
            contender.door.gateway = Some(Gateway::Litellm);
            Ok(contender)
        }
        Kind::Portkey => {
            let program = portkey().ok_or("portkey's gateway is not installed")?;
            let ports = free_ports()?;
            let port = format!("--port={}", ports[0]);
            let mut contender = silent(kind, &program, &[&port, "--headless"], ports, places)?;
            contender.door.gateway = Some(Gateway::Portkey { origin: places.origin });
            Ok(contender)
        }
    }
}

/// Starts Millrace on this port, or on any for 0, with further options, under a program that runs it if one
/// is named.
///
/// # Errors
/// As [`start`].
pub(super) fn millrace(
    places: &Places,
    port: u16,
    under: &[&str],
    options: &[&str],
) -> Result<Contender, String> {
    let file = write(places, "millrace.toml", &millrace_config(places, port))?;
    let listening = "listening on http://";
    // Of each start its own: two may run at a time.
    static STARTS: AtomicU32 = AtomicU32::new(0);
    let number = STARTS.fetch_add(1, Ordering::Relaxed);
    let data = places.scratch.join(format!("data-{number}")).display().to_string();
    let own = [&["--config", &file, "--data-dir", &data], options].concat();
    if !places.millrace.is_file() {
        let program = places.millrace.display();
        return Err(format!("{program} does not exist: build it with cargo build --release"));
    }
    let Some((program, rest)) = under.split_first() else {
        return announced(Kind::Millrace, &places.millrace, &own, listening, places);
    };
    let millrace = places.millrace.display().to_string();
    let arguments = [rest, &[millrace.as_str()], &own].concat();
    announced(Kind::Millrace, Path::new(program), &arguments, listening, places)
}

fn door(address: SocketAddr, model: &'static str) -> Door {
    Door { address, model, gateway: None }
}

/// File of the authority that signed the certificate of the origin with TLS.
pub(super) const AUTHORITY: &str = "authority.pem";

/// One provider, one model, one key: authentication, routing, health and counters are on, as in use. The same
/// once more, with TLS. Probes are off: the origin answers inference only.
fn millrace_config(places: &Places, port: u16) -> String {
    let mut config = format!("[server]\nlisten = \"127.0.0.1:{port}\"\ncores = 1\n\n");
    let authority = format!("ca_file = \"{}\"\n", places.scratch.join(AUTHORITY).display());
    for (id, model, url, trust) in [
        ("bench", MODEL, format!("http://{}", places.origin), ""),
        ("secure", SECURE_MODEL, format!("https://{}", places.secure_origin), authority.as_str()),
    ] {
        config += &format!(
            "[[provider]]\nid = \"{id}\"\nbase_url = \"{url}/v1\"\nauth = \"none\"\n{trust}\
             probe = {{ enabled = false }}\n\n\
             [[model]]\nid = \"{model}\"\n[[model.endpoint]]\nprovider = \"{id}\"\nname = \"{model}\"\n\
             price = {{ prompt = \"5.00\", completion = \"30.00\" }}\n\n"
        );
    }
    config + &format!("[[key]]\nname = \"loadtest\"\nsha256 = \"{KEY_SHA256}\"\n")
}

fn peer_config(template: &str, places: &Places, ports: [u16; 2]) -> String {
    let scratch = places.scratch.display().to_string();
    let [plain, secure] = ports.map(|port| format!("127.0.0.1:{port}"));
    template
        .replace("{ORIGIN}", &places.origin.to_string())
        .replace("{SECURE_ORIGIN}", &places.secure_origin.to_string())
        .replace("{LISTEN}", &plain)
        .replace("{SECURE_LISTEN}", &secure)
        .replace("{AUTHORITY}", &places.scratch.join(AUTHORITY).display().to_string())
        .replace("{SCRATCH}", &scratch)
        .replace("{MODEL}", MODEL)
        .replace("{KEY}", KEY)
}

fn write(places: &Places, name: &str, text: &str) -> Result<String, String> {
    let path = places.scratch.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// Two ports that were free a moment ago, for programs that cannot take any and say which.
pub(super) fn free_ports() -> Result<[u16; 2], String> {
    // Both are held until both are known, so that they differ.
    let bind = || TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"));
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let (one, two) = (bind()?, bind()?);
    let ports = port(&one).and_then(|one| Ok([one, port(&two)?]));
    ports.map_err(|error| format!("no free port: {error}"))
}

/// Where a program is, in the search path or where administrators' programs are.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Portkey's gateway: its package installs a program with a name that others have too.
fn portkey() -> Option<PathBuf> {
    let program = installed("gateway")?;
    let target = fs::canonicalize(&program).ok()?;
    target.display().to_string().contains("portkey").then_some(program)
}

/// Starts a program on the contender's core. Where `setpriv` is installed the kernel ends it with us, however
/// we end.
fn spawn(program: &Path, arguments: &[&str], places: &Places, output: Stdio) -> Result<Child, String> {
    let mut command = match installed("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    // LiteLLM would fetch its prices from the network, again and again where there is none.
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    // A child inherits the affinity of the thread that starts it.
    floor::pin(places.contender_cpu)?;
    let child = command.spawn().map_err(|error| format!("{} did not start: {error}", program.display()));
    floor::pin(places.rig_cpu)?;
    child
}

/// Starts a program that prints where it listens.
fn announced(
    kind: Kind,
    program: &Path,
    arguments: &[&str],
    before: &'static str,
    places: &Places,
) -> Result<Contender, String> {
    let mut child = spawn(program, arguments, places, Stdio::piped())?;
    let output = child.stdout.take();
    let (send, receive) = mpsc::channel();
    // Reads to the end, so that the program never waits for us to read; ends with the program.
    thread::spawn(move || {
        for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
            let Ok(line) = line else { return };
            let address = line.strip_prefix(before).and_then(|rest| rest.split(' ').next());
            if let Some(address) = address.and_then(|address| address.parse().ok()) {
                // Nobody waits any more when this took too long.
                let _ = send.send(address);
            }
        }
    });
    let mut contender =
        Contender { kind, door: door(places.origin, MODEL), secure_door: None, child: Some(child) };
    let address = receive
        .recv_timeout(START_PATIENCE)
        .map_err(|_| format!("{} did not say where it listens", kind.name()))?;
    contender.door.address = address;
    contender.secure_door = (kind == Kind::Millrace).then_some(door(address, SECURE_MODEL));
    Ok(contender)
}

/// Starts a program that says nothing, and tries its port.
fn silent(
    kind: Kind,
    program: &Path,
    arguments: &[&str],
    ports: [u16; 2],
    places: &Places,
) -> Result<Contender, String> {
    let child = spawn(program, arguments, places, Stdio::null())?;
    let [address, secure] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let secure_door = Some(door(secure, SECURE_MODEL));
    let mut contender = Contender { kind, door: door(address, MODEL), secure_door, child: Some(child) };
    let patience = if kind.is_gateway() { GATEWAY_START_PATIENCE } else { START_PATIENCE };
    let end = Instant::now() + patience;
    while TcpStream::connect_timeout(&address, LOOK_EVERY).is_err() {
        let ended = contender.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            return Err(format!("{} ended at once: {status}", kind.name()));
        }
        if Instant::now() >= end {
            return Err(format!("{} does not listen", kind.name()));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(contender)
}
