//! What a client may send, row by row of our HTTP/1.1 checklist, against the running proxy: each vector
//! whole and cut in two at several places, followed on the same connection by a harmless request. The
//! statuses that come back, in order, say where the proxy saw the borders; an origin that saw more or other
//! requests than it should is a smuggled request.

use std::net::SocketAddr;

use crate::harness::{
    Client, End, Origin, PATIENCE, Proxy, Random, document, document_answer, each_driver, let_read, message,
    models, parse_all, provider,
};

/// What follows every vector: where it is answered, the vector's borders were where the sender meant them.
const FOLLOWER: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

const BODY_LIMIT: usize = 8 * 1024;

/// One vector: row of the checklist, bytes, statuses in order, requests that reach the origin.
struct Vector {
    row: &'static str,
    bytes: Vec<u8>,
    statuses: &'static str,
    upstream: usize,
}

fn body() -> String {
    message("t/m", false, "vector")
}

/// Field lines of an otherwise sound request with a body and its length.
fn with_length(row: &'static str, fields: &[u8], statuses: &'static str) -> Vector {
    let length = format!("Content-Length: {}\r\n", body().len());
    with_fields(row, &[length.as_bytes(), fields].concat(), body().as_bytes(), statuses)
}

/// Field lines that frame the body by themselves.
fn with_fields(row: &'static str, fields: &[u8], body: &[u8], statuses: &'static str) -> Vector {
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    raw(row, &[head, fields, b"\r\n", body].concat(), statuses)
}

/// A chunked body, given as it goes over the wire.
fn chunked(row: &'static str, wire: &str, statuses: &'static str) -> Vector {
    with_fields(row, b"Transfer-Encoding: chunked\r\n", wire.as_bytes(), statuses)
}

/// Another request line, without a body.
fn line(row: &'static str, line: &[u8], statuses: &'static str) -> Vector {
    raw(row, &[line, b"\r\nHost: h\r\n\r\n"].concat(), statuses)
}

/// All bytes as given. A 200 in front that is a chat comes from the origin.
fn raw(row: &'static str, bytes: &[u8], statuses: &'static str) -> Vector {
    let chat = bytes.windows(17).any(|window| window == b"/chat/completions");
    Vector {
        row,
        bytes: bytes.to_vec(),
        statuses,
        upstream: usize::from(chat && statuses.starts_with("200")),
    }
}

/// Rows 1 to 14: lengths and codings.
fn framing() -> Vec<Vector> {
    let fields = |row, fields: &[u8], statuses| with_fields(row, fields, body().as_bytes(), statuses);
    let length = body().len();
    let number = |text: String| format!("Content-Length: {text}\r\n").into_bytes();
    let mut vectors = vec![
        with_length("1", b"Transfer-Encoding: chunked\r\n", "400"),
        with_length("2", b"Content-Length: 6\r\n", "400"),
        with_length("3", &number(length.to_string()), "400"),
        fields("3", &number(format!("{length}, {length}")), "400"),
        fields("5", b"Content-Length:\r\n", "400"),
        fields("5", &[b"Content-Length:\r\n".to_vec(), number(length.to_string())].concat(), "400"),
        fields("6", &number(format!("000{length}")), "200 200"),
        fields("7", b"Content-Length: 9223372036854775808\r\n", "413"),
        fields("7", b"Content-Length: 18446744073709551616\r\n", "400"),
        fields("7", b"Content-Length: 99999999999999999999999999999999\r\n", "400"),
        // Without any framing the body is no body: the request is empty, and what follows is no request.
        fields("51", b"", "400 400"),
        with_length("15", b"Transfer_Encoding: chunked\r\n", "400"),
        with_length("15", b"Content_Length: 5\r\n", "400"),
    ];
    for text in ["+5", "-5", "0x5", "5_0", "5 5", "5.0", "5,", "Z", "1Z", "\u{b2}"] {
        vectors.push(fields("4", &number(text.to_owned()), "400"));
    }
    for (row, text, statuses) in [
        ("9", &b"identity"[..], "501"),
        ("9", b"gzip, chunked", "501"),
        ("9", b"xchunked", "501"),
        ("10", b"chunked, gzip", "400"),
        ("10", b"chunked, identity", "400"),
        ("11", b"chunked, chunked", "400"),
        ("11", b"chunked\r\nTransfer-Encoding: chunked", "400"),
        ("12", b",chunked", "400"),
        ("12", b"chunked,", "400"),
        ("13", b"\x0bchunked", "400"),
        ("13", b"chunked\x0c", "400"),
        ("13", b"chun\0ked", "400"),
        ("13", b"\xa0chunked", "400"),
        ("13", b"\"chunked\"", "400"),
        ("13", b"chunked;x=y", "400"),
    ] {
        vectors.push(fields(row, &[b"Transfer-Encoding: ", text, b"\r\n"].concat(), statuses));
    }
    let old = b"POST /v1/chat/completions HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    vectors.push(raw("14", old, "400"));
    vectors
}

