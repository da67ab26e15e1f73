//! From the text of a case to a [`Case`]. The grammar is in `case`.
//!
//! Deliberately absent: any meaning of the steps.

use core::time::Duration;

use crate::base::limits::{Deadlines, Limits};
use crate::exchange::sim::case::{Case, ClientStep, Config, Expect, Origin, OriginStep, ProcessStep};
use crate::exchange::sim::ledger;
use crate::exchange::sim::setup::CLIENT_KEY;
use crate::policy::hedge::When;

type Result<T> = core::result::Result<T, String>;

/// Where lines go.
enum Section {
    Title,
    Config,
    Client,
    Origin(Writer),
    Process,
    Expect(usize),
}

/// Turns the high-level steps of an origin into bytes.
#[derive(Default)]
struct Writer {
    provider: usize,
    /// How many sections this one stands for.
    times: usize,
    steps: Vec<OriginStep>,
    framing: Framing,
    /// Bytes collected for a head whose length is not yet known, and its payload.
    held: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    Plain,
    Chunked,
    Close,
}

/// Reads a case.
pub(super) fn case(text: &str) -> Result<Case> {
    let mut case = Case::empty();
    let mut section = Section::Title;
    for (index, line) in text.lines().enumerate() {
        let at = |why: String| format!("line {}: {why}: {line}", index + 1);
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if matches!(section, Section::Title) {
                case.title.push_str(comment.trim());
                case.title.push('\n');
            }
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            close(&mut case, section).map_err(at)?;
            section = open(&mut case, name).map_err(at)?;
        } else if !line.is_empty() {
            take(&mut case, &mut section, line).map_err(at)?;
        }
    }
    close(&mut case, section)?;
    Ok(case)
}

fn open(case: &mut Case, name: &str) -> Result<Section> {
    let (word, rest) = split(name);
    Ok(match word {
        "config" => Section::Config,
        "client" => {
            case.clients.push(Vec::new());
            Section::Client
        }
        "origin" if !rest.is_empty() => {
            let (name, times) = counted(rest)?;
            Section::Origin(Writer { provider: case.config.provider(name), times, ..Writer::default() })
        }
        "process" => Section::Process,
        "expect" if rest.is_empty() => Section::Expect(0),
        "expect" => Section::Expect(number(rest)?.saturating_sub(1)),
        _ => return Err("unknown section".to_owned()),
    })
}

fn close(case: &mut Case, section: Section) -> Result<()> {
    if let Section::Origin(writer) = section {
        if writer.held.is_some() {
            return Err("a head with `length` needs an `end`".to_owned());
        }
        let mut steps = writer.steps;
        let opens = matches!(
            steps.first(),
            Some(
                OriginStep::Refuse | OriginStep::Blackhole | OriginStep::Unresolved | OriginStep::TlsFailure
            )
        );
        let no_await = steps.first() == Some(&OriginStep::Wait(Duration::ZERO));
        let awaits = matches!(steps.first(), Some(OriginStep::Await | OriginStep::AwaitHead));
        if !opens && !no_await && !awaits {
            steps.insert(0, OriginStep::Await);
        }
        let origin = Origin { provider: writer.provider, steps };
        case.origins.extend(core::iter::repeat_n(origin, writer.times));
    }
    Ok(())
}

fn take(case: &mut Case, section: &mut Section, line: &str) -> Result<()> {
    let (word, rest) = split(line);
    match section {
        Section::Title => Err("a line before the first section".to_owned()),
        Section::Config => config(&mut case.config, word, rest),
        Section::Client => {
            let steps = case.clients.last_mut().ok_or("no client")?;
            client(steps, word, rest)
        }
        Section::Origin(writer) => writer.take(word, rest),
        Section::Process => {
            case.process.push(match word {
                "wait" => ProcessStep::Wait(duration(rest)?),
                "drain" => ProcessStep::Drain,
                "stop" => ProcessStep::Stop,
                _ => return Err("unknown step".to_owned()),
            });
            Ok(())
        }
        Section::Expect(client) => {
            let text = unescape(rest)?;
            let (client, line, word) = (*client, line.to_owned(), word.to_owned());
            case.expect.push(Expect { client, line, word, text });
            Ok(())
        }
    }
}

