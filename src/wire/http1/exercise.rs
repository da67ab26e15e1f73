//! Bodies of the HTTP/1.1 fuzz targets: laws that hold for any bytes. The table tests run every vector
//! through them, the fuzzer runs everything else.
//!
//! The laws: nothing panics; the verdict does not depend on how the bytes were cut; what the fast reading
//! accepts, the plain line-by-line reading accepts, and the other way round; positions stay inside the head;
//! what we write, we can read. Deliberately absent: expectations about particular inputs (`vectors`).

use super::head::{Message, read_fields, section_flaw};
use super::{
    ChunkDecoder, ChunkItem, HeadWriter, RequestField, ResponseField, TCHAR, decode_in_place, is_value_byte,
};
use super::{Repeat, RequestHead, ResponseShape, Version, request_head, response_head, trim};
use crate::base::span::Span;
use crate::wire::Parse;
use crate::wire::flaw::Flaw;
use memchr::memchr;

/// Inputs up to this many bytes are cut everywhere, longer ones at this many places.
const CUTS: usize = 512;
/// What a byte is changed into.
const CHANGES: &[u8] = b"\r\n \t:,0a;\x00\x7f\xff";

/// Checks the laws of [`request_head`] on `data`.
pub fn exercise_request_head(data: &[u8]) {
    cut_everywhere(data, request_head);
    check_fields(data);
    if let Parse::Done { value, used } = request_head(data, &mut 0) {
        check_section(&data[..used]);
        let spans = [Some(value.target), Some(value.host), value.query];
        check_spans(used, spans.into_iter().chain(RequestField::ALL.map(|field| value.field(field))));
        assert!(!value.target.is_empty());
        assert!(value.version == Version::Http11 || !value.keep_alive);
        check_repeat(&data[..used], &value);
        #[cfg(test)]
        super::oracle::agree_on_request(&data[..used], &value);
    }
}

/// Checks that what is recognised as like this head, itself or with a byte changed, reads as it is
/// recognised.
fn check_repeat(text: &[u8], head: &RequestHead) {
    let mut repeat = Repeat::default();
    repeat.keep(text, head);
    let mut check = |text: &[u8]| {
        if let Some((&value, used)) = repeat.read(text) {
            assert_eq!(request_head(text, &mut 0), Parse::Done { value, used }, "{}", text.escape_ascii());
        }
    };
    check(text);
    let mut other = text.to_vec();
    for (turn, at) in cuts(text.len()).enumerate() {
        other[at] = CHANGES[(turn + text.len()) % CHANGES.len()];
        check(&other);
        other[at] = text[at];
    }
}

/// Checks the laws of [`response_head`] on `data`.
pub fn exercise_response_head(data: &[u8]) {
    cut_everywhere(data, response_head);
    check_fields(data);
    if let Parse::Done { value, used } = response_head(data, &mut 0) {
        check_shape(&data[..used]);
        check_section(&data[..used]);
        check_spans(used, ResponseField::ALL.map(|field| value.field(field)).into_iter());
        assert!((100..=599).contains(&value.status) && value.status != 101);
        #[cfg(test)]
        super::oracle::agree_on_response(&data[..used], &value);
    }
}

/// Checks that this head, and every head that differs from it in one byte, reads the same behind it.
fn check_shape(text: &[u8]) {
    let mut shape = ResponseShape::default();
    let _ = shape.read(text, &mut 0);
    let check = |text: &[u8]| {
        let read = shape.clone().read(text, &mut 0);
        assert_eq!(read, response_head(text, &mut 0), "{}", text.escape_ascii());
    };
    check(text);
    let mut other = text.to_vec();
    for (turn, at) in cuts(text.len()).enumerate() {
        check(&text[..at]);
        other[at] = CHANGES[(turn + text.len()) % CHANGES.len()];
        check(&other);
        other[at] = text[at];
    }
}

/// Checks the laws of [`ChunkDecoder`] and [`decode_in_place`] on `data`.
pub fn exercise_chunked(data: &[u8]) {
    let whole = decode(data, &[data.len()]);
    for cut in cuts(data.len()) {
        assert_eq!(decode(data, &[cut, data.len()]), whole, "cut at {cut}");
    }
    let steps: Vec<usize> = cuts(data.len()).chain([data.len()]).collect();
    assert_eq!(decode(data, &steps), whole, "cut everywhere");
    check_in_place(data, &whole);
}

