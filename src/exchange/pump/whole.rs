//! The common case of a stream, without the machinery of the others: chunks that are in the window as a
//! whole, hold nothing but whole one-line events, and are passed on as they came.
//!
//! What is done here, the general walk would do with the same result; only slower.
//! Deliberately absent: everything cut, joined, folded or extended.

use memchr::memchr2;

use super::closing::Tell;
use super::{BodyIn, Content, Pump, Seen};
use crate::base::limits::{EVENT_HOLD_BYTES, WINDOW_BYTES};
use crate::base::span::Span;
use crate::dialect::{Dialect, Signal};
use crate::exchange::emit::{BodyOut, Emit};
use crate::policy::count::Scratch;
use crate::wire::parcel::Parcel;

impl Pump {
    /// True where whole chunks may be taken past decoder and watch: both are between two things, and
    /// nothing is held back.
    pub(super) fn may_pass_chunks(&self, emit: &Emit) -> bool {
        matches!(self.content, Content::Events { .. })
            && matches!(&self.body, BodyIn::Chunked(decoder) if decoder.is_at_size())
            && !self.awaiting_first
            && !self.tell.heard.listens()
            && self.pending.is_empty()
            && self.unfed.is_empty()
            && emit.out() == BodyOut::Chunked
            && self.watch.is_between_events()
    }

    /// The common case, without the machinery of the others: chunks that are here as a whole, hold nothing
    /// but whole one-line events, and are passed on as they came. Stops before the first chunk that is not
    /// like that; then nothing of it has been touched. True when all of the window went that way.
    pub(super) fn pass_chunks(
        &mut self,
        bytes: &[u8],
        dialect: &dyn Dialect,
        emit: &mut Emit,
        base: usize,
        parcel: &mut Parcel,
        scratch: &mut Scratch,
    ) -> bool {
        let (mut start, mut last) = (self.parsed, Span::default());
        while let Some((line_len, size)) = whole_chunk(&bytes[self.parsed..]) {
            let payload = &bytes[self.parsed + line_len..][..size];
            let end = self.parsed + line_len + size + b"\r\n".len();
            if let Some(data) = plain_event(payload, dialect) {
                self.seen.events += 1;
                self.meter.event(dialect, data, scratch);
            } else {
                let drop_usage = self.content == Content::Events { drop_usage: true };
                match whole_events(payload, dialect, drop_usage, &mut self.tell, &mut self.seen) {
                    Events::Wanted => self.count_events(payload, dialect, scratch),
                    Events::Unwanted => {
                        emit.verbatim(Span::new(start, self.parsed), base, parcel);
                        self.at_start = false;
                        (start, self.parsed) = (end, end);
                        continue;
                    }
                    Events::Others => break,
                }
            }
            self.seen.payload_bytes += size as u64;
            last = Span::new(self.parsed + line_len, self.parsed + line_len + size);
            self.parsed = end;
        }
        if !last.is_empty() {
            self.tell.heard.keep_tail(last.of(bytes));
        }
        if self.parsed > start {
            emit.verbatim(Span::new(start, self.parsed), base, parcel);
        }
        self.parsed == bytes.len()
    }

    /// Counts the texts of whole events.
    fn count_events(&mut self, mut payload: &[u8], dialect: &dyn Dialect, scratch: &mut Scratch) {
        while let Some((data, behind)) = one_event(payload) {
            self.meter.event(dialect, data, scratch);
            payload = behind;
        }
    }
}

/// The chunk at the front of `bytes`, if it is complete and has a size line as a sender writes it, without
/// extension and leading zero: length of that line with its end, and size of the payload. `None` for any
/// other chunk, the last one included.
fn whole_chunk(bytes: &[u8]) -> Option<(usize, usize)> {
    /// Digits of the longest chunk that a window holds.
    const DIGITS: usize = 5;
    const _: () = assert!(WINDOW_BYTES < 1 << (4 * DIGITS));
    if bytes.first() == Some(&b'0') {
        return None;
    }
    let mut size = 0;
    for (at, byte) in bytes.iter().enumerate().take(DIGITS + 1) {
        let digit = HEX[usize::from(*byte)];
        if digit > 0xf {
            let line_len = at + b"\r\n".len();
            let ends = *byte == b'\r'
                && bytes.get(at + 1) == Some(&b'\n')
                && bytes.get(line_len + size..line_len + size + 2) == Some(b"\r\n");
            return (ends && size > 0).then_some((line_len, size));
        }
        size = size << 4 | usize::from(digit);
    }
    None
}