fn config(config: &mut Config, word: &str, rest: &str) -> Result<()> {
    match word {
        "model" => {
            let (name, endpoints) = rest.split_once('=').ok_or("expected =")?;
            let mut list = Vec::new();
            for endpoint in endpoints.split_whitespace() {
                let (provider, upstream) = endpoint.split_once('/').ok_or("expected PROVIDER/NAME")?;
                list.push((config.provider(provider), upstream.to_owned()));
            }
            config.models.push((name.trim().to_owned(), list));
        }
        "auto" => {
            let (tier, names) = rest.split_once('=').ok_or("expected =")?;
            let (name, least) = split(tier);
            let least = u16::try_from(number(least)?).map_err(|_| "a score is small")?;
            let names = names.split_whitespace().map(str::to_owned).collect();
            config.auto.push((name.to_owned(), least, names));
        }
        "deadline" => {
            let (kind, time) = split(rest);
            *deadline(&mut config.deadlines, kind).ok_or("unknown deadline")? = duration(time)?;
        }
        "limit" => {
            let (kind, count) = split(rest);
            *limit(&mut config.limits, kind).ok_or("unknown limit")? = number(count)?;
        }
        "waiting" => config.waiting = Some(duration(rest)?),
        "hedge" | "hedge-share" | "hedge-cost" | "hedge-per-request" => {
            let terms = &mut config.hedging;
            terms.in_use = true;
            match word {
                "hedge" => terms.when = When::After(duration(rest)?),
                "hedge-share" => terms.requests_percent = number(rest)? as u32,
                "hedge-cost" => terms.cost_percent = number(rest)? as u32,
                _ => terms.per_request = rest == "on",
            }
        }
        "ambiguous-failover" => config.ambiguous = rest != "off",
        "keys" => config.keys = rest != "off",
        "debug" => config.debug = rest == "on",
        "sticky-ttl" => config.sticky_ttl = duration(rest)?,
        "usage-always" | "passthrough" | "cached" => {
            let at = config.provider(rest);
            let provider = &mut config.providers[at];
            match word {
                "passthrough" => provider.passthrough = true,
                "cached" => provider.cached = true,
                _ => provider.usage_always = true,
            }
        }
        "control" => config.control = Some(config.provider(rest)),
        "drain-timeout" => config.ledger.drain_timeout = duration(rest)?,
        _ => return ledger::setting(config, word, rest),
    }
    Ok(())
}

fn deadline<'d>(deadlines: &'d mut Deadlines, kind: &str) -> Option<&'d mut Duration> {
    Some(match kind {
        "connect" => &mut deadlines.connect,
        "response-head" => &mut deadlines.response_head,
        "first-event" => &mut deadlines.first_event,
        "answer" => &mut deadlines.answer,
        "idle" => &mut deadlines.idle,
        "total" => &mut deadlines.total,
        "client-head" => &mut deadlines.client_head,
        "client-body" => &mut deadlines.client_body,
        "client-send" => &mut deadlines.client_send,
        "client-idle" => &mut deadlines.client_idle,
        _ => return None,
    })
}

fn limit<'l>(limits: &'l mut Limits, kind: &str) -> Option<&'l mut usize> {
    Some(match kind {
        "body" => &mut limits.body_bytes,
        "bodies" => &mut limits.bodies_bytes_per_core,
        "attempts" => &mut limits.attempts,
        _ => return None,
    })
}

fn client(steps: &mut Vec<ClientStep>, word: &str, rest: &str) -> Result<()> {
    steps.push(match word {
        "post" | "get" | "head" => return request(steps, word, rest),
        "ask" => {
            let (count, rest) = split(rest);
            for _ in 0..repeats(count)? {
                request(steps, "post", rest)?;
                steps.push(ClientStep::Answer);
            }
            return Ok(());
        }
        "rest" => ClientStep::Rest(duration(rest)?),
        "send" => ClientStep::Send(unescape(rest)?),
        "answer" => ClientStep::Answer,
        "until" => ClientStep::Until(unescape(rest)?),
        "wait" => ClientStep::Wait(duration(rest)?),
        "pace" => {
            let (count, every) = split(rest);
            ClientStep::Pace(number(count)?.max(1), duration(every)?)
        }
        "stop-reading" => ClientStep::StopReading,
        "hold" => ClientStep::Hold,
        "fin" => ClientStep::Fin,
        "leave" => ClientStep::Leave,
        "reset" => ClientStep::Reset,
        _ => return Err("unknown step".to_owned()),
    });
    Ok(())
}

