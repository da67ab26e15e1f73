//! Keys and other private matters: who may ask, what a provider gets to see of a client, what a client gets
//! to see of a provider, and that no key shows up anywhere it does not belong, whatever goes wrong.

use crate::harness::{
    CHAT, EVENTS_HEAD, Folder, Origin, Peer, Proxy, Random, Refusing, Seen, chunk, chunked, delta_event,
    digest, document, document_answer, each_driver, event_stream, message, models, post, provider,
};

const CLIENT_KEY: &str = "sk-mr-client-0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
const BEARER_KEY: &str = "sk-provider-bearer-9876543210zyxwvutsrqponmlkjihgfedcba";
const HEADER_KEY: &str = "sk-provider-header-5555555555aaaaaaaaaabbbbbbbbbbcccccc";
const FILE_KEY: &str = "sk-provider-file-77777777777777ddddddddddddeeeeeeeeeeee";

/// Everything a provider may be told about a request, by field name.
const TOLD: &[&str] = &[
    "host",
    "authorization",
    "api-key",
    "user-agent",
    "accept-encoding",
    "accept",
    "idempotency-key",
    "openai-beta",
    "content-type",
    "content-length",
];

/// Everything a client may be told by an answer that came from a provider.
const ANSWERED: &[&str] = &[
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "cache-control",
    "x-accel-buffering",
    "x-generation-id",
    // Ids of providers and statuses; no address, no credential, no name of theirs.
    "x-millrace-attempts",
    "x-should-retry",
    "retry-after",
];

/// Fields of a client that are nobody else's business.
const PRIVATE: &str = "cookie: session=cookie-secret\r\nx-forwarded-for: 203.0.113.9\r\n\
     x-forwarded-host: private.example\r\n\
     forwarded: for=203.0.113.9\r\nx-real-ip: 203.0.113.9\r\nx-millrace-internal: guessed\r\n\
     proxy-authorization: Basic cHJveHktc2VjcmV0\r\nproxy-connection: x\r\nx-gw-tenant: tenant-secret\r\n\
     x-stainless-os: Secretix\r\norigin: https://private.example\r\nreferer: https://private.example/\r\n\
     openai-organization: org-secret\r\nuser-agent: secret-agent\r\nx-api-key: sk-other-client\r\n";

/// Fields that providers send about themselves and their customer.
const PROVIDERS_OWN: &str = "set-cookie: __cf_bm=provider-cookie\r\nx-request-id: req_provider\r\n\
     server: provider-server\r\n\
     openai-organization: org-provider\r\nopenai-processing-ms: 5\r\nx-ratelimit-limit-requests: 1\r\n\
     cf-ray: provider-ray\r\nalt-svc: h3=\":443\"\r\nstrict-transport-security: max-age=1\r\n";

/// A provider that gives everything away: it repeats the request's head, key included, in whatever it says.
fn indiscreet(peer: &mut Peer, seen: &Seen) {
    let told = seen.head.replace("\r\n", " ").replace('"', "'");
    let error = format!("{{\"error\":{{\"message\":\"Incorrect: {told}\",\"type\":\"x\",\"code\":null}}}}");
    let text = seen.text();
    let way = text.split(['<', '>']).nth(1).unwrap_or_default();
    let with_own = |answer: Vec<u8>| {
        String::from_utf8_lossy(&answer).replacen("\r\n", &format!("\r\n{PROVIDERS_OWN}"), 1).into_bytes()
    };
    let answer = match (way, seen.wants_stream()) {
        ("fine", true) => {
            let body = chunked(&event_stream("o", &["fine"]));
            with_own(format!("{EVENTS_HEAD}{body}").into_bytes())
        }
        ("fine", false) => with_own(document_answer("200 OK", &document("o", "fine"))),
        ("inside", true) => {
            format!("{EVENTS_HEAD}{}0\r\n\r\n", chunk(&format!("data: {error}\n\n"))).into_bytes()
        }
        ("midway", true) => {
            let front = chunk(&delta_event("o", "word"));
            // What follows the commit is the provider's text, byte for byte: it has checked the key long
            // before.
            let error = "data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n";
            format!("{EVENTS_HEAD}{front}{}0\r\n\r\n", chunk(error)).into_bytes()
        }
        ("inside" | "midway", false) => document_answer("200 OK", &error),
        ("garbage", _) => format!("HTTP/1.1 2x0 {told}\r\n{told}\r\n\r\n").into_bytes(),
        ("leave", _) => return peer.close(),
        (status, _) => with_own(document_answer(&format!("{status} Sorry"), &error)),
    };
    peer.send(&answer);
}