/// Checks that no value can break out of its field, and that a head we wrote reads as what was meant.
pub fn exercise_head_writer(data: &[u8]) {
    let value = &data[..data.len().min(4096)];
    let mut out = Vec::new();
    let mut writer = HeadWriter::response(&mut out, 200);
    writer.field("Content-Type", value).number("Content-Length", value.len() as u64);
    writer.end();
    let Parse::Done { value: head, used } = response_head(&out, &mut 0) else {
        panic!("not readable: {}", out.escape_ascii())
    };
    assert_eq!(used, out.len());
    let expected: Vec<u8> = value.iter().map(|&byte| if is_value_byte(byte) { byte } else { b' ' }).collect();
    let read = head.field(ResponseField::ContentType).map(|span| span.of(&out));
    assert_eq!(read, Some(trim(&expected)));
}

/// Where to cut an input of `len` bytes.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(1 + len / CUTS)
}

type HeadParser<T> = fn(&[u8], &mut usize) -> Parse<T>;

fn cut_everywhere<T: PartialEq + core::fmt::Debug>(data: &[u8], parse: HeadParser<T>) {
    let whole = parse(data, &mut 0);
    let mut carried = 0;
    let mut trickled = Parse::More;
    for cut in cuts(data.len()).chain([data.len()]) {
        let mut scanned = 0;
        let first = parse(&data[..cut], &mut scanned);
        let verdict = if first == Parse::More { parse(data, &mut scanned) } else { first };
        assert_eq!(verdict, whole, "cut at {cut}: {}", data.escape_ascii());
        if trickled == Parse::More {
            trickled = parse(&data[..cut], &mut carried);
        }
    }
    assert_eq!(trickled, whole, "cut everywhere: {}", data.escape_ascii());
}

/// A message to which every field is fine.
struct Anything;

impl Message for Anything {
    const LINE_BYTES: usize = 0;
    const LINE_TOO_LONG: Flaw = Flaw::StatusLine;

    fn opening(_: &[u8]) -> Result<(), Flaw> {
        Ok(())
    }

    fn start_line(_: &[u8], _: Span) -> Result<Self, Flaw> {
        Ok(Self)
    }

    fn field(&mut self, bytes: &[u8], name: &[u8], value: Span) -> Result<(), Flaw> {
        assert!(!name.is_empty() && name.iter().all(|&byte| TCHAR[byte as usize]), "{}", name.escape_ascii());
        let value = value.of(bytes);
        assert!(value.iter().all(|&byte| is_value_byte(byte)) && trim(value) == value);
        Ok(())
    }
}

/// As fields of a head, `data` is accepted by the fast reading exactly where the plain one finds nothing
/// wrong, whether something follows it or not.
fn check_fields(data: &[u8]) {
    let found = memchr::memmem::find(data, b"\r\n\r\n").map(|at| at + 4);
    let end = if data.starts_with(b"\r\n") { Some(2) } else { found };
    let expected = end.filter(|&end| section_flaw(&data[..end]).is_none()).map(Ok);
    assert_eq!(read_fields(data, 0, &mut Anything), expected, "{}", data.escape_ascii());
    if let Some(end) = end {
        assert_eq!(read_fields(&data[..end], 0, &mut Anything), expected, "{}", data.escape_ascii());
    }
}

/// The plain reading finds nothing wrong with an accepted head.
fn check_section(head: &[u8]) {
    let start = head.iter().position(|&byte| TCHAR[byte as usize]).unwrap_or(0);
    let line = memchr(b'\n', &head[start..]).map_or(head.len(), |feed| start + feed + 1);
    assert_eq!(section_flaw(&head[line..]), None, "{}", head.escape_ascii());
    assert!(head.ends_with(b"\r\n\r\n"));
}

fn check_spans(used: usize, spans: impl Iterator<Item = Option<Span>>) {
    for span in spans.flatten() {
        assert!(span.start <= span.end && span.end as usize + 2 <= used, "{span:?} in {used} bytes");
    }
}

/// What became of a chunked body: payload, and bytes used at its end, or the flaw, or neither.
type Outcome = (Vec<u8>, Result<Option<usize>, Flaw>);