fn request(steps: &mut Vec<ClientStep>, word: &str, mut rest: &str) -> Result<()> {
    let (mut version, mut fields) = ("1.1", String::new());
    let (mut chunked, mut expect, mut key) = (false, false, true);
    while !rest.starts_with('/') {
        let (flag, others) = split(rest);
        match flag {
            "1.0" => version = "1.0",
            "close" => fields.push_str("connection: close\r\n"),
            "chunked" => chunked = true,
            "expect" => expect = true,
            "no-key" => key = false,
            _ if flag.starts_with("field:") => {
                let (name, value) = flag[6..].split_once('=').ok_or("expected field:NAME=VALUE")?;
                fields.push_str(&format!("{name}: {value}\r\n"));
            }
            _ => match flag.strip_prefix("hedge=") {
                Some(value) => fields.push_str(&format!("x-millrace-hedge: {value}\r\n")),
                None => return Err(format!("unknown flag {flag}")),
            },
        }
        rest = others;
    }
    let (path, body) = split(rest);
    let body = unescape(body)?;
    if key {
        fields.push_str(&format!("authorization: Bearer {CLIENT_KEY}\r\n"));
    }
    if chunked {
        fields.push_str("transfer-encoding: chunked\r\n");
    } else if word == "post" {
        fields.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    }
    if expect {
        fields.push_str("expect: 100-continue\r\n");
    }
    let method = word.to_uppercase();
    if word == "head" {
        steps.push(ClientStep::Bodyless);
    }
    let head = format!("{method} {path} HTTP/{version}\r\nhost: router.test\r\n{fields}\r\n").into_bytes();
    let mut coded = Vec::new();
    if chunked {
        for part in body.chunks(body.len().div_ceil(2).max(1)) {
            coded.extend(format!("{:x}\r\n", part.len()).bytes().chain(part.iter().copied()));
            coded.extend(b"\r\n");
        }
        coded.extend(b"0\r\n\r\n");
    } else {
        coded = body;
    }
    if expect {
        steps.push(ClientStep::Send(head));
        steps.push(ClientStep::Until(b"100 Continue\r\n\r\n".to_vec()));
        steps.push(ClientStep::Send(coded));
    } else {
        steps.push(ClientStep::Send([head, coded].concat()));
    }
    Ok(())
}

impl Writer {
    fn take(&mut self, word: &str, rest: &str) -> Result<()> {
        match word {
            "refuse" => self.steps.push(OriginStep::Refuse),
            "blackhole" => self.steps.push(OriginStep::Blackhole),
            "unresolved" => self.steps.push(OriginStep::Unresolved),
            "tls-failure" => self.steps.push(OriginStep::TlsFailure),
            "await" => self.steps.push(OriginStep::Await),
            "await-head" => self.steps.push(OriginStep::AwaitHead),
            "no-await" => self.steps.push(OriginStep::Wait(Duration::ZERO)),
            "wait" => self.steps.push(OriginStep::Wait(duration(rest)?)),
            "fin" => self.steps.push(OriginStep::Fin),
            "reset" => self.steps.push(OriginStep::Reset),
            "raw" => self.steps.push(OriginStep::Send(unescape(rest)?)),
            "head" => return self.head(rest),
            "event" => {
                let data = unescape(rest)?;
                self.payload([b"data: ", &data[..], b"\n\n"].concat());
            }
            "body" => {
                let body = unescape(rest)?;
                self.payload(body);
            }
            "end" => self.end(),
            "answer" => {
                let (status, json) = split(rest);
                self.head(&format!("{status} json length"))?;
                self.payload(unescape(json)?);
                self.end();
            }
            _ => return Err("unknown step".to_owned()),
        }
        Ok(())
    }

