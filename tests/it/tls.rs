//! TLS on both sides: whom the proxy trusts, what it says to those it does not, how the end of a body is
//! told from a cut, and certificates that are replaced while it runs.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::harness::{
    Answer, Client, End, Folder, Identity, Origin, Peer, Proxy, Seen, chat, chunked, document,
    document_answer, each_driver, event_stream, models, provider, tls_provider, until,
};

const KEY: &str = "sk-only-for-trusted-providers";

fn echo(peer: &mut Peer, seen: &Seen) {
    if seen.wants_stream() {
        let body = chunked(&event_stream("o", &["over ", "TLS"]));
        peer.send(format!("{}{body}", crate::harness::EVENTS_HEAD).as_bytes());
    } else {
        peer.send(&document_answer("200 OK", &document("o", "over TLS")));
    }
}

fn serve(peer: &mut Peer) {
    while let Some(seen) = peer.request() {
        echo(peer, &seen);
    }
}

fn is_sound(answer: &Answer) -> bool {
    answer.status == 200 && answer.whole && answer.text().contains("TLS")
}

#[test]
fn a_trusted_upstream_is_used_and_its_connection_kept() {
    each_driver(|driver| {
        for name in ["127.0.0.1", "localhost"] {
            let identity = Identity::of(name);
            let origin = Origin::start_tls(identity.server(), serve);
            let folder = Folder::new();
            folder.write("ca.pem", &identity.cert);
            let authority = format!("{name}:{}", origin.address.port());
            let more = format!("ca_file = \"ca.pem\"\napi_key = \"{KEY}\"");
            let config = format!("{}{}", tls_provider("o", &authority, &more), models("t/m", &["o"]));
            let proxy = Proxy::start_in(folder, driver, 1, &config);
            let mut client = proxy.connect();
            for turn in 0..6 {
                let answer = client.ask(&chat("t/m", turn % 2 == 0, "x"));
                assert!(is_sound(&answer), "{answer:?}");
            }
            assert_eq!((origin.requests().len(), origin.connections()), (6, 1));
            assert_eq!(origin.requests()[0].field("host"), Some(&*authority));
            assert_eq!(proxy.metric("millrace_panics_total"), 0);
        }
    });
}

