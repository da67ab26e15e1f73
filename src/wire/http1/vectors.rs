//! Vectors as tables: what a client may send and what becomes of it, row by row of our HTTP/1.1 checklist
//! (the row number stands first). Each vector is also fed cut at every byte (`exercise`).
//!
//! Deliberately absent: upstream responses and chunked bodies (`vectors_upstream`), and anything about
//! sockets.

use super::exercise::{exercise_head_writer, exercise_request_head};
use super::*;
use crate::base::limits::{HEAD_BYTES, HEAD_FIELDS, REQUEST_LINE_BYTES};
use crate::wire::Parse;

/// One line that says everything about a parsed request.
fn describe(bytes: &[u8], parsed: Parse<RequestHead>) -> String {
    let (head, used) = match parsed {
        Parse::Done { value, used } => (value, used),
        Parse::More => return "more".to_owned(),
        Parse::Bad(flaw) => return format!("bad {flaw:?}"),
    };
    let text = |span: crate::base::span::Span| span.of(bytes).escape_ascii().to_string();
    let mut line = format!("{} {}", head.method.name(), text(head.target));
    line.extend(head.query.map(|query| format!("?{}", text(query))));
    line += &format!(" host={}", text(head.host));
    match head.framing {
        RequestFraming::None => {}
        RequestFraming::Length(length) => line += &format!(" length={length}"),
        RequestFraming::Chunked => line += " chunked",
    }
    line += if head.expect == Expect::Continue { " continue" } else { "" };
    line += if head.version == Version::Http10 { " 1.0" } else { "" };
    line += if head.keep_alive { "" } else { " close" };
    for field in RequestField::ALL {
        line.extend(head.field(field).map(|value| format!(" {field:?}={}", text(value))));
    }
    if used < bytes.len() {
        line += &format!(" then {}", bytes[used..].escape_ascii());
    }
    line
}

fn check(row: &str, bytes: &[u8], expected: &str) {
    let found = describe(bytes, request_head(bytes, &mut 0));
    assert_eq!(found, expected, "row {row}: {}", bytes.escape_ascii());
    exercise_request_head(bytes);
}