/// Rows 16 to 27 and 62 to 65: field lines.
fn fields() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = [
        ("16", &b"X : a\r\n"[..], "400"),
        ("16", b"X\t: a\r\n", "400"),
        ("18", b"X: a\r\n b\r\n", "400"),
        ("18", b"X: a\r\n\tb\r\n", "400"),
        ("19", b"X: a\nY: b\r\n", "400"),
        ("19", b"X: a\n\r\nGET /smuggled HTTP/1.1\r\n", "400"),
        ("20", b"X: a\rb\r\n", "400"),
        ("20", b"X: a\r\r\n", "400"),
        ("20", b"\rX: a\r\n", "400"),
        ("21", b"X: a\0b\r\n", "400"),
        ("21", b"X: a\x01b\r\n", "400"),
        ("21", b"X: a\x7fb\r\n", "400"),
        ("22", b"X: \xffa\x80\r\n", "200 200"),
        ("22", b"X\x80: a\r\n", "400"),
        ("23", b": x\r\n", "400"),
        ("24", b"novalue\r\n", "400"),
        ("25", b"X@Y: a\r\n", "400"),
        ("25", b"X(Y: a\r\n", "400"),
        ("25", b"X/Y: a\r\n", "400"),
        ("25", b"X[Y: a\r\n", "400"),
        ("25", b"X{Y: a\r\n", "400"),
        ("35", b"Host: h\r\n", "400"),
        ("62", b"Connection: x-foo\r\nX-Foo: 1\r\n", "200 200"),
        ("63", b"Connection: authorization\r\n", "400"),
        ("63", b"Connection: host\r\n", "400"),
        ("63", b"Connection: content-length\r\n", "400"),
        (
            "64",
            b"Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nProxy-Authorization: x\r\n",
            "200 200",
        ),
        ("65", b"Connection: upgrade\r\nUpgrade: websocket\r\n", "200 200"),
        ("65", b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n", "200 200"),
        ("71", b"Content-Encoding: gzip\r\n", "415"),
        ("57", b"Expect: y 100-continue\r\n", "417"),
        ("57", b"Expect: 200-ok\r\n", "417"),
    ]
    .into_iter()
    .map(|(row, fields, statuses)| with_length(row, fields, statuses))
    .collect();
    vectors.push(with_length("26", "X: 1\r\n".repeat(101).as_bytes(), "431"));
    vectors.push(with_length("26", "X: 1\r\n".repeat(90).as_bytes(), "200 200"));
    vectors.push(with_length("27", format!("X: {}\r\n", "a".repeat(33 * 1024)).as_bytes(), "431"));
    vectors.push(raw("17", b"POST /v1/chat/completions HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n", "400"));
    for host in ["u@h", "h/x", "h,x", "h x", "h:98777", "h:1.2", "[v6", "h..x/"] {
        let bytes = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
        vectors.push(raw("36", bytes.as_bytes(), "400"));
    }
    vectors.push(raw("34", b"GET /healthz HTTP/1.1\r\n\r\n", "400"));
    vectors
}

