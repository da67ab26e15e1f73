//! The product under test as a process: its start, what it printed, its signals and its end.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Client, Folder, PATIENCE};

/// A running Millrace. It is killed when this goes out of scope.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    printed: Arc<Mutex<Vec<u8>>>,
    /// Where its configuration lies; other files of the test may lie there too.
    pub(crate) folder: Folder,
    /// A client key for `/metrics`, where the configuration asks for one.
    pub(crate) key: Option<String>,
}

impl Proxy {
    /// Starts with this configuration on one core.
    pub(crate) fn start(driver: &str, config: &str) -> Self {
        Self::start_in(Folder::new(), driver, 1, config)
    }

    /// Starts with a configuration that may name files of `folder`.
    pub(crate) fn start_in(folder: Folder, driver: &str, cores: usize, config: &str) -> Self {
        Self::start_listening(folder, driver, cores, config, &[])
    }

    /// As `start_in`, and listens on these addresses too.
    pub(crate) fn start_listening(
        folder: Folder,
        driver: &str,
        cores: usize,
        config: &str,
        more: &[String],
    ) -> Self {
        let file = folder.write("millrace.toml", config);
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--driver", driver, "--cores", &cores.to_string()])
            .args(more.iter().flat_map(|address| ["--listen", address]))
            .arg("--config")
            .arg(&file)
            // No key of the developer's own environment becomes a provider here.
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .env("MILLRACE_DATA_DIR", folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (told, address) = channel();
        keep(child.stdout.take().expect("stdout is piped"), &printed, Some(told));
        keep(child.stderr.take().expect("stderr is piped"), &printed, None);
        let Some(address) = listening(&address) else {
            let _ = child.kill();
            let _ = child.wait();
            let text = printed.lock().unwrap_or_else(PoisonError::into_inner);
            panic!("it did not start:\n{}\nwith\n{config}", String::from_utf8_lossy(&text));
        };
        Self { child, address, printed, folder, key: None }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything on standard output and standard error so far.
    pub(crate) fn printed(&self) -> String {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&printed).into_owned()
    }

    /// The text of `/metrics`.
    pub(crate) fn metrics(&self) -> String {
        self.metrics_with(self.key.as_deref())
    }

    fn metrics_with(&self, key: Option<&str>) -> String {
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let request = format!("GET /metrics HTTP/1.1\r\nhost: m\r\n{key}connection: close\r\n\r\n");
        let mut client = self.connect();
        client.send(request.as_bytes());
        let answer = client.answer();
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        answer.text()
    }

    /// The value of one sample of `/metrics`; `name` with its labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.metric_with(name, self.key.as_deref())
    }

    /// As `metric`, with a client key.
    pub(crate) fn metric_with(&self, name: &str, key: Option<&str>) -> u64 {
        let text = self.metrics_with(key);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// The number of open descriptors; `None` where the kernel does not let us look.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).ok()?;
        Some(folder.count())
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Waits for its end.
    pub(crate) fn exit_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let give_up = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < give_up => {}
                Ok(None) | Err(_) => return None,
            }
            // paced: a child's end is polled, because waiting for it has no time limit.
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("--- the proxy printed\n{}", self.printed());
        }
    }
}

/// Waits for the line that says where it listens.
fn listening(lines: &Receiver<String>) -> Option<SocketAddr> {
    let give_up = Instant::now() + PATIENCE;
    while let Ok(line) = lines.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
        if let Some(rest) = line.strip_prefix("listening on http") {
            let rest = rest.trim_start_matches("s").trim_start_matches("://");
            return rest.split(' ').next()?.parse().ok();
        }
    }
    None
}

/// Collects what comes out of a pipe, and tells each line.
fn keep(pipe: impl Read + Send + 'static, printed: &Arc<Mutex<Vec<u8>>>, told: Option<Sender<String>>) {
    let printed = Arc::clone(printed);
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            printed.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&line);
            if let Some(told) = &told {
                // Nobody listens any more once the address is known.
                let _ = told.send(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            line.clear();
        }
    });
}
