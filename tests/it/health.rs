//! The health of endpoints over real cores: what one learns, the others act on.

use std::time::Duration;

use crate::harness::{
    Client, Folder, Origin, Proxy, chat, document, document_answer, each_driver, models, provider, until,
};

#[test]
fn a_pause_that_one_core_is_asked_for_is_kept_by_all() {
    const CLIENTS: usize = 32;
    each_driver(|driver| {
        let busy = Origin::answering(|peer, _| {
            let body = r#"{"error":{"message":"slow down"}}"#;
            let length = body.len();
            let head = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 100";
            peer.send(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes());
        });
        let well = Origin::answering(|peer, _| {
            peer.send(&document_answer("200 OK", &document("well", "hello")));
        });
        let config = format!(
            "{}{}{}",
            provider("busy", busy.address, ""),
            provider("well", well.address, ""),
            models("t/m", &["busy", "well"])
        );
        let proxy = Proxy::start_in(Folder::new(), driver, 2, &config);
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = proxy.connect();
            // Answered, so it is placed: the next one is placed with this one counted, on both cores.
            assert_eq!(client.ask(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").status, 200);
            clients.push(client);
        }
        assert_eq!(clients[0].ask(&chat("t/m", false, "first")).status, 200);
        until("the refusal is on the board", || {
            let metrics = proxy.metrics();
            let mut lines = metrics.lines().filter(|line| line.contains("provider=\"busy\""));
            lines.any(|line| line.contains("outcome=\"limited\"") && line.ends_with(" 1"))
        });
        // paced: by now each core has looked at the board, or will before its next request
        std::thread::sleep(Duration::from_millis(250));
        for client in &mut clients {
            assert_eq!(client.ask(&chat("t/m", false, "later")).status, 200);
        }
        assert_eq!(busy.requests().len(), 1, "{}", proxy.metrics());
        assert_eq!(well.requests().len(), 1 + CLIENTS);
        assert_eq!(proxy.metric("millrace_upstream_failovers_total"), 1);
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
    });
}
