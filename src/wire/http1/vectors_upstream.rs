//! Vectors as tables: response heads and chunked bodies, row by row of our HTTP/1.1 checklist (the row number
//! stands first). Each vector is also fed cut at every byte (`exercise`).
//!
//! Deliberately absent: request heads (`vectors`), and what becomes of a connection after a flaw.

use super::exercise::{exercise_chunked, exercise_response_head};
use super::*;
use crate::base::limits::{
    CHUNK_EXTENSION_BYTES, CHUNK_EXTENSIONS_BYTES, HEAD_BYTES, HEAD_FIELDS, TRAILER_BYTES,
};
use crate::wire::Parse;

/// One line that says everything about a parsed response.
fn describe(bytes: &[u8], parsed: Parse<ResponseHead>) -> String {
    let (head, used) = match parsed {
        Parse::Done { value, used } => (value, used),
        Parse::More => return "more".to_owned(),
        Parse::Bad(flaw) => return format!("bad {flaw:?}"),
    };
    let mut line = match head.framing {
        ResponseFraming::None => format!("{} none", head.status),
        ResponseFraming::Length(length) => format!("{} length={length}", head.status),
        ResponseFraming::Chunked => format!("{} chunked", head.status),
        ResponseFraming::Close => format!("{} until close", head.status),
    };
    line += if head.keep_alive { " keep" } else { "" };
    for field in ResponseField::ALL {
        line.extend(head.field(field).map(|value| format!(" {field:?}={}", value.of(bytes).escape_ascii())));
    }
    if used < bytes.len() {
        line += &format!(" then {}", bytes[used..].escape_ascii());
    }
    line
}

fn check(row: &str, bytes: &[u8], expected: &str) {
    let found = describe(bytes, response_head(bytes, &mut 0));
    assert_eq!(found, expected, "row {row}: {}", bytes.escape_ascii());
    exercise_response_head(bytes);
}