/// Values of hexadecimal digits; 0xff for every other byte.
static HEX: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// The data of `payload`, if that is one event of one `data:` line that is a part of the answer and nothing
/// else. `None` says nothing.
fn plain_event<'p>(payload: &'p [u8], dialect: &dyn Dialect) -> Option<&'p [u8]> {
    let data = payload.strip_prefix(b"data: ").and_then(|rest| rest.strip_suffix(b"\n\n"));
    data.filter(|data| data.len() <= EVENT_HOLD_BYTES && dialect.is_plain_content(data))
}

/// What the payload of a chunk is.
enum Events {
    /// Whole events, all to be passed on. They were noted.
    Wanted,
    /// One whole event, to be left out. It was noted.
    Unwanted,
    /// Anything else. Nothing was noted.
    Others,
}

/// Reads `payload` as whole events of one `data:` line each, and notes what they say.
fn whole_events(
    payload: &[u8],
    dialect: &dyn Dialect,
    drop_usage: bool,
    tell: &mut Tell,
    seen: &mut Seen,
) -> Events {
    let mut noted = *seen;
    let mut rest = payload;
    while !rest.is_empty() {
        let Some((data, behind)) = one_event(rest) else { return Events::Others };
        let signal = dialect.judge_event(data);
        if tell.holds_up(signal, data, dialect) {
            return Events::Others;
        }
        noted.note(signal);
        if drop_usage && matches!(signal, Signal::Usage { only: true, .. }) {
            if rest.len() < payload.len() || !behind.is_empty() {
                return Events::Others;
            }
            *seen = noted;
            return Events::Unwanted;
        }
        rest = behind;
    }
    *seen = noted;
    Events::Wanted
}