/// An origin behind three providers, each with its own key, and one that refuses; clients need a key.
fn start(driver: &str) -> (Origin, Refusing, Proxy) {
    let (origin, refusing) = (Origin::answering(indiscreet), Refusing::new());
    let folder = Folder::new();
    folder.write("provider.key", &format!(" {FILE_KEY}\n"));
    let config = format!(
        "[[key]]\nname = \"client\"\nsha256 = \"{}\"\n{}{}{}{}{}{}{}{}",
        digest(CLIENT_KEY),
        provider("bearer", origin.address, &format!("api_key = \"{BEARER_KEY}\"")),
        provider(
            "header",
            origin.address,
            &format!("api_key = \"{HEADER_KEY}\"\nauth = {{ header = \"api-key\" }}")
        ),
        provider("file", origin.address, "api_key = \"file:provider.key\""),
        provider("refused", refusing.address, &format!("api_key = \"{BEARER_KEY}\"")),
        models("t/bearer", &["bearer"]),
        models("t/header", &["header"]),
        models("t/file", &["file"]),
        models("t/chain", &["refused", "bearer", "header", "file"]),
    );
    let mut proxy = Proxy::start_in(folder, driver, 1, &config);
    proxy.key = Some(CLIENT_KEY.to_owned());
    (origin, refusing, proxy)
}

fn ask(proxy: &Proxy, fields: &str, model: &str, stream: bool, way: &str) -> crate::harness::Answer {
    proxy.connect().ask(&post(CHAT, fields, &message(model, stream, way)))
}

#[test]
fn without_a_known_key_nothing_happens() {
    each_driver(|driver| {
        let (origin, _refusing, proxy) = start(driver);
        let half = &CLIENT_KEY[..CLIENT_KEY.len() - 1];
        for fields in [
            String::new(),
            "authorization: Bearer\r\n".to_owned(),
            "authorization: Bearer sk-unknown\r\n".to_owned(),
            format!("authorization: Basic {CLIENT_KEY}\r\n"),
            format!("authorization: Bearer {half}\r\n"),
            format!("authorization: Bearer {CLIENT_KEY}x\r\n"),
            format!("authorization: Bearer {}\r\n", CLIENT_KEY.to_uppercase()),
            format!("authorization: Bearer {}\r\n", digest(CLIENT_KEY)),
            "x-api-key: sk-unknown\r\n".to_owned(),
            format!("cookie: key={CLIENT_KEY}\r\n"),
            // The first credential counts; a known one behind it does not help.
            format!("authorization: Bearer sk-unknown\r\nx-api-key: {CLIENT_KEY}\r\n"),
        ] {
            let answer = ask(&proxy, &fields, "t/bearer", false, "fine");
            assert!(answer.status == 401 && answer.is_clear_error(), "{fields}: {answer:?}");
            assert!(!answer.text().contains("sk-") || answer.text().contains("<key>"), "{answer:?}");
            for path in ["/metrics", "/v1/models"] {
                let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n");
                assert_eq!(proxy.connect().ask(request.as_bytes()).status, 401, "{path} with {fields}");
            }
        }
        assert!(origin.received().is_empty());
        for fields in
            [format!("authorization: bearer {CLIENT_KEY}\r\n"), format!("x-api-key: {CLIENT_KEY}\r\n")]
        {
            assert_eq!(ask(&proxy, &fields, "t/bearer", false, "fine").status, 200, "{fields}");
        }
        assert_eq!(origin.requests().len(), 2);
    });
}