/// Row, everything after `HTTP/1.`, and what is expected.
const RESPONSES: &[(&str, &[u8], &str)] = &[
    ("ok", b"1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 length=2 keep then ok"),
    ("ok", b"1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: x\r\n\r\n", "200 chunked keep"),
    ("ok", b"1 200 OK\r\n\r\n", "200 until close"),
    ("ok", b"1 200 \r\nContent-Length: 0\r\n\r\n", "200 length=0 keep"),
    ("ok", b"1 200\r\nContent-Length: 0\r\n\r\n", "200 length=0 keep"),
    ("ok", b"1 599 d\xe9j\xe0\tvu\r\nContent-Length: 0\r\n\r\n", "599 length=0 keep"),
    (
        "ok",
        b"1 200 \r\nContent-Type: a\r\nContent-Encoding: b\r\n\r\n",
        "200 until close ContentType=a ContentEncoding=b",
    ),
    (
        "ok",
        b"1 429\r\nRetry-After: 7\r\nretry-after-ms: 70\r\nX-Should-Retry: true\r\nContent-Length: 0\r\n\r\n",
        "429 length=0 keep RetryAfter=7 RetryAfterMs=70 XShouldRetry=true",
    ),
    ("ok", b"1 200 OK\r\nRetry-After: 1\r\nRetry-After: 2\r\n\r\n", "200 until close RetryAfter=1"),
    ("ok", b"1 200 OK\r\nSet_Cookie: x\r\nContent_Length: 5\r\n\r\n", "200 until close"),
    ("73", b"1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "bad LengthAndChunked"),
    ("74", b"1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "bad ContentLength"),
    ("74", b"1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", "bad ContentLength"),
    ("74", b"1 200 OK\r\nContent-Length: x\r\n\r\n", "bad ContentLength"),
    ("74", b"1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", "bad ContentLength"),
    ("74", b"1 204 No\r\nContent-Length: -1\r\n\r\n", "bad ContentLength"),
    ("75", b"1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "bad TransferEncodingUnknown"),
    ("75", b"1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "bad TransferEncodingUnknown"),
    (
        "75",
        b"1 200 \r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "bad TransferEncoding",
    ),
    ("75", b"1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "bad TransferEncoding"),
    ("76", b"0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "bad TransferEncoding"),
    ("77", b"1 204 No Content\r\nContent-Length: 5\r\n\r\nabcde", "204 none keep then abcde"),
    ("77", b"1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "304 none keep"),
    ("78", b"1 100 Continue\r\n\r\nHTTP/1.1 200", "100 none keep then HTTP/1.1 200"),
    ("78", b"1 103 Early Hints\r\nLink: x\r\n\r\n", "103 none keep"),
    ("79", b"1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "bad Upgrade"),
    ("87", b"1 200 OK\r\nX: a\r\n b\r\n\r\n", "bad Folded"),
    ("87", b"1 200 OK\r\n X: a\r\n\r\n", "bad Folded"),
    ("87", b"1 200 OK\r\nContent-Length : 5\r\n\r\n", "bad Field"),
    ("88", b"1 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 20 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 2000 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 099 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 600 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1  200 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 200\tOK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 +20 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 200 O\0K\r\n\r\n", "bad StatusLine"),
    ("88", b"1\r\n\r\n", "bad StatusLine"),
    ("88", b".1 200 OK\r\n\r\n", "bad StatusLine"),
    ("88", b"1 200 OK\nContent-Length: 0\n\n", "bad LineEnd"),
    ("88", b"1 200 OK\r\nContent-Length: 0\n\r\n", "bad LineEnd"),
    ("90", b"1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "200 length=0"),
    ("90", b"0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "200 length=0"),
    ("90", b"1 200 OK\r\nConnection: content-length, x y\r\nContent-Length: 0\r\n\r\n", "200 length=0 keep"),
    ("97", b"1 200 OK\r\nContent-Type: a\rb\r\n\r\n", "bad LineEnd"),
    ("97", b"1 200 OK\r\nContent-Type: a\0b\r\n\r\n", "bad Field"),
    ("once", b"1 200 OK\r\nContent-Type: a\r\nContent-Type: a\r\n\r\n", "bad RepeatedField"),
    ("once", b"1 200 OK\r\nContent-Encoding: a\r\nContent-Encoding: b\r\n\r\n", "bad RepeatedField"),
    ("cut", b"1 200 OK\r\nContent-Length: 2\r\n", "more"),
    ("cut", b"", "more"),
];

#[test]
fn responses_are_judged() {
    for (row, rest, expected) in RESPONSES {
        check(row, &[b"HTTP/1.", *rest].concat(), expected);
    }
    check("88", b"HTTP/2.0 200 OK\r\n\r\n", "bad Version");
    check("88", b"<html>", "bad StatusLine");
    check("88", b"\r\nHTTP/1.1 200 OK\r\n\r\n", "bad StatusLine");
    check("88", b"ICY 200 OK\r\n\r\n", "bad StatusLine");
}

#[test]
fn response_limits_are_exact() {
    let start = "HTTP/1.1 200 OK\r\n";
    let head = |bytes: usize| format!("{start}X: {}\r\n\r\n", "a".repeat(bytes - start.len() - 7));
    let fields = |count: usize| format!("{start}{}\r\n", "X: a\r\n".repeat(count));
    for (bytes, expected) in [
        (fields(HEAD_FIELDS), "200 until close"),
        (fields(HEAD_FIELDS + 1), "bad TooManyFields"),
        (head(HEAD_BYTES), "200 until close"),
        (head(HEAD_BYTES + 1), "bad HeadTooLong"),
        (format!("HTTP/1.1 200 {}", "a".repeat(HEAD_BYTES)), "bad HeadTooLong"),
    ] {
        check("88", bytes.as_bytes(), expected);
    }
}

/// What became of a chunked body: its payload, and "end" with what follows, or "more", or the flaw.
fn describe_chunked(bytes: &[u8]) -> String {
    let mut decoder = ChunkDecoder::new();
    let mut at = 0;
    let mut line = String::new();
    loop {
        let (item, used) = match decoder.next(&bytes[at..]) {
            Parse::Done { value, used } => (value, used),
            Parse::More => return line + "more",
            Parse::Bad(flaw) => return line + &format!("bad {flaw:?}"),
        };
        let piece = bytes[at..at + used].escape_ascii();
        at += used;
        match item {
            ChunkItem::Start { size, canonical } => {
                line += &format!("{size:x}{}:", if canonical { "" } else { "*" });
            }
            ChunkItem::Data { .. } => line += &format!("{piece} "),
            ChunkItem::DataEnd => {}
            ChunkItem::Trailer => line += "trailer ",
            ChunkItem::End if at == bytes.len() => return line + "end",
            ChunkItem::End => return line + &format!("end then {}", bytes[at..].escape_ascii()),
        }
    }
}

fn check_chunked(row: &str, bytes: &[u8], expected: &str) {
    assert_eq!(describe_chunked(bytes), expected, "row {row}: {}", bytes.escape_ascii());
    exercise_chunked(bytes);
}

/// Row, a chunked body with perhaps something behind it, and what is expected. `*` marks a size line that may
/// not be forwarded as it is.
const CHUNKED: &[(&str, &[u8], &str)] = &[
    ("ok", b"5\r\nhello\r\n0\r\n\r\n", "5:hello end"),
    ("ok", b"A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\nGET /", "a:0123456789 1:x end then GET /"),
    ("ok", b"005\r\nhello\r\n000\r\n\r\n", "5*:hello end"),
    ("ok", b"0\r\n\r\n", "end"),
    ("42", b"0x5\r\nhello\r\n", "bad ChunkSize"),
    ("42", b"+5\r\nhello\r\n", "bad ChunkSize"),
    ("42", b"-5\r\nhello\r\n", "bad ChunkSize"),
    ("42", b"5_0\r\nhello\r\n", "bad ChunkSize"),
    ("42", b" 5\r\nhello\r\n", "bad ChunkSize"),
    ("42", b"5 \r\nhello\r\n", "bad ChunkSize"),
    ("42", b"5 ;a\r\nhello\r\n", "bad ChunkSize"),
    ("42", b"5\t\r\nhello\r\n", "bad ChunkSize"),
    ("42", b"\r\nhello\r\n", "bad ChunkSize"),
    ("42", b";a=b\r\n", "bad ChunkSize"),
    ("42", b"g\r\n", "bad ChunkSize"),
    ("42", b"\xef\xbc\x95\r\n", "bad ChunkSize"),
    ("42", b"00000000000000005\r\nhello\r\n", "bad ChunkSize"),
    ("42", b"10000000000000005", "bad ChunkSize"),
    ("42", b"ffffffffffffffff\r\nhello", "ffffffffffffffff:hello more"),
    ("43", b"5;a=b\r\nhello\r\n0;c=\"d\"\r\n\r\n", "5*:hello end"),
    ("43", b"5;a=\"\xff;\tb\"\r\nhello\r\n", "5*:hello more"),
    ("45", b"5;\nhello", "bad ChunkExtension"),
    ("45", b"5;a\rb\r\nhello", "bad ChunkExtension"),
    ("45", b"5;a\nb\r\nhello", "bad ChunkExtension"),
    ("45", b"5;a\0b\r\nhello", "bad ChunkExtension"),
    ("45", b"5;a=\"\x0b\"\r\nhello", "bad ChunkExtension"),
    ("45", b"2\r\r;a\r\nhi\r\n", "bad ChunkSize"),
    ("46", b"5\r\nhello!\r\n", "5:hello bad ChunkEnd"),
    ("46", b"5\r\nhello0\r\n\r\n", "5:hello bad ChunkEnd"),
    ("46", b"5\r\nhello\rX", "5:hello bad ChunkEnd"),
    ("47", b"5\nhello\r\n", "bad ChunkSize"),
    ("47", b"5\r\nhello\n0\r\n\r\n", "5:hello bad ChunkEnd"),
    ("47", b"0\n\n", "bad ChunkSize"),
    ("47", b"0\r\n\n", "bad Trailer"),
    (
        "48",
        b"0\r\nContent-Length: 5\r\nHost: x\r\nAuthorization: y\r\nTransfer-Encoding: z\r\n\r\nA",
        "end then A",
    ),
    ("48", b"0\r\nX: a\r\n b\r\n\r\n", "bad Trailer"),
    ("48", b"0\r\nX : a\r\n\r\n", "bad Trailer"),
    ("48", b"0\r\nX: a\n\r\n", "bad Trailer"),
    ("48", b"0\r\nX: a\0\r\n\r\n", "bad Trailer"),
    ("48", b"0\r\nX: a\r\r\n\r\n", "bad Trailer"),
    ("48", b"0\r\nGET / HTTP/1.1\r\n\r\n", "bad Trailer"),
    ("49", b"0\r\nX:POST / HTTP/1.1\r\n\r\n", "end"),
    ("50", b"5\r\nhel", "5:hel more"),
    ("50", b"5\r\nhello\r", "5:hello more"),
    ("50", b"5\r\nhello\r\n", "5:hello more"),
    ("50", b"5\r\nhello\r\n0\r", "5:hello more"),
    ("50", b"0\r\n", "trailer more"),
    ("50", b"0\r\n\r", "trailer more"),
    ("50", b"0\r\nX: a\r\nY", "trailer more"),
    ("50", b"", "more"),
];

#[test]
fn chunked_bodies_are_judged() {
    for (row, bytes, expected) in CHUNKED {
        check_chunked(row, bytes, expected);
    }
}

#[test]
fn chunked_limits_are_exact() {
    let extended = |bytes: usize| format!("1;{}\r\nx\r\n", "a".repeat(bytes - 1));
    let extensions = CHUNK_EXTENSIONS_BYTES / CHUNK_EXTENSION_BYTES;
    let full = extended(CHUNK_EXTENSION_BYTES).repeat(extensions);
    let trailer = |bytes: usize| format!("0\r\nX: {}\r\n", "a".repeat(bytes - 5));
    let many = "0\r\n".to_owned() + &"X: abc\r\n".repeat(TRAILER_BYTES / 8);
    for (row, bytes, expected) in [
        ("44", extended(CHUNK_EXTENSION_BYTES), "1*:x more".to_owned()),
        ("44", extended(CHUNK_EXTENSION_BYTES + 1), "bad ChunkExtension".to_owned()),
        ("44", full.clone() + "1\r\nx\r\n", "1*:x ".repeat(extensions) + "1:x more"),
        ("44", full + "1;\r\nx\r\n", "1*:x ".repeat(extensions) + "bad ChunkExtension"),
        ("48", trailer(TRAILER_BYTES) + "\r\n", "end".to_owned()),
        ("48", trailer(TRAILER_BYTES + 1) + "\r\n", "bad Trailer".to_owned()),
        ("48", many.clone() + "\r\n", "end".to_owned()),
        ("48", many + "X: a\r\n\r\n", "bad Trailer".to_owned()),
    ] {
        check_chunked(row, bytes.as_bytes(), &expected);
    }
}

#[test]
fn what_is_written_is_canonical() {
    for size in [1_usize, 9, 15, 16, 255, 256, 0x1000, 0xabcdef, usize::MAX] {
        let mut out = Vec::new();
        write_chunk_size(&mut out, size);
        assert_eq!(out, format!("{size:x}\r\n").as_bytes());
        let start = ChunkItem::Start { size: size as u64, canonical: true };
        assert_eq!(ChunkDecoder::new().next(&out), Parse::Done { value: start, used: out.len() });
    }
    check_chunked("ok", LAST_CHUNK, "end");
}

#[test]
fn a_body_is_gathered_across_reads() {
    // What a caller does: payload in front, undecoded bytes behind it, new bytes at the end, three at a time.
    let raw = b"4;x\r\nMill\r\n4\r\nrace\r\n0\r\nT: t\r\n\r\nnext";
    let mut decoder = ChunkDecoder::new();
    let (mut held, mut payload) = (Vec::new(), 0);
    for piece in raw.chunks(3) {
        held.extend_from_slice(piece);
        if decoder.is_done() {
            continue;
        }
        let decoded = decode_in_place(&mut decoder, &mut held[payload..]).expect("the body is well formed");
        held.drain(payload + decoded.payload_len..payload + decoded.consumed_raw);
        payload += decoded.payload_len;
        assert_eq!(decoded.done, decoder.is_done());
    }
    assert!(decoder.is_done());
    assert_eq!(held.split_at(payload), (&b"Millrace"[..], &b"next"[..]));
}