/// Data of the event of one `data:` line at the front of `bytes`, and what follows it. `None` for any other
/// event, and for one too long to hold.
fn one_event(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = bytes.strip_prefix(b"data:")?;
    let value = value.strip_prefix(b" ").unwrap_or(value);
    let (data, behind) = value.split_at(memchr2(b'\n', b'\r', value)?);
    let behind = behind.strip_prefix(b"\n\n")?;
    (data.len() <= EVENT_HOLD_BYTES).then_some((data, behind))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::dialect::openai::OpenAi;
    use crate::exchange::pump::Flow;
    use crate::policy::count::{Counted, Terms, Vocabulary, VocabularyName};
    use crate::wire::Parse;
    use crate::wire::buf::Buf;
    use crate::wire::http1::{ChunkDecoder, ChunkItem, ResponseFraming};

    const FIRST: &str = "data: {\"choices\":[]}\n\n";

    /// What a client got of a body (without its framing), what was seen, how it ended, and what was counted.
    type Got = (String, Seen, Flow, Counted);

    /// A vocabulary of single bytes.
    static BYTES: LazyLock<Vocabulary> = LazyLock::new(|| {
        let tokens = (0..=255_u8).flat_map(|byte| match byte {
            0..0x80 => vec![byte, 1, byte],
            _ => vec![byte, 1, 1, byte],
        });
        let list: Vec<u8> = b"SPLNTRV1\x00\x01\0\0".iter().copied().chain(tokens).collect();
        Vocabulary::read(VocabularyName::O200k, &list, None).expect("a list")
    });

    /// Sends `body` in two reads, cut at `cut`.
    fn relayed(body: &str, cut: usize, drop_usage: bool) -> Got {
        let mut pump = Pump::idle();
        pump.restart(ResponseFraming::Chunked, Content::Events { drop_usage });
        pump.count_by(Terms::plainly(&BYTES));
        let (mut emit, mut parcel) = (Emit::new(BodyOut::Chunked), Parcel::default());
        let (mut window, mut sent, mut flow) = (Buf::default(), Vec::new(), Flow::More);
        for read in [&body[..cut], &body[cut..]] {
            window.push(read.as_bytes());
            flow = pump.run(&window, &OpenAi, &mut emit, &mut parcel, &mut Scratch::default());
            if matches!(flow, Flow::First(_)) {
                pump.accept_first(None, &mut emit);
                flow = pump.run(&window, &OpenAi, &mut emit, &mut parcel, &mut Scratch::default());
            }
            parcel.window = window.lend();
            parcel.pieces.iter().for_each(|piece| sent.extend_from_slice(parcel.bytes(*piece)));
            window.restore(core::mem::take(&mut parcel.window), 0);
            parcel.clear();
            let spent = pump.spent();
            window.take(spent);
            pump.shift(spent);
        }
        (payload(&sent), *pump.seen(), flow, pump.counted())
    }

    /// The payload of whole chunks.
    fn payload(mut bytes: &[u8]) -> String {
        let (mut decoder, mut payload) = (ChunkDecoder::new(), Vec::new());
        while let Parse::Done { value, used } = decoder.next(bytes) {
            if matches!(value, ChunkItem::Data { .. }) {
                payload.extend_from_slice(&bytes[..used]);
            }
            bytes = &bytes[used..];
        }
        assert!(bytes.is_empty() && decoder.is_at_size(), "what is sent ends with a chunk");
        String::from_utf8(payload).expect("UTF-8")
    }

    fn chunk(payload: impl AsRef<str>) -> String {
        let payload = payload.as_ref();
        format!("{:x}\r\n{payload}\r\n", payload.len())
    }

    /// A stream of these chunks: whatever way it is cut, the client gets the same, and `want` of it.
    #[track_caller]
    fn check(chunks: &[String], drop_usage: bool, want: &str, events: u64) {
        let body = chunk(FIRST) + &chunks.concat() + "0\r\n\r\n";
        let whole = relayed(&body, body.len(), drop_usage);
        assert_eq!(
            (&*whole.0, whole.1.events, whole.2),
            (&*(FIRST.to_owned() + want), events + 1, Flow::Complete)
        );
        assert_eq!(whole.1.payload_bytes, whole.0.len() as u64);
        for cut in (0..=body.len()).filter(|cut| body.is_char_boundary(*cut)) {
            assert_eq!(relayed(&body, cut, drop_usage), whole, "cut at {cut}");
        }
    }

    fn long() -> String {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}],\"usage\":null}}\n\n",
            "é x".repeat(40)
        )
    }

    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn chunks_of_whole_events() {
        let (one, two) = (long(), FIRST.repeat(2));
        let body = [FIRST, &one, &two, &one.repeat(2)].map(chunk).concat() + "0\r\n\r\n";
        let counted = relayed(&body, body.len(), true).3;
        let want = 3 * 40 * "é x".len();
        assert_eq!((counted.tokens, counted.text_bytes, counted.exact), (want as u32, want as u64, true));
        check(&[chunk(&one), chunk(&two), chunk(DONE)], true, &(one.clone() + &two + DONE), 3);
        let upper = format!("{:X}\r\n{one}\r\n", one.len());
        check(&[upper, chunk(&two)], true, &(one + &two), 3);
    }

    #[test]
    fn usage_alone_is_left_out_where_nobody_asked() {
        let one = long();
        let chunks = [chunk(&one), chunk(USAGE), chunk(&one), chunk(DONE)];
        check(&chunks, true, &(one.repeat(2) + DONE), 3);
        check(&chunks, false, &(one.clone() + USAGE + &one + DONE), 3);
        check(&[chunk(&(one.clone() + USAGE)), chunk(&(USAGE.to_owned() + &one))], true, &one.repeat(2), 4);
        assert_eq!(
            relayed(&(chunk(FIRST) + &chunks.concat()), 9, true).1.usage.map(|usage| usage.prompt_tokens),
            Some(3)
        );
    }

    #[test]
    fn chunks_of_anything_else() {
        let one = long();
        let cut = one.find('é').expect("there is one");
        check(&[chunk(&one[..cut]), chunk(&one[cut..])], true, &one, 1);
        let lines = "data: {\"a\":\ndata: 1}\r\n\r\n: comment\n\nevent: x\ndata: {}\n\n";
        check(&[chunk(lines), chunk(&one)], true, &(lines.to_owned() + &one), 3);
        check(&[chunk(&(one.clone() + "\n")), chunk(&one)], true, &format!("{one}\n{one}"), 2);
        let extended = format!("0{:x};a=b\r\n{one}\r\n", one.len());
        check(&[extended, chunk(&one)], true, &one.repeat(2), 2);
    }

    #[test]
    fn size_lines() {
        for (text, want) in [
            ("5\r\nhello\r\n", Some((3, 5))),
            ("a\r\n0123456789\r\nmore", Some((3, 10))),
            ("A\r\n0123456789\r\n", Some((3, 10))),
            ("5\r\nhello\r", None),
            ("5\r\nhelloo\r\n", None),
            ("5\rxhello\r\n", None),
            ("5;a\r\nhello\r\n", None),
            ("05\r\nhello\r\n", None),
            ("0\r\n\r\n", None),
            ("\r\n\r\n\r\n", None),
            ("fffff\r\nhello\r\n", None),
            ("100000\r\nhello\r\n", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(whole_chunk(text.as_bytes()), want, "{text:?}");
        }
    }
}