    fn head(&mut self, rest: &str) -> Result<()> {
        let mut parts = rest.split('|');
        let words: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
        let [status, kind, framing] = words[..] else {
            return Err("expected STATUS KIND FRAMING".to_owned());
        };
        let mut head = format!("HTTP/1.1 {status} Reason\r\n");
        match kind {
            "json" => head.push_str("content-type: application/json\r\n"),
            "events" => head.push_str("content-type: text/event-stream\r\n"),
            "html" => head.push_str("content-type: text/html\r\n"),
            "text" => head.push_str("content-type: text/plain\r\n"),
            "none" => {}
            _ => return Err("unknown kind".to_owned()),
        }
        for field in parts {
            head.push_str(&format!("{}\r\n", field.trim()));
        }
        self.framing = match framing {
            "chunked" => Framing::Chunked,
            "close" => Framing::Close,
            _ => Framing::Plain,
        };
        match framing {
            "chunked" => head.push_str("transfer-encoding: chunked\r\n"),
            "close" | "none" => {}
            "length" => {
                self.held = Some((head.into_bytes(), Vec::new()));
                return Ok(());
            }
            _ => {
                let length = framing.strip_prefix("length=").ok_or("unknown framing")?;
                head.push_str(&format!("content-length: {length}\r\n"));
            }
        }
        head.push_str("\r\n");
        self.steps.push(OriginStep::Send(head.into_bytes()));
        Ok(())
    }

    fn payload(&mut self, bytes: Vec<u8>) {
        if let Some((_, payload)) = &mut self.held {
            return payload.extend(bytes);
        }
        if self.framing != Framing::Chunked {
            return self.steps.push(OriginStep::Send(bytes));
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend(bytes);
        chunk.extend(b"\r\n");
        self.steps.push(OriginStep::Send(chunk));
    }

    fn end(&mut self) {
        if let Some((mut head, payload)) = self.held.take() {
            head.extend(format!("content-length: {}\r\n\r\n", payload.len()).bytes());
            head.extend(payload);
            return self.steps.push(OriginStep::Send(head));
        }
        match self.framing {
            Framing::Chunked => self.steps.push(OriginStep::Send(b"0\r\n\r\n".to_vec())),
            Framing::Close => self.steps.push(OriginStep::Fin),
            Framing::Plain => {}
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn number(text: &str) -> Result<usize> {
    text.trim().parse().map_err(|_| format!("not a number: {text}"))
}

/// A number of repetitions: at least one, and no more than a case may have.
fn repeats(text: &str) -> Result<usize> {
    let count = number(text)?;
    if (1..=1_000).contains(&count) { Ok(count) } else { Err(format!("not 1 to 1000 times: {text}")) }
}

/// A name, and how many times: `NAME *N`.
fn counted(text: &str) -> Result<(&str, usize)> {
    match text.split_once('*') {
        Some((name, count)) => Ok((name.trim(), repeats(count)?)),
        None => Ok((text, 1)),
    }
}

fn duration(text: &str) -> Result<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(char::is_alphabetic);
    let count: u64 = digits.parse().map_err(|_| format!("not a time: {text}"))?;
    Ok(match &text[digits.len()..] {
        "us" => Duration::from_micros(count),
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        _ => return Err(format!("not a time: {text}")),
    })
}

/// Resolves `\r \n \t \\ \xHH` and `{{TEXT*N}}`.
fn unescape(text: &str) -> Result<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['\\', '{']) {
        out.extend(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        if let Some(inside) = rest.strip_prefix("{{") {
            let (repeat, behind) = inside.split_once("}}").ok_or("unfinished {{")?;
            let (what, count) = repeat.rsplit_once('*').ok_or("expected {{TEXT*N}}")?;
            out.extend(unescape(what)?.repeat(number(count)?));
            rest = behind;
            continue;
        }
        if let Some(behind) = rest.strip_prefix('{') {
            out.push(b'{');
            rest = behind;
            continue;
        }
        let mut characters = rest[1..].chars();
        match characters.next() {
            Some('r') => out.push(b'\r'),
            Some('n') => out.push(b'\n'),
            Some('t') => out.push(b'\t'),
            Some('x') => {
                let digits = rest.get(2..4).ok_or("expected \\xHH")?;
                out.push(u8::from_str_radix(digits, 16).map_err(|_| "expected \\xHH")?);
                rest = &rest[4..];
                continue;
            }
            // A backslash before anything else is itself: JSON has its own.
            Some('\\') => out.push(b'\\'),
            Some(_) | None => {
                out.push(b'\\');
                rest = &rest[1..];
                continue;
            }
        }
        rest = &rest[2..];
    }
    out.extend(rest.as_bytes());
    Ok(out)
}