#[test]
fn an_upstream_that_is_not_trusted_never_sees_the_key() {
    each_driver(|driver| {
        let known = Identity::of("127.0.0.1");
        let folder = Folder::new();
        folder.write("ca.pem", &known.cert);
        // Another certificate for the same name; the right issuer for another name; no TLS at all.
        let stranger = Origin::start_tls(Identity::of("127.0.0.1").server(), serve);
        let other_name = Identity::of("other.example");
        folder.write("other.pem", &other_name.cert);
        let misnamed = Origin::start_tls(other_name.server(), serve);
        let plain = Origin::start(serve);
        let sound = Origin::start_tls(known.server(), serve);
        let entry = |id: &str, origin: &Origin, ca: &str| {
            let more = format!("api_key = \"{KEY}\"\n{ca}");
            tls_provider(id, &origin.address.to_string(), &more)
        };
        let config = [
            entry("stranger", &stranger, "ca_file = \"ca.pem\""),
            entry("public", &stranger, ""),
            entry("misnamed", &misnamed, "ca_file = \"other.pem\""),
            entry("plain", &plain, "ca_file = \"ca.pem\""),
            entry("sound", &sound, "ca_file = \"ca.pem\""),
            models("t/stranger", &["stranger", "sound"]),
            models("t/public", &["public", "sound"]),
            models("t/misnamed", &["misnamed", "sound"]),
            models("t/plain", &["plain", "sound"]),
            models("t/all", &["stranger", "public", "misnamed", "plain", "sound"]),
            models("t/none", &["stranger", "public", "misnamed", "plain"]),
        ]
        .concat();
        let proxy = Proxy::start_in(folder, driver, 1, &format!("[deadlines]\nconnect = \"1s\"\n{config}"));
        for model in ["t/stranger", "t/public", "t/misnamed", "t/plain", "t/all"] {
            let answer = proxy.connect().ask(&chat(model, false, "x"));
            assert!(is_sound(&answer), "{model}: {answer:?}");
        }
        let answer = proxy.connect().ask(&chat("t/none", true, "x"));
        assert!(answer.status == 502 && answer.is_clear_error(), "{answer:?}");
        for origin in [&stranger, &misnamed, &plain] {
            assert!(origin.connections() > 0 && origin.requests().is_empty());
            let received = String::from_utf8_lossy(&origin.received()).into_owned();
            assert!(!received.contains(KEY) && !received.contains("POST"), "{received}");
        }
        assert_eq!(sound.requests().len(), 5);
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}

/// RFC 9112 §9.8: a body that the end of the connection delimits is complete only after close_notify.
#[test]
fn a_body_without_length_is_whole_only_after_close_notify() {
    each_driver(|driver| {
        let identity = Identity::of("127.0.0.1");
        let bare = |farewell: bool| {
            move |peer: &mut Peer| {
                let Some(seen) = peer.request() else { return };
                let (kind, body) = if seen.wants_stream() {
                    ("text/event-stream", event_stream("o", &["over ", "TLS"]).concat())
                } else {
                    ("application/json", document("o", "over TLS"))
                };
                peer.send(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n{body}").as_bytes());
                if farewell {
                    peer.farewell();
                }
                peer.fin();
                peer.until_gone();
            }
        };
        let cut = Origin::start_tls(identity.server(), bare(false));
        let whole = Origin::start_tls(identity.server(), bare(true));
        let sound = Origin::start(serve);
        let folder = Folder::new();
        folder.write("ca.pem", &identity.cert);
        let config = [
            tls_provider("cut", &cut.address.to_string(), "ca_file = \"ca.pem\""),
            tls_provider("whole", &whole.address.to_string(), "ca_file = \"ca.pem\""),
            provider("sound", sound.address, ""),
            models("t/cut", &["cut"]),
            models("t/whole", &["whole"]),
            models("t/over", &["cut", "sound"]),
        ]
        .concat();
        let proxy = Proxy::start_in(folder, driver, 1, &config);
        for stream in [false, true] {
            let answer = proxy.connect().ask(&chat("t/whole", stream, "x"));
            assert!(is_sound(&answer), "{answer:?}");
        }
        // Held back, so it can fail over, or be told.
        assert!(proxy.connect().ask(&chat("t/cut", false, "x")).is_clear_error());
        assert!(is_sound(&proxy.connect().ask(&chat("t/over", false, "x"))));
        assert_eq!(sound.requests().len(), 1);
        // On a stream the events are out by then; whatever is said, the body stays open.
        let answer = proxy.connect().ask(&chat("t/cut", true, "x"));
        assert!(!answer.whole && answer.end.is_some(), "{answer:?}");
    });
}

fn connect(proxy: &Proxy, config: &Arc<ClientConfig>) -> Option<Client> {
    Client::connect_tls(proxy.address, config, "localhost").ok()
}

#[test]
fn clients_get_tls_and_a_new_certificate_when_its_files_change() {
    each_driver(|driver| {
        let (old, new) = (Identity::of("localhost"), Identity::of("localhost"));
        let origin = Origin::start(serve);
        let folder = Folder::new();
        folder.write("cert.pem", &old.cert);
        folder.write("key.pem", &old.key);
        let tls = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
        let config = format!("{tls}{}{}", provider("o", origin.address, ""), models("t/m", &["o"]));
        let proxy = Proxy::start_in(folder, driver, 1, &config);
        assert!(proxy.printed().contains("listening on https://"), "{}", proxy.printed());
        let mut kept = connect(&proxy, &old.client()).expect("the old certificate is trusted");
        assert!(is_sound(&kept.ask(&chat("t/m", true, "x"))));
        assert!(connect(&proxy, &new.client()).is_none(), "nobody shows the new certificate yet");
        // Somebody who does not speak TLS gets no HTTP either.
        let mut plain = proxy.connect();
        let _ = plain.try_send(&chat("t/m", false, "x"));
        let (received, end) = plain.rest();
        assert!(!received.starts_with(b"HTTP") && end != End::Silence, "{received:?} {end:?}");
        // A broken file changes nothing; it is said.
        proxy.folder.write("cert.pem", "no certificate");
        until("the broken file is noticed", || proxy.printed().contains("was not replaced"));
        assert!(is_sound(&connect(&proxy, &old.client()).expect("as before").ask(&chat("t/m", false, "x"))));
        proxy.folder.write("key.pem", &new.key);
        proxy.folder.write("cert.pem", &new.cert);
        let trusting = new.client();
        until("the new certificate is shown", || connect(&proxy, &trusting).is_some());
        let mut client = connect(&proxy, &trusting).expect("it was shown before");
        assert!(is_sound(&client.ask(&chat("t/m", false, "x"))));
        assert!(connect(&proxy, &old.client()).is_none(), "the old certificate is gone");
        assert!(is_sound(&kept.ask(&chat("t/m", false, "x"))), "running connections keep theirs");
        let metrics = kept.ask(b"GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n").text();
        assert!(metrics.contains("millrace_panics_total 0\n"), "{metrics}");
    });
}

#[test]
fn a_handshake_that_stalls_meets_its_deadline() {
    each_driver(|driver| {
        let identity = Identity::of("localhost");
        let folder = Folder::new();
        folder.write("cert.pem", &identity.cert);
        folder.write("key.pem", &identity.key);
        let config = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[deadlines]\nclient_head = \"300ms\"\n";
        let proxy = Proxy::start_in(folder, driver, 1, config);
        // Nothing, a piece of a hello, a record that announces more than comes, and what is no TLS at all.
        for bytes in
            [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x40\x00\x01", b"\x80\x80\x80\x80\x80\x80\x80\x80"]
        {
            let mut client = proxy.connect();
            client.send(bytes);
            let (received, end) = client.rest();
            assert!(end != End::Silence && !received.starts_with(b"HTTP"), "{bytes:?}: {received:?} {end:?}");
        }
        let mut client = connect(&proxy, &identity.client()).expect("others are served");
        let metrics = client.ask(b"GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n").text();
        assert!(metrics.contains("millrace_panics_total 0\n"), "{metrics}");
        let open = "millrace_client_connections{core=\"0\"} 1\n";
        assert!(metrics.contains(open), "the stalled ones are gone: {metrics}");
    });
}
