//! The simulator's own reading of HTTP/1.1 and of event streams, byte by byte and as plain as possible: the
//! second opinion on what the product writes.
//!
//! Deliberately absent: any code of `wire`, speed, and tolerance.

/// Which side's messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests.
    Request,
    /// Responses.
    Response,
}

/// One message, as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Request line or status line.
    pub start: String,
    /// Names in lower case, values trimmed.
    pub fields: Vec<(String, String)>,
    /// Payload, chunked coding undone.
    pub body: Vec<u8>,
    /// The framing says that nothing is missing.
    pub complete: bool,
    /// The payload comes in chunks.
    pub chunked: bool,
    /// The payload ends where the connection does.
    pub until_end: bool,
}

impl Message {
    /// Value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The status of a response; 0 when the line is no status line.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The payload is an event stream.
    #[must_use]
    pub fn is_events(&self) -> bool {
        self.field("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
    }

    fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Fields,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilEnd,
    Broken,
}

/// Reads a stream of messages.
#[derive(Clone, Debug)]
pub struct Reader {
    kind: Kind,
    state: State,
    line: Vec<u8>,
    current: Message,
    /// Messages whose head is complete, the running one included.
    pub messages: Vec<Message>,
    /// Interim (1xx) responses seen.
    pub interim: usize,
    /// Response numbers that answer HEAD.
    pub bodyless: Vec<usize>,
    /// What is wrong with the bytes, if anything.
    pub flaw: Option<String>,
}

impl Reader {
    /// A reader at the start of a connection.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Start,
            line: Vec::new(),
            current: Message::default(),
            messages: Vec::new(),
            interim: 0,
            bodyless: Vec::new(),
            flaw: None,
        }
    }

    /// Between two messages, with nothing of the next one seen.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.state == State::Start && self.line.is_empty()
    }

    /// Complete messages.
    #[must_use]
    pub fn complete(&self) -> usize {
        self.messages.iter().filter(|message| message.complete).count()
    }

    /// Reads bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.state {
                State::Broken => return,
                State::Length(left) | State::ChunkData(left) => self.payload(rest, left),
                State::UntilEnd => self.payload(rest, u64::MAX),
                State::Start | State::Fields | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    self.part_of_line(rest)
                }
            };
            rest = &rest[used..];
        }
    }

    /// The stream ended; `orderly` without a reset.
    pub fn end(&mut self, orderly: bool) {
        if self.state == State::UntilEnd && orderly {
            self.finish();
        }
        self.state = State::Broken;
    }

    fn part_of_line(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(bytes.len(), |end| end + 1);
        self.line.extend_from_slice(&bytes[..used]);
        if end.is_some() {
            let line = core::mem::take(&mut self.line);
            match line.strip_suffix(b"\r\n") {
                Some(line) => self.take_line(&String::from_utf8_lossy(line)),
                None => self.broken("a line ends without CR LF"),
            }
        }
        used
    }

    fn take_line(&mut self, line: &str) {
        match self.state {
            State::Start => {
                self.current = Message { start: line.to_owned(), ..Message::default() };
                self.state = State::Fields;
                let version = match self.kind {
                    Kind::Request => line.split(' ').count() == 3 && line.contains(" HTTP/1."),
                    Kind::Response => line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 "),
                };
                if !version {
                    self.broken("not a start line");
                }
            }
            State::Fields if line.is_empty() => self.end_of_head(),
            State::Fields => match line.split_once(':') {
                Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                    self.current.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                _ => self.broken("not a field"),
            },
            State::ChunkSize => {
                let digits = line.split(';').next().unwrap_or_default();
                match u64::from_str_radix(digits, 16) {
                    Ok(0) => self.state = State::Trailers,
                    Ok(size) => self.state = State::ChunkData(size),
                    Err(_) => self.broken("not a chunk size"),
                }
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => self.broken("chunk data does not end where it should"),
            State::Trailers if line.is_empty() => self.finish(),
            State::Trailers => {}
            State::Length(_) | State::ChunkData(_) | State::UntilEnd | State::Broken => {}
        }
    }

    fn end_of_head(&mut self) {
        let mut message = core::mem::take(&mut self.current);
        let status = message.status();
        if self.kind == Kind::Response && (100..200).contains(&status) {
            self.interim += 1;
            self.state = State::Start;
            return;
        }
        let lengths: Vec<&str> = message.all("content-length").collect();
        let codings: Vec<&str> = message.all("transfer-encoding").collect();
        if lengths.len() + codings.len() > 1 {
            return self.broken("framed twice");
        }
        let length = lengths.first().map(|text| text.parse::<u64>());
        let chunked = codings.first().copied();
        let bodyless = self.kind == Kind::Response
            && (self.bodyless.contains(&self.messages.len()) || status == 204 || status == 304);
        self.state = match (length, chunked) {
            (Some(Err(_)), _) => return self.broken("not a length"),
            (_, Some(coding)) if coding != "chunked" => return self.broken("unknown coding"),
            _ if bodyless => State::Length(0),
            (Some(Ok(length)), _) => State::Length(length),
            (_, Some(_)) => State::ChunkSize,
            (None, None) if self.kind == Kind::Request => State::Length(0),
            (None, None) => State::UntilEnd,
        };
        message.chunked = chunked.is_some();
        message.until_end = self.state == State::UntilEnd;
        self.messages.push(message);
        if self.state == State::Length(0) {
            self.finish();
        }
    }

    /// Takes up to `left` bytes of payload.
    fn payload(&mut self, bytes: &[u8], left: u64) -> usize {
        let used = usize::try_from(left).map_or(bytes.len(), |left| bytes.len().min(left));
        if let Some(message) = self.messages.last_mut() {
            message.body.extend_from_slice(&bytes[..used]);
        }
        let left = left - used as u64;
        match &mut self.state {
            State::Length(rest) => *rest = left,
            State::ChunkData(_) if left == 0 => self.state = State::ChunkEnd,
            State::ChunkData(rest) => *rest = left,
            _ => {}
        }
        if self.state == State::Length(0) {
            self.finish();
        }
        used
    }

    fn finish(&mut self) {
        if let Some(message) = self.messages.last_mut() {
            message.complete = true;
        }
        self.state = State::Start;
    }

    fn broken(&mut self, why: &str) {
        self.flaw.get_or_insert_with(|| format!("message {}: {why}", self.messages.len()));
        self.state = State::Broken;
    }
}

