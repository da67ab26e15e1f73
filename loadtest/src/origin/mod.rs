//! `origin`: a fake fleet of models, as a scenario describes it, on one thread.
//!
//! ```text
//!  request ─► number and switches read, words compared ─► fate drawn ─► events at their times, numbered,
//!                                                                       each with the time of its writing
//! ```
//! Answers are rendered once; an event costs a copy and a write. Deliberately absent: JSON parsing, and
//! everything about a model that a router does not see.

mod connection;
pub(crate) mod numbered;
mod render;
mod request;
mod server;
mod stream;

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::ServerConfig;

use crate::certificate;
use crate::event_loop::clock::{self, Random, now_ns, seconds_ns};
use crate::event_loop::poll::Poll;
use crate::event_loop::timers::Timers;
use crate::scenario::{self, Scenario};
use render::Rendered;
pub(crate) use render::words_of;
use server::{Counts, Server};
use stream::Shape;

/// Descriptors without which a fleet does not start; it takes as many as the kernel allows.
const DESCRIPTORS: u64 = 256;
/// Connections that may wait to be accepted: a burst of them must not be told to come back a second later.
const BACKLOG: i32 = 4096;

/// Options of `origin`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// What the fleet does
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// Address of the first member; the others have the ports behind it, or free ones if this is 0
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
    /// Core to run on
    #[arg(long, value_name = "N")]
    cpu: Option<u32>,
    /// Stop after this time; without it, run until stopped
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Write the authority behind a fleet's certificate to this file, as PEM, for whoever is to trust it
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

/// Runs `origin`.
///
/// # Errors
/// It could not start, or the kernel took its listeners or its epoll away.
pub(crate) fn origin(options: &Options) -> Result<u64, String> {
    let scenario = Scenario::read(&options.scenario)?;
    crate::raise_descriptor_limit(DESCRIPTORS)?;
    clock::be_punctual();
    if let Some(cpu) = options.cpu {
        clock::pin(cpu)?;
    }
    let tls = if scenario.origin.tls { Some(tls(options.certificate.as_deref())?) } else { None };
    let mut server = build(&scenario, scenario::resolve(&options.listen)?, tls)?;
    announce(&server, scenario.origin.tls).map_err(|error| format!("standard output: {error}"))?;
    let end_ns = options.seconds.map_or(u64::MAX, |seconds| now_ns() + seconds_ns(seconds));
    server.serve(end_ns).map_err(|error| format!("the fleet stopped: {error}"))?;
    let Counts { connections, requests, changed, faults } = server.counts;
    let line = format!(
        "{connections} connections, {requests} requests, {faults} faults as asked, {changed} prompts changed"
    );
    writeln!(io::stdout().lock(), "{line}").map_err(|error| format!("standard output: {error}"))?;
    Ok(changed)
}

/// A configuration of TLS whose authority is written to a file.
fn tls(certificate_file: Option<&Path>) -> Result<Arc<ServerConfig>, String> {
    let (config, authority) = certificate::server()?;
    if let Some(file) = certificate_file {
        fs::write(file, authority).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(config)
}

fn build(scenario: &Scenario, first: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Result<Server, String> {
    let faults: Vec<_> = scenario.members().into_iter().map(|member| member.fault).collect();
    let listeners = listeners(first, faults.len())?;
    let rendered = Rendered::new(&scenario.origin, &faults);
    let shape = Shape::new(&scenario.origin, rendered.event_bytes());
    let prompt_bytes = usize::try_from(scenario.client.prompt_bytes).unwrap_or(usize::MAX);
    Ok(Server {
        listeners,
        faults,
        tls,
        rendered,
        shape,
        prompt: numbered::words(prompt_bytes).into_bytes(),
        random: Random::new(scenario.origin.seed),
        poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
        timers: Timers::default(),
        slots: Vec::new(),
        free: Vec::new(),
        counts: Counts::default(),
    })
}

fn listeners(first: SocketAddr, count: usize) -> Result<Vec<TcpListener>, String> {
    (0..count)
        .map(|index| {
            let mut address = first;
            if first.port() != 0 {
                let port = usize::from(first.port()) + index;
                address.set_port(u16::try_from(port).map_err(|_| format!("port {port}: too high"))?);
            }
            let listen = || {
                let listener = TcpListener::bind(address)?;
                // A second listen(2) only changes the backlog, which std has no face for.
                rustix::net::listen(&listener, BACKLOG)?;
                listener.set_nonblocking(true)?;
                io::Result::Ok(listener)
            };
            listen().map_err(|error| format!("{address}: {error}"))
        })
        .collect()
}

/// One line per member, on standard output.
fn announce(server: &Server, tls: bool) -> io::Result<()> {
    let scheme = if tls { "https" } else { "http" };
    let mut out = io::stdout().lock();
    for listener in &server.listeners {
        writeln!(out, "origin listening on {scheme}://{}", listener.local_addr()?)?;
    }
    out.flush()
}