/// Row, field lines after `POST /p HTTP/1.1` and `Host: h`, and what is expected after `POST /p host=h`, or
/// "bad …".
const FIELDS: &[(&str, &[u8], &str)] = &[
    ("1", b"Content-Length: 5\r\nTransfer-Encoding: chunked", "bad LengthAndChunked"),
    ("1", b"Transfer-Encoding: chunked\r\nContent-Length: 0", "bad LengthAndChunked"),
    ("2", b"Content-Length: 5\r\nContent-Length: 6", "bad ContentLength"),
    ("3", b"Content-Length: 5\r\ncontent-length: 5", "bad ContentLength"),
    ("3", b"Content-Length: 5, 5", "bad ContentLength"),
    ("4", b"Content-Length: +5", "bad ContentLength"),
    ("4", b"Content-Length: -5", "bad ContentLength"),
    ("4", b"Content-Length: 0x5", "bad ContentLength"),
    ("4", b"Content-Length: 5_0", "bad ContentLength"),
    ("4", b"Content-Length: 5 5", "bad ContentLength"),
    ("4", b"Content-Length: 5.0", "bad ContentLength"),
    ("4", b"Content-Length: 5,", "bad ContentLength"),
    ("4", b"Content-Length: Z", "bad ContentLength"),
    ("4", b"Content-Length: 1Z", "bad ContentLength"),
    ("4", b"Content-Length: \xb2", "bad ContentLength"),
    ("5", b"Content-Length:", "bad ContentLength"),
    ("5", b"Content-Length: \t", "bad ContentLength"),
    ("5", b"Content-Length:\r\nContent-Length: 5", "bad ContentLength"),
    ("6", b"Content-Length: 0005", " length=5"),
    ("6", b"Content-Length: 010", " length=10"),
    ("6", b"Content-Length: 0", " length=0"),
    ("7", b"Content-Length: 9223372036854775808", " length=9223372036854775808"),
    ("7", b"Content-Length: 18446744073709551615", " length=18446744073709551615"),
    ("7", b"Content-Length: 18446744073709551616", "bad ContentLength"),
    ("7", b"Content-Length: 99999999999999999999999999999999", "bad ContentLength"),
    ("8", b"Transfer-Encoding: Chunked", " chunked"),
    ("8", b"tRANSFER-eNCODING:\tCHUNKED ", " chunked"),
    ("9", b"Transfer-Encoding: identity", "bad TransferEncodingUnknown"),
    ("9", b"Transfer-Encoding: gzip, chunked", "bad TransferEncodingUnknown"),
    ("9", b"Transfer-Encoding: xchunked", "bad TransferEncodingUnknown"),
    ("9", b"Transfer-Encoding: gzip", "bad TransferEncodingUnknown"),
    ("10", b"Transfer-Encoding: chunked, gzip", "bad TransferEncoding"),
    ("10", b"Transfer-Encoding: chunked, identity", "bad TransferEncoding"),
    ("11", b"Transfer-Encoding: chunked, chunked", "bad TransferEncoding"),
    ("11", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "bad TransferEncoding"),
    ("11", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "bad TransferEncoding"),
    ("12", b"Transfer-Encoding: ,chunked", "bad TransferEncoding"),
    ("12", b"Transfer-Encoding: chunked,", "bad TransferEncoding"),
    ("12", b"Transfer-Encoding:", "bad TransferEncoding"),
    ("13", b"Transfer-Encoding: \x0bchunked", "bad Field"),
    ("13", b"Transfer-Encoding: chunked\x0c", "bad Field"),
    ("13", b"Transfer-Encoding: chun\0ked", "bad Field"),
    ("13", b"Transfer-Encoding: \xa0chunked", "bad TransferEncoding"),
    ("13", b"Transfer-Encoding: chunked\x85", "bad TransferEncoding"),
    ("13", b"Transfer-Encoding: \"chunked\"", "bad TransferEncoding"),
    ("13", b"Transfer-Encoding: chunked;x=y", "bad TransferEncoding"),
    ("15", b"Transfer_Encoding: chunked", "bad Underscore"),
    ("15", b"Content_Length: 5", "bad Underscore"),
    ("15", b"Content_Type: text/html\r\nX_Api_Key: k", ""),
    ("16", b"Content-Length : 5", "bad Field"),
    ("16", b"Transfer-Encoding\t: chunked", "bad Field"),
    ("18", b"X: a\r\n b", "bad Folded"),
    ("18", b"X: a\r\n\tb", "bad Folded"),
    ("18", b"X: a\r\n \r\nY: b", "bad Folded"),
    ("18", b"Transfer-Encoding:\r\n chunked", "bad Folded"),
    ("19", b"X: a\nY: b", "bad LineEnd"),
    ("19", b"X: a\n", "bad LineEnd"),
    ("19", b"X: a\n\nY: b", "bad LineEnd"),
    ("19", b"X: a\n\r\nGET /smuggled HTTP/1.1", "bad LineEnd"),
    ("20", b"X: a\rb", "bad LineEnd"),
    ("20", b"X: a\r\rb", "bad LineEnd"),
    ("20", b"X: a\r\r\nY: b", "bad LineEnd"),
    ("20", b"X\r: a", "bad LineEnd"),
    ("20", b"\rX: a", "bad LineEnd"),
    ("21", b"X: a\0b", "bad Field"),
    ("21", b"X: a\x01b", "bad Field"),
    ("21", b"X: a\x7fb", "bad Field"),
    ("21", b"X: a\tb", ""),
    ("22", b"User-Agent: \xffa\x80", " UserAgent=\\xffa\\x80"),
    ("22", b"X\x80: a", "bad Field"),
    ("22", b"\xef\xbb\xbfX: a", "bad Field"),
    ("23", b": x", "bad Field"),
    ("24", b"novalue", "bad Field"),
    ("24", b"X: a\r\nGET / HTTP/1.1", "bad Field"),
    ("25", b"X@Y: a", "bad Field"),
    ("25", b"X(Y: a", "bad Field"),
    ("25", b"X)Y: a", "bad Field"),
    ("25", b"X/Y: a", "bad Field"),
    ("25", b"X[Y: a", "bad Field"),
    ("25", b"X]Y: a", "bad Field"),
    ("25", b"X{Y: a", "bad Field"),
    ("25", b"X}Y: a", "bad Field"),
    ("35", b"Host: h", "bad Host"),
    ("35", b"host: other", "bad Host"),
    ("54", b"Expect: 100-continue\r\nContent-Length: 5", " length=5 continue"),
    ("55", b"Transfer-Encoding: chunked\r\nExpect: 100-Continue", " chunked continue"),
    ("56", b"Expect: 100-continue", ""),
    ("56", b"Expect: 100-continue\r\nContent-Length: 0", " length=0"),
    ("57", b"Expect: y 100-continue\r\nContent-Length: 5", "bad Expectation"),
    ("57", b"Expect: 100-continue, x\r\nContent-Length: 5", "bad Expectation"),
    ("57", b"Expect:\r\nContent-Length: 5", "bad Expectation"),
    ("57", b"Expect: 100-continue\r\nExpect: 100-continue", "bad Expectation"),
    ("60", b"Connection: close", " close"),
    ("60", b"Connection: Keep-Alive\r\nConnection: x,\t CLOSE ,", " close"),
    ("61", b"Connection: keep-alive", ""),
    ("62", b"Connection: x-foo\r\nX-Foo: 1", ""),
    ("63", b"Connection: authorization\r\nAuthorization: a", "bad ConnectionOption"),
    ("63", b"Connection: close, Host", "bad ConnectionOption"),
    ("63", b"Connection: content-length\r\nContent-Length: 5", "bad ConnectionOption"),
    ("63", b"Connection: x-api-key", "bad ConnectionOption"),
    ("63", b"Connection: transfer-encoding", "bad ConnectionOption"),
    ("63", b"Connection: a b", "bad Field"),
    ("64", b"Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: trailers\r\nProxy-Authorization: x", ""),
    ("65", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA", ""),
    ("65", b"Connection: upgrade\r\nUpgrade: websocket", ""),
    ("once", b"Authorization: a\r\nAuthorization: a", "bad RepeatedField"),
    ("once", b"X-Api-Key: a\r\nX-Api-Key: b", "bad RepeatedField"),
    ("once", b"Content-Type: a\r\nContent-Type: b", "bad RepeatedField"),
    ("once", b"Content-Encoding: a\r\nContent-Encoding: b", "bad RepeatedField"),
    ("once", b"Idempotency-Key:\r\nIdempotency-Key: b", "bad RepeatedField"),
    ("once", b"OpenAI-Beta: a\r\nOpenAI-Beta: b", "bad RepeatedField"),
    ("once", b"X-Session-Id: a\r\nX-Session-Id: b", "bad RepeatedField"),
    ("once", b"Accept: a\r\nAccept: b\r\nUser-Agent: c\r\nUser-Agent: d", " Accept=a UserAgent=c"),
    ("once", b"X-Title: a\r\nX-OpenRouter-Title: b", " XTitle=a"),
    (
        "kept",
        b"X-OpenRouter-Title: a\r\nhttp-referer:b\r\nApi-Key:  c\t ",
        " ApiKey=c HttpReferer=b XTitle=a",
    ),
    ("kept", b"CONTENT-ENCODING: gzip\r\nOpenAI-Beta: b", " ContentEncoding=gzip OpenAiBeta=b"),
    ("kept", b"X-Session-Id: s\r\nIdempotency-Key: i", " IdempotencyKey=i XSessionId=s"),
    ("kept", b"Accept:\r\nX-Api-Key:", " XApiKey= Accept="),
    ("kept", b"Apikey: a\r\nx_title: b\r\nContent-Typf: c\r\nHosu: d", ""),
];

#[test]
fn fields_are_judged() {
    for (row, lines, expected) in FIELDS {
        let bytes = [b"POST /p HTTP/1.1\r\nHost: h\r\n", *lines, b"\r\n\r\n"].concat();
        match expected.strip_prefix("bad") {
            Some(_) => check(row, &bytes, expected),
            None => check(row, &bytes, &format!("POST /p host=h{expected}")),
        }
    }
}

/// Row, a whole input, and what is expected.
const WHOLE: &[(&str, &[u8], &str)] = &[
    ("14", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "bad TransferEncoding"),
    ("17", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", "bad Folded"),
    ("17", b"GET / HTTP/1.1\r\n\tX: a\r\nHost: h\r\n\r\n", "bad Folded"),
    ("19", b"GET / HTTP/1.1\nHost: h\r\n\r\n", "bad LineEnd"),
    ("19", b"GET / HTTP/1.1\r\nHost: h\r\n\n", "bad LineEnd"),
    ("19", b"GET / HTTP/1.1\r\nHost: h\n\r\n", "bad LineEnd"),
    ("19", b"GET / HTTP/1.1\nHost: h\n\n", "bad LineEnd"),
    ("20", b"GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n", "bad LineEnd"),
    ("20", b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "bad LineEnd"),
    ("20", b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad LineEnd"),
    ("29", b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "bad MethodUnknown"),
    ("29", b"POSTT / HTTP/1.1\r\nHost: h\r\n\r\n", "bad MethodUnknown"),
    ("29", b"post / HTTP/1.1\r\nHost: h\r\n\r\n", "bad MethodUnknown"),
    ("29", b"PO ST / HTTP/1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("29", b"P@ST / HTTP/1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("30", b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "bad MethodUnknown"),
    ("30", b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "bad MethodUnknown"),
    ("31", b"GET /\r\n", "bad RequestLine"),
    ("31", b"GET / HTTP/1.\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b"GET / http/1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b"GET / HTTP/ 1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b"GET /\tHTTP/1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("31", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "bad Version"),
    ("31", b"GET / HTTP/0.9\r\n\r\n", "bad Version"),
    ("32", b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", "GET / host=h"),
    ("33", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad RequestLine"),
    ("33", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "bad RequestLine"),
    ("34", b"GET / HTTP/1.1\r\n\r\n", "bad Host"),
    ("34", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad Host"),
    ("34", b"GET / HTTP/1.0\r\n\r\n", "GET / host= 1.0 close"),
    ("35", b"GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", "bad Host"),
    ("37", b"GET http://a:1/x?y HTTP/1.1\r\nHost: b\r\n\r\n", "GET /x?y host=a:1"),
    ("37", b"GET HTTPS://a HTTP/1.1\r\nHost: b\r\n\r\n", "GET / host=a"),
    ("37", b"GET http://a?q HTTP/1.1\r\nHost: b\r\n\r\n", "GET /?q host=a"),
    ("37", b"GET http://a/ HTTP/1.1\r\nHost: b,c\r\n\r\n", "bad Host"),
    ("37", b"GET http://a/ HTTP/1.1\r\n\r\n", "bad Host"),
    ("37", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad Target"),
    ("37", b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", "bad Target"),
    ("37", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad Target"),
    ("38", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * host=h"),
    ("38", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", "bad Target"),
    ("38", b"GET h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "bad Target"),
    ("38", b"GET h HTTP/1.1\r\nHost: h\r\n\r\n", "bad Target"),
    ("41", b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / host=h"),
    ("41", b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / host=h"),
    ("41", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad RequestLine"),
    ("41", b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad LineEnd"),
    ("51", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "GET / host=h length=3 then abc"),
    ("51", b"DELETE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "DELETE / host=h chunked"),
    (
        "56",
        b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "PUT / host= length=5 1.0 close",
    ),
    ("56", b"PUT / HTTP/1.0\r\nExpect: x\r\n\r\n", "PUT / host= 1.0 close"),
    (
        "58",
        b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nPATCH /b HTTP/1.1\r\nHost: h\r\n\r\n",
        r"HEAD /a host=h then PATCH /b HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    ("59", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n\0\x01", r"GET / host=h then \x00\x01"),
    ("60", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /", "GET / host=h close then GET /"),
    ("61", b"GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "GET / host=h 1.0 close"),
    ("72", b"GET / HTTP/1.1\r\nHost: h\r\n", "more"),
    ("72", b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0", "more"),
    ("72", b"\r\n\r", "more"),
    ("72", b"", "more"),
];

#[test]
fn whole_heads_are_judged() {
    for (row, bytes, expected) in WHOLE {
        check(row, bytes, expected);
    }
}

/// Row, target, and the parsed `path?query` or "bad".
const TARGETS: &[(&str, &[u8], &str)] = &[
    ("39", b"/a#b", "bad"),
    ("39", b"/a b", "bad line"),
    ("39", b"/a\x01", "bad"),
    ("39", b"/a\x7f", "bad"),
    ("39", b"/a\xe9", "bad"),
    ("39", b"/\xc0\xaf", "bad"),
    ("39", b"/a\"b", "bad"),
    ("39", b"/<a>", "bad"),
    ("39", b"/a^b", "bad"),
    ("39", b"/a`b", "bad"),
    ("39", b"/{a|b}", "bad"),
    ("39", b"/a%", "bad"),
    ("39", b"/a%2", "bad"),
    ("39", b"/a%zz/", "bad"),
    ("40", b"/a\\b", "bad"),
    ("40", b"/v1/../admin", "/v1/../admin"),
    ("40", b"/%2e%2e/x", "/%2e%2e/x"),
    ("40", b"//v1", "//v1"),
    ("40", b"/v1%2fadmin", "/v1%2fadmin"),
    ("40", b"/p?a=[1]&b=c?d", "/p?a=[1]&b=c?d"),
    ("40", b"/p?", "/p?"),
];

#[test]
fn targets_are_compared_as_sent() {
    for (row, target, expected) in TARGETS {
        let bytes = [b"GET ", *target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        match *expected {
            "bad" => check(row, &bytes, "bad Target"),
            "bad line" => check(row, &bytes, "bad RequestLine"),
            _ => check(row, &bytes, &format!("GET {expected} host=h")),
        }
    }
}

/// Row 36: hosts that are accepted, and hosts that are not.
const HOSTS: &[(bool, &str)] = &[
    (
        true,
        "h h.example h.example. a-b_c~d.x 127.0.0.1 h:1 h:65535 h:00080 [::1] [::1]:80 [::ffff:1.2.3.4]:1",
    ),
    (
        false,
        "u@h h/x h,i h:98777 h:65536 h:0 h: h:1.2 h:+1 h:-1 h:000080 h:1:2 h..x .h h? h# h%41 h\\x h\x7f",
    ),
    (false, "[v6 [::1 [::1]x [::1]: [::g] [] [1.2.3.4] [fe80::1%25eth0] ::1 :80 \u{e9} ."),
];

#[test]
fn hosts_are_judged() {
    for (accepted, hosts) in HOSTS {
        for host in hosts.split(' ') {
            let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let expected = match (accepted, host.contains('\x7f')) {
                (true, _) => format!("GET / host={host}"),
                (false, true) => "bad Field".to_owned(),
                (false, false) => "bad Host".to_owned(),
            };
            check("36", bytes.as_bytes(), &expected);
        }
    }
    check("36", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad Host");
}

#[test]
fn limits_are_exact() {
    let line = |bytes: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(bytes - "GET / HTTP/1.1".len()));
    let start = "GET / HTTP/1.1\r\nHost: h\r\n";
    let head = |bytes: usize| format!("{start}X: {}\r\n\r\n", "a".repeat(bytes - start.len() - 7));
    let fields = |count: usize| format!("{start}{}\r\n", "X: a\r\n".repeat(count - 1));
    for (row, bytes, expected) in [
        ("26", fields(HEAD_FIELDS), "GET / host=h"),
        ("26", fields(HEAD_FIELDS + 1), "bad TooManyFields"),
        ("26", fields(30) + "then", "GET / host=h then then"),
        ("27", head(HEAD_BYTES), "GET / host=h"),
        ("27", "\r\n".to_owned() + &head(HEAD_BYTES), "GET / host=h"),
        ("27", head(HEAD_BYTES + 1), "bad HeadTooLong"),
        ("27", head(HEAD_BYTES + 9)[..HEAD_BYTES].to_owned(), "bad HeadTooLong"),
        ("27", head(HEAD_BYTES + 9)[..HEAD_BYTES - 1].to_owned(), "more"),
        ("28", line(REQUEST_LINE_BYTES + 1), "bad RequestLineTooLong"),
        ("28", line(REQUEST_LINE_BYTES + 9)[..REQUEST_LINE_BYTES + 2].to_owned(), "bad RequestLineTooLong"),
        ("28", line(REQUEST_LINE_BYTES + 9)[..REQUEST_LINE_BYTES + 1].to_owned(), "more"),
    ] {
        check(row, bytes.as_bytes(), expected);
    }
    let longest = line(REQUEST_LINE_BYTES) + "Host: h\r\n\r\n";
    assert!(
        matches!(request_head(longest.as_bytes(), &mut 0), Parse::Done { used, .. } if used == longest.len())
    );
    exercise_request_head(longest.as_bytes());
}

#[test]
fn a_written_head_reads_as_meant() {
    let mut out = Vec::new();
    let mut writer = HeadWriter::request(&mut out, "POST", &["/v1", "/a b\r\nX: \u{e9}"]);
    writer.field("Host", b"h").field("X", b"a\r\n\0\x7f\tb\xff").number("N", u64::MAX).number("Z", 0);
    writer.end();
    let expected = "POST /v1/a%20b%0D%0AX:%20%C3%A9 HTTP/1.1\\r\\nHost: h\\r\\nX: a    \\tb\\xff\\r\\n\
        N: 18446744073709551615\\r\\nZ: 0\\r\\n\\r\\n";
    assert_eq!(out.escape_ascii().to_string(), expected);
    check("97", &out, "POST /v1/a%20b%0D%0AX:%20%C3%A9 host=h");

    for status in [200, 429, 599, 999] {
        let mut out = Vec::new();
        HeadWriter::response(&mut out, status).end();
        assert!(out.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", out.escape_ascii());
    }
    for value in [&b""[..], b" ", b"a\r\nb: c\r\n\r\n", b"\0", b"text/event-stream"] {
        exercise_head_writer(value);
    }
}