/// One event (or comment block) of a stream: its lines without their ends.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Block {
    /// The lines.
    pub lines: Vec<Vec<u8>>,
}

impl Block {
    /// The values of its `data` lines, joined; `None` when it has none.
    #[must_use]
    pub fn data(&self) -> Option<Vec<u8>> {
        let values = self.lines.iter().filter_map(|line| {
            let rest = line.strip_prefix(b"data")?;
            match rest.split_first() {
                None => Some(&rest[..0]),
                Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
                Some(_) => None,
            }
        });
        values.map(<[u8]>::to_vec).reduce(|mut joined, value| {
            joined.push(b'\n');
            joined.extend(value);
            joined
        })
    }

    /// Nothing but usage: the kind of event that clients who did not ask for it do not get.
    #[must_use]
    pub fn is_usage_only(&self) -> bool {
        let Some(data) = self.data() else { return false };
        let text = String::from_utf8_lossy(&data).replace(' ', "");
        // A broken one reports nothing.
        let whole = text.starts_with('{') && text.ends_with("}}");
        whole && text.contains("\"choices\":[]") && text.contains("\"usage\":{")
    }

    /// The error event that the router itself writes at the end of a broken stream.
    #[must_use]
    pub fn is_router_error(&self) -> bool {
        self.data().is_some_and(|data| {
            let text = String::from_utf8_lossy(&data);
            text.starts_with("{\"id\":\"gen-") && text.contains("\"finish_reason\":\"error\"")
        })
    }
}

/// Splits a payload into blocks; the second value is what follows the last blank line, or nothing.
#[must_use]
pub fn blocks(payload: &[u8]) -> (Vec<Block>, Vec<u8>) {
    let payload = payload.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(payload);
    let (mut found, mut block) = (Vec::new(), Block::default());
    let (mut at, mut settled) = (0, 0);
    while let Some(length) = payload[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let end = at + length;
        let line = payload[at..end].to_vec();
        let crlf = payload[end] == b'\r' && payload.get(end + 1) == Some(&b'\n');
        at = end + 1 + usize::from(crlf);
        if !line.is_empty() {
            block.lines.push(line);
            continue;
        }
        settled = at;
        if !block.lines.is_empty() {
            found.push(core::mem::take(&mut block));
        }
    }
    (found, payload[settled..].to_vec())
}