/// Feeds `data` up to each of `ends` in turn.
fn decode(data: &[u8], ends: &[usize]) -> Outcome {
    let mut decoder = ChunkDecoder::new();
    let mut payload = Vec::new();
    let mut at = 0;
    for &end in ends {
        loop {
            let (item, used) = match decoder.next(&data[at..end]) {
                Parse::Done { value, used } => (value, used),
                Parse::More => break,
                Parse::Bad(flaw) => return (payload, Err(flaw)),
            };
            let piece = &data[at..at + used];
            at += used;
            match item {
                ChunkItem::Start { size, canonical } => check_start(piece, size, canonical),
                ChunkItem::Data { .. } => payload.extend_from_slice(piece),
                ChunkItem::DataEnd => assert_eq!(piece, b"\r\n"),
                ChunkItem::Trailer => assert!(piece.ends_with(b"\r\n") && !decoder.is_done()),
                ChunkItem::End => {
                    assert!(decoder.is_done());
                    return (payload, Ok(Some(at)));
                }
            }
            assert!(used > 0, "no progress");
        }
    }
    (payload, Ok(None))
}

/// A canonical size line is the one we would write, but for the case of its digits.
fn check_start(line: &[u8], size: u64, canonical: bool) {
    assert!(size > 0 && line.ends_with(b"\r\n"));
    if canonical {
        assert!(format!("{size:x}\r\n").as_bytes().eq_ignore_ascii_case(line));
    }
}

/// Decoding in place gives the same as decoding piece by piece.
fn check_in_place(data: &[u8], whole: &Outcome) {
    let mut bytes = data.to_vec();
    let (payload, end) = whole;
    match (decode_in_place(&mut ChunkDecoder::new(), &mut bytes), end) {
        (Ok(decoded), Ok(end)) => {
            assert_eq!(&bytes[..decoded.payload_len], &payload[..]);
            assert_eq!(&bytes[decoded.consumed_raw..], &data[decoded.consumed_raw..]);
            assert_eq!(decoded.done.then_some(decoded.consumed_raw), *end);
        }
        (Err(flaw), Err(expected)) => assert_eq!(flaw, *expected),
        (found, expected) => panic!("{found:?} in place, {expected:?} by pieces"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind, to be damaged.
    const SEEDS: [&[u8]; 5] = [
        b"Host: h\r\nX-A-Name-Beyond-One-Block: and a value that is longer, too\r\nX_:\t \r\n\r\nrest",
        b"POST http://h:1/p?q HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: a, b\r\n\r\nhello",
        b"\r\nGET /a%20b HTTP/1.0\r\nHost: [::1]:80\r\nAuthorization: Bearer k\r\nX:\t y \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\nRetry-After: 1\r\n\r\n",
        b"5;a=b\r\nhello\r\n1f\r\n0123456789012345678901234567890\r\n0\r\nX: y\r\nZ: 1\r\n\r\n",
    ];
    /// Bytes that mean something to one of the parsers.
    const BYTES: &[u8] = b"\r\n\r\n\r\n \t:;,%/?#*@[]_-.0159aAfFgZ\0\x0b\x7f\x80\xff\"";

    /// xorshift64: the tests repeat exactly.
    fn next(state: &mut u64) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 16) as usize
    }

    fn damage(data: &mut Vec<u8>, state: &mut u64) {
        let at = next(state) % (data.len() + 1);
        let byte = BYTES[next(state) % BYTES.len()];
        match next(state) % 4 {
            0 => data.insert(at, byte),
            1 if at < data.len() => data[at] = byte,
            2 if at < data.len() => drop(data.remove(at)),
            _ => {
                let end = (at + next(state) % 12).min(data.len());
                data.splice(at..at, data[at..end].to_vec());
            }
        }
    }

    #[test]
    fn damaged_input_keeps_the_laws() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut accepted = 0;
        for round in 0..4000 {
            let mut data = SEEDS[round % SEEDS.len()].to_vec();
            for _ in 0..next(&mut state) % 4 {
                damage(&mut data, &mut state);
            }
            accepted += usize::from(matches!(request_head(&data, &mut 0), Parse::Done { .. }));
            accepted += usize::from(matches!(response_head(&data, &mut 0), Parse::Done { .. }));
            exercise_request_head(&data);
            exercise_response_head(&data);
            exercise_chunked(&data);
            exercise_head_writer(&data);
        }
        assert!((500..2500).contains(&accepted), "{accepted} of 4000: the seeds or the damage make no sense");
    }
}