/// Rows 28 to 41 and 51: request lines.
fn lines() -> Vec<Vector> {
    let long = |count: usize| ["GET /", &"a".repeat(count), " HTTP/1.1"].concat();
    let mut vectors: Vec<Vector> = [
        ("29", &b"BREW /healthz HTTP/1.1"[..], "501"),
        ("29", b"post /healthz HTTP/1.1", "501"),
        ("30", b"CONNECT h:443 HTTP/1.1", "501"),
        ("30", b"TRACE /healthz HTTP/1.1", "501"),
        ("31", b"GET /healthz", "400"),
        ("31", b"GET /healthz HTTP/1.", "400"),
        ("31", b"GET /healthz HTTP/1.10", "400"),
        ("31", b"GET /healthz http/1.1", "400"),
        ("31", b"GET /healthz HTTP/ 1.1", "400"),
        ("31", b"GET /healthz HTTP/2.0", "505"),
        ("32", b"GET /healthz HTTP/1.2", "200 200|505"),
        ("33", b"PRI * HTTP/2.0", "400"),
        ("37", b"GET http://h/healthz HTTP/1.1", "200 200"),
        ("38", b"GET * HTTP/1.1", "400"),
        ("38", b"GET h:80 HTTP/1.1", "400"),
        ("39", b"GET /healthz#x HTTP/1.1", "400"),
        ("39", b"GET /heal thz HTTP/1.1", "400"),
        ("39", b"GET /heal\x01thz HTTP/1.1", "400"),
        ("39", b"GET /heal\xc0\xafthz HTTP/1.1", "400"),
        ("40", b"GET /v1/../healthz HTTP/1.1", "404 200"),
        ("40", b"GET /v1/%2e%2e/healthz HTTP/1.1", "404 200"),
        ("40", b"GET //healthz HTTP/1.1", "404 200"),
        ("40", b"GET /v1%2fmodels HTTP/1.1", "404 200"),
        ("40", b"GET /v1\\models HTTP/1.1", "404|400"),
        ("41", b"\r\nGET /healthz HTTP/1.1", "200 200"),
        ("41", b"\r\n\r\n\r\n\r\n\r\nGET /healthz HTTP/1.1", "400"),
    ]
    .into_iter()
    .map(|(row, text, statuses)| line(row, text, statuses))
    .collect();
    vectors.push(line("28", long(9000).as_bytes(), "414"));
    vectors.push(line("28", long(7980).as_bytes(), "404 200"));
    vectors.push(raw("51", b"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "200 200"));
    vectors.push(raw(
        "51",
        b"GET /v1/models HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "200 200",
    ));
    let chunked =
        b"DELETE /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    vectors.push(raw("51", chunked, "405"));
    vectors
}

/// Rows 8, 42 to 49 and 69, 70: chunks and sizes.
fn chunks() -> Vec<Vector> {
    let body = body();
    let (front, back) = body.split_at(10);
    let size = format!("{:x}", body.len());
    let wire = |size: &str| format!("{size}\r\n{body}\r\n0\r\n\r\n");
    let mut vectors = vec![
        with_fields("8", b"Transfer-Encoding: Chunked\r\n", wire(&size).as_bytes(), "200 200"),
        chunked("8", &format!("a\r\n{front}\r\n{:X}\r\n{back}\r\n0\r\n\r\n", back.len()), "200 200"),
        chunked("43", &wire(&format!("{size};a=b;c=\"d\"")), "200 200"),
        chunked("44", &wire(&format!("{size};a={}", "b".repeat(300))), "400"),
        chunked("45", &wire(&format!("{size};a\rb")), "400"),
        chunked("45", &wire(&format!("{size};\nx")), "400"),
        chunked("46", &format!("4\r\n{body}\r\n0\r\n\r\n"), "400"),
        chunked("46", &format!("{size}\r\n{body}0\r\n\r\n"), "400"),
        chunked("47", &format!("{size}\n{body}\r\n0\r\n\r\n"), "400"),
        chunked("47", &format!("{size}\r\n{body}\n0\r\n\r\n"), "400"),
        chunked("48", &format!("{size}\r\n{body}\r\n0\r\nContent-Length: 5\r\nHost: x\r\n\r\n"), "200 200"),
        chunked("48", &format!("{size}\r\n{body}\r\n0\r\nX: {}\r\n\r\n", "a".repeat(5000)), "400"),
        chunked("49", &format!("{size}\r\n{body}\r\n0\r\nX:POST / HTTP/1.1\r\n\r\n"), "200 200"),
        with_fields("69", format!("Content-Length: {}\r\n", BODY_LIMIT + 1).as_bytes(), b"", "413"),
    ];
    for bad in ["0x", "+", "-", "5_", " "] {
        vectors.push(chunked("42", &wire(&format!("{bad}{size}")), "400"));
    }
    vectors.push(chunked("42", &wire(""), "400"));
    vectors.push(chunked("42", &wire(&format!("{size} ")), "400"));
    vectors.push(chunked("42", &wire(&format!("{}{size}", "0".repeat(17))), "400"));
    vectors.push(chunked("42", &wire("fffffffffffffffff"), "400"));
    let piece = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    vectors.push(chunked("70", &format!("{}0\r\n\r\n", piece.repeat(3)), "413"));
    vectors
}

/// Sends the bytes in these pieces, then the follower, and returns the statuses that came.
fn send(address: SocketAddr, bytes: &[u8], cut: usize, row: &str) -> String {
    let mut client = Client::connect(address);
    let whole = [bytes, FOLLOWER].concat();
    let (front, back) = whole.split_at(cut);
    // A refusal may come, and the connection close, before everything is sent.
    let _ = client.try_send(front);
    if cut > 0 {
        let_read();
    }
    let _ = client.try_send(back);
    let (received, end) = client.rest();
    assert!(end != End::Silence, "row {row} cut at {cut}: not closed within {PATIENCE:?}: {received:?}");
    let answers = parse_all(&received, end);
    for answer in &answers {
        assert!(answer.whole, "row {row} cut at {cut}: {answer:?}");
        assert!(answer.status < 400 || answer.is_clear_error(), "row {row}: {answer:?}");
    }
    let statuses: Vec<String> = answers.iter().map(|answer| answer.status.to_string()).collect();
    statuses.join(" ")
}

/// Where a vector is cut: not at all, around the ends of its head, and at a few places by chance.
fn cuts(bytes: &[u8], random: &mut Random) -> Vec<usize> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let mut cuts = vec![0, 1, head - 1, head, bytes.len() - 1, bytes.len()];
    cuts.extend((0..3).map(|_| random.below(bytes.len())));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[test]
fn every_vector_has_its_outcome_however_it_is_cut() {
    let seed = Random::seed();
    println!("seed {seed}");
    let vectors: Vec<Vector> = [framing(), fields(), lines(), chunks()].into_iter().flatten().collect();
    each_driver(|driver| {
        let origin = Origin::answering(|peer, _| {
            peer.send(&document_answer("200 OK", &document("origin", "hello")));
        });
        let config = format!(
            "[limits]\nbody_bytes = {BODY_LIMIT}\n{}{}",
            provider("o", origin.address, ""),
            models("t/m", &["o"])
        );
        let proxy = Proxy::start(driver, &config);
        let mut random = Random(seed);
        let mut sent = 0;
        for Vector { row, bytes, statuses, upstream } in &vectors {
            for cut in cuts(bytes, &mut random) {
                let found = send(proxy.address, bytes, cut, row);
                let shown = bytes[..bytes.len().min(400)].escape_ascii();
                assert!(
                    statuses.split('|').any(|allowed| allowed == found),
                    "{driver}: row {row}, cut at {cut}: {found}, expected {statuses}: {shown}"
                );
                sent += upstream;
                assert_eq!(origin.requests().len(), sent, "{driver}: row {row}, cut at {cut}: {shown}");
            }
        }
        check_upstream(&origin);
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

/// What the accepted vectors look like to the provider: one canonical length, nothing of the connection's
/// own fields, the body as it was.
fn check_upstream(origin: &Origin) {
    let requests = origin.requests();
    assert!(!requests.is_empty());
    for seen in requests {
        let expected = body().replace("\"t/m\"", "\"up-o\"");
        assert_eq!(seen.text(), expected);
        assert_eq!(seen.field("content-length"), Some(&*expected.len().to_string()), "{}", seen.head);
        let head = seen.head.to_ascii_lowercase();
        for banned in
            ["transfer-encoding", "connection", "keep-alive", "upgrade", "expect", "x-foo", "\r\nte:"]
        {
            assert!(!head.contains(banned), "{banned} in {head}");
        }
        assert!(head.starts_with("post /v1/chat/completions http/1.1\r\nhost: 127.0.0.1:"), "{head}");
    }
}
