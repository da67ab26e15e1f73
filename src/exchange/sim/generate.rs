//! Random scenarios: a seed becomes the text of a case without expectations, in which anything may go wrong
//! at any time. The laws must hold all the same.
//!
//! Deliberately absent: expectations, and any care for what is likely in real life.

use core::fmt::Write as _;

use crate::exchange::sim::Random;

/// The text of the case that belongs to a seed.
#[must_use]
pub fn case(seed: u64) -> String {
    let mut author = Author { random: Random::new(seed ^ 0x6d69_6c6c), text: String::new(), serial: 0 };
    author.line(&format!("# seed {seed}"));
    let providers = 1 + author.random.below(3);
    let streams = [5, 50, 95][author.random.below(3)];
    author.config(providers);
    for _ in 0..1 + usize::from(author.random.chance(15)) {
        author.client(streams);
    }
    for provider in 0..providers {
        for _ in 0..2 + author.random.below(6) {
            author.origin(provider, streams);
        }
    }
    author.process();
    author.text
}

const NAMES: [&str; 3] = ["a", "b", "c"];

struct Author {
    random: Random,
    text: String,
    /// Makes every payload distinct.
    serial: usize,
}

impl Author {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.random.chance(percent)
    }

    fn config(&mut self, providers: usize) {
        self.line("[config]");
        for model in ["m", "n"] {
            let mut line = format!("model {model} =");
            for turn in 0..providers {
                let place = if model == "m" { turn } else { providers - 1 - turn };
                let _ = write!(line, " {}/{model}{place}", NAMES[place]);
            }
            self.line(&line);
        }
        for (kind, likely) in [
            ("connect 30ms", 80),
            ("response-head 60ms", 80),
            ("first-event 80ms", 60),
            ("idle 50ms", 80),
            ("total 200ms", 15),
            ("client-send 60ms", 80),
            ("client-head 40ms", 50),
            ("client-body 50ms", 50),
        ] {
            if self.chance(likely) {
                self.line(&format!("deadline {kind}"));
            }
        }
        for (line, likely) in [
            ("waiting 15ms", 30),
            ("ambiguous-failover off", 15),
            ("usage-always a", 25),
            ("cached a", 30),
            ("sticky-ttl 100ms", 50),
            ("limit attempts 2", 10),
            ("limit bodies 400", 5),
            ("limit body 300", 5),
            ("keys off", 5),
            ("hedge 3ms", 40),
            ("hedge-share 50", 15),
            ("hedge-per-request on", 15),
            ("price a 100 1000", 40),
            ("price b 250 1000000", 40),
            ("drain a", 50),
            ("drain b", 50),
            ("drain-timeout 25ms", 40),
            ("drain-bytes 300", 10),
            ("drains 0", 10),
            ("journal 2", 10),
            ("strict on", 25),
            ("unknown-price deny", 5),
        ] {
            if self.chance(likely) {
                self.line(line);
            }
        }
    }

    fn client(&mut self, streams: usize) {
        self.line("[client]");
        if self.chance(10) {
            let line = format!("pace {} 1ms", [1, 7, 300, 5000][self.random.below(4)]);
            self.line(&line);
        }
        for (line, likely) in [("stop-reading", 3), ("hold", 10)] {
            if self.chance(likely) {
                self.line(line);
            }
        }
        let requests = 1 + self.random.below(4);
        let mut owed = 0;
        for _ in 0..requests {
            self.request(streams);
            owed += 1;
            if self.chance(25) {
                return self.departure();
            }
            if self.chance(75) {
                (0..owed).for_each(|_| self.line("answer"));
                owed = 0;
            }
            if self.chance(10) {
                let line = format!("wait {}ms", self.random.below(60));
                self.line(&line);
            }
        }
        (0..owed).for_each(|_| self.line("answer"));
    }

    /// The client goes before it has everything.
    fn departure(&mut self) {
        // Most answers are over soon after they have begun.
        let midway = self.chance(60);
        if midway {
            self.line("until data");
        }
        let line = format!("wait {}us", self.random.below(if midway { 4_000 } else { 60_000 }));
        self.line(&line);
        let line = self.random.pick(&["leave", "reset", "fin"]).to_owned();
        self.line(&line);
    }

    fn request(&mut self, streams: usize) {
        let odd = self.random.below(100);
        match odd {
            0..=3 => return self.line("get /healthz"),
            4 => return self.line("head /healthz"),
            5..=6 => return self.line("get close /v1/nothing"),
            7 => return self.line("get /v1/chat/completions"),
            8 => return self.line("send GET / HTTP/1.1\\r\\nhost: x\\r\\nbroken\\r\\n\\r\\n"),
            _ => {}
        }
        let mut flags = String::new();
        for (flag, likely) in [("close", 5), ("chunked", 15), ("expect", 8), ("no-key", 3)] {
            if self.chance(likely) {
                let _ = write!(flags, "{flag} ");
            }
        }
        if flags.is_empty() && self.chance(5) {
            flags.push_str("1.0 ");
        }
        if self.chance(10) {
            let wish = self.random.pick(&["on", "off", "3", "25", "soon"]).to_owned();
            let _ = write!(flags, "hedge={wish} ");
        }
        let prefix = if self.chance(20) { "/api/v1" } else { "/v1" };
        let stream = self.chance(streams);
        let path = match self.random.below(10) {
            0 if !stream => "/embeddings",
            1 => "/completions",
            _ => "/chat/completions",
        };
        let model = self.random.pick(&["m", "m", "m", "n", "n", "unknown"][..]).to_owned();
        let mut body = format!("{{\"model\":\"{model}\"");
        if stream {
            body.push_str(",\"stream\":true");
            if self.chance(25) {
                body.push_str(",\"stream_options\":{\"include_usage\":true}");
            }
        }
        if self.chance(30) {
            let key = self.random.below(3);
            let _ = write!(body, ",\"prompt_cache_key\":\"k{key}\"");
        }
        let padding = match self.random.below(12) {
            0 => 3000,
            1 if self.chance(10) => 90_000,
            _ => self.random.below(60),
        };
        let _ = write!(body, ",\"messages\":[\"{{{{x*{padding}}}}}\"]}}");
        let wish = match self.random.below(8) {
            0 => "field:X-OpenRouter-Metadata=enabled ",
            1 => "field:X-Millrace-Debug=route ",
            _ => "",
        };
        self.line(&format!("post {flags}{wish}{prefix}{path} {body}"));
    }

    fn origin(&mut self, provider: usize, streams: usize) {
        self.line(&format!("[origin {}]", NAMES[provider]));
        if self.chance(12) {
            let line =
                self.random.pick(&["refuse", "refuse", "blackhole", "unresolved", "tls-failure"]).to_owned();
            return self.line(&line);
        }
        match self.random.below(100) {
            0..=5 => self.line("await-head"),
            6 => self.line("no-await"),
            7..=9 => {
                self.line("await-head");
                self.pause(40);
                self.line("await");
            }
            _ => self.line("await"),
        }
        if self.chance(20) {
            self.pause(100);
        }
        if self.chance(6) {
            self.line("raw HTTP/1.1 103 Early\\r\\nlink: x\\r\\n\\r\\n");
        }
        match self.random.below(100) {
            0..=3 => return self.line("reset"),
            4..=6 => return self.line("fin"),
            7..=8 => return self.line("raw SSH-2.0-something\\r\\n\\r\\n"),
            9 => return self.line("wait 60s"),
            10..=27 => self.refusal(),
            _ if self.chance(streams) => self.stream(),
            _ => self.whole(),
        }
        if self.chance(10) {
            self.pause(20);
            let line = self.random.pick(&["fin", "reset", "fin"]).to_owned();
            self.line(&line);
        }
    }

    fn pause(&mut self, most: usize) {
        let line = format!("wait {}us", self.random.below(most * 1000));
        self.line(&line);
    }

    fn refusal(&mut self) {
        let statuses = [
            "400", "401", "402", "403", "404", "408", "409", "413", "418", "422", "429", "429", "500", "502",
            "503", "503", "504", "529", "302", "204",
        ];
        let status = self.random.pick(&statuses).to_owned();
        let framing = self.random.pick(&["length", "chunked", "close"]).to_owned();
        let field = if self.chance(30) { " | retry-after: 9" } else { "" };
        let kind = if status == "204" { "none" } else { "json" };
        self.line(&format!("head {status} {kind} {framing}{field}"));
        if status != "204" {
            self.serial += 1;
            self.line(&format!("body {{\"error\":{{\"message\":\"no {}\"}}}}", self.serial));
        }
        self.end();
    }

    fn framing(&mut self) -> &'static str {
        ["chunked", "chunked", "length", "close"][self.random.below(4)]
    }

    fn field(&mut self) -> &'static str {
        if self.chance(5) { " | connection: close" } else { "" }
    }

    fn whole(&mut self) {
        self.serial += 1;
        let (serial, framing, field) = (self.serial, self.framing(), self.field());
        let padding =
            if self.chance(5) { 40_000 + self.random.below(120_000) } else { self.random.below(300) };
        let body = match self.random.below(20) {
            0 => format!("{{\"error\":{{\"code\":503,\"message\":\"{serial}\"}}}}"),
            1 => format!("<html>{serial}"),
            2 => String::new(),
            _ => format!("{{\"choices\":[\"{serial} {}\"]}}", "y".repeat(padding)),
        };
        if self.chance(5) {
            let announced = body.len() + 1 + self.random.below(9);
            self.line(&format!("head 200 json length={announced}{field}"));
            self.payload(body.as_bytes());
            return self.line("fin");
        }
        self.line(&format!("head 200 json {framing}{field}"));
        self.payload(body.as_bytes());
        self.end();
    }

    fn stream(&mut self) {
        let framing = self.framing();
        let field = self.field();
        self.line(&format!("head 200 events {framing}{field}"));
        let payload = self.events();
        self.payload(&payload);
        self.end();
    }

    fn events(&mut self) -> Vec<u8> {
        let end = ["\n", "\n", "\r\n", "\r"][self.random.below(4)];
        let mut payload = String::new();
        if self.chance(2) {
            payload.push('\u{feff}');
        }
        for _ in 0..self.random.below(8) {
            self.serial += 1;
            let serial = self.serial;
            let _ = match self.random.below(24) {
                0 => write!(payload, ": comment {serial}{end}{end}"),
                1..=2 => write!(
                    payload,
                    "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{serial}}}}}{end}{end}"
                ),
                3 => write!(payload, "data: {{\"error\":{{\"code\":503,\"at\":{serial}}}}}{end}{end}"),
                4 => write!(payload, "event: x{end}data: {{\"choices\":[{serial},{end}data: 1]}}{end}{end}"),
                5 => write!(payload, "id: {serial}{end}{end}"),
                6 if self.chance(30) => {
                    let long = "z".repeat(10_000 + self.random.below(60_000));
                    write!(payload, "data: {{\"choices\":[\"{serial} {long}\"]}}{end}{end}")
                }
                _ => {
                    let text = "t".repeat(self.random.below(40));
                    write!(payload, "data: {{\"choices\":[\"{serial} {text}\"]}}{end}{end}")
                }
            };
        }
        if self.chance(85) {
            let _ = write!(payload, "data: [DONE]{end}{end}");
        }
        if self.chance(3) {
            let cut = payload.len() - self.random.below(payload.len().min(20));
            let cut = (0..=cut).rev().find(|at| payload.is_char_boundary(*at)).unwrap_or(0);
            payload.truncate(cut);
        }
        payload.into_bytes()
    }

    /// Payload in pieces of any size, with pauses, and sometimes with a sudden end.
    fn payload(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let usual = [20, 200, 100_000][self.random.below(3)];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(1 + self.random.below(usual)));
            rest = behind;
            self.line(&format!("body {}", escaped(piece)));
            match self.random.below(150) {
                0 => self.line("reset"),
                1 => self.line("fin"),
                2 => self.line("raw zz\\r\\n"),
                3 => self.line("wait 60s"),
                4..=20 => self.pause(30),
                _ => {}
            }
        }
    }

    fn process(&mut self) {
        if !self.chance(10) {
            return;
        }
        self.line("[process]");
        self.pause(150);
        self.line("drain");
        if self.chance(50) {
            self.pause(100);
            self.line("stop");
        }
    }

    fn end(&mut self) {
        match self.random.below(30) {
            // Whatever the framing, a section that has begun with a length must end.
            0 => {
                self.line("end");
                self.line("raw HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{}");
            }
            1 => {
                self.pause(1500);
                self.line("end");
            }
            _ => self.line("end"),
        }
    }
}

/// Bytes as the text of a step. Long repetitions stay as they are: a transcript shortens them.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, &byte) in bytes.iter().enumerate() {
        let edge = at == 0 || at + 1 == bytes.len();
        match byte {
            b' ' if !edge => text.push(' '),
            b'\\' | b'{' if byte == b'\\' || bytes.get(at + 1) == Some(&b'{') => {
                let _ = write!(text, "\\x{byte:02x}");
            }
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::sim::Case;

    #[test]
    fn every_seed_is_a_case() {
        for seed in 0..300 {
            let text = case(seed);
            assert!(Case::parse(&text).is_ok(), "seed {seed}: {:?}\n{text}", Case::parse(&text).err());
        }
    }
}