#[test]
fn neither_side_sees_what_is_the_others() {
    each_driver(|driver| {
        let (origin, _refusing, proxy) = start(driver);
        let fields =
            format!("authorization: Bearer {CLIENT_KEY}\r\n{PRIVATE}accept: */*\r\nidempotency-key: i1\r\n");
        let mut answers = Vec::new();
        for (model, field, key) in [
            ("t/bearer", "authorization", format!("Bearer {BEARER_KEY}")),
            ("t/header", "api-key", HEADER_KEY.to_owned()),
            ("t/file", "authorization", format!("Bearer {FILE_KEY}")),
        ] {
            for stream in [false, true] {
                let answer = ask(&proxy, &fields, model, stream, "fine");
                assert!(answer.status == 200 && answer.whole, "{answer:?}");
                let seen = origin.requests().pop().expect("the origin got it");
                assert_eq!(seen.field(field), Some(&*key), "{}", seen.head);
                assert_eq!(seen.field("idempotency-key"), Some("i1"));
                answers.push(answer);
            }
        }
        for seen in origin.requests() {
            for line in seen.head.split("\r\n").skip(1) {
                let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
                assert!(TOLD.contains(&&*name), "a provider is told {line}");
            }
        }
        let received = String::from_utf8_lossy(&origin.received()).into_owned();
        for private in [CLIENT_KEY, "secret", "203.0.113", "private.example", "sk-other", "guessed", "cHJve"]
        {
            assert!(!received.contains(private), "a provider is told {private}");
        }
        for status in ["400", "401", "422", "429", "500"] {
            answers.push(ask(&proxy, &fields, "t/bearer", false, status));
        }
        for answer in answers {
            for (name, value) in &answer.fields {
                assert!(ANSWERED.contains(&&**name), "a client is told {name}: {value}");
            }
            assert!(!String::from_utf8_lossy(&answer.raw).contains("sk-provider"), "{answer:?}");
        }
    });
}

#[test]
fn no_key_shows_up_anywhere() {
    const REQUESTS: usize = 300;
    let seed = Random::seed();
    println!("seed {seed}");
    each_driver(|driver| {
        let (_origin, _refusing, proxy) = start(driver);
        let mut random = Random(seed);
        let mut answers = Vec::new();
        for _ in 0..REQUESTS {
            let model = random.pick(&["t/bearer", "t/header", "t/file", "t/chain", "t/unknown"]);
            let way = random.pick(&[
                "fine", "inside", "midway", "garbage", "leave", "400", "401", "403", "404", "409", "413",
                "415", "422", "429", "500", "503",
            ]);
            let stream = random.below(2) == 0;
            let key = format!("authorization: Bearer {CLIENT_KEY}\r\n");
            let body = message(model, stream, way);
            let request = match random.below(8) {
                0 => post(CHAT, &format!("authorization: Bearer {CLIENT_KEY}\x01\r\n"), &body),
                1 => post(CHAT, &format!("{key}{key}"), &body),
                2 => post(&format!("{CHAT}?key={CLIENT_KEY}"), &key, &body),
                3 => post(&format!("/v1/{CLIENT_KEY}"), &key, &body),
                _ => post(CHAT, &key, &body),
            };
            let mut client = proxy.connect();
            client.send(&request);
            let answer = client.answer();
            assert!(answer.status >= 200, "{answer:?}");
            answers.extend_from_slice(&answer.raw);
            answers.extend_from_slice(&client.rest_now());
        }
        let metrics = proxy.metrics();
        proxy.signal("TERM");
        let printed = proxy.printed();
        let answers = String::from_utf8_lossy(&answers).into_owned();
        for secret in [CLIENT_KEY, BEARER_KEY, HEADER_KEY, FILE_KEY] {
            // A part of a key is enough to be found.
            let part = &secret[8..24];
            for (place, text) in [("an answer", &answers), ("the log", &printed), ("the metrics", &metrics)] {
                let found =
                    text.find(part).map(|at| &text[at.saturating_sub(300)..(at + 60).min(text.len())]);
                assert!(found.is_none(), "{driver}, seed {seed}: a key in {place}: {found:?}");
            }
        }
        assert!(metrics.contains("millrace_panics_total 0\n"), "{metrics}");
    });
}
