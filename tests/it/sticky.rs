//! Sticky conversations over real cores: what one remembers, the others know.

use crate::harness::{Folder, Proxy, each_driver, post};

/// The endpoint that answers a turn of a conversation with `sim/cached`, on a connection of its own.
fn turn(proxy: &Proxy, conversation: &str) -> String {
    let messages = r#"[{"role":"user","content":"hi"}]"#;
    let body = format!(r#"{{"model":"sim/cached","session_id":"{conversation}","messages":{messages}}}"#);
    let answer = proxy.connect().ask(&post("/v1/chat/completions", "", &body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["model"].as_str().expect("the name of a model").to_owned()
}

#[test]
fn a_conversation_stays_with_one_endpoint_on_all_cores() {
    const CONVERSATIONS: u64 = 64;
    const TURNS: u64 = 4;
    each_driver(|driver| {
        let proxy = Proxy::start_in(Folder::new(), driver, 2, "");
        let mut seen: Vec<String> = Vec::new();
        for number in 0..CONVERSATIONS {
            let name = format!("conversation-{number}");
            let first = turn(&proxy, &name);
            for _ in 1..TURNS {
                assert_eq!(turn(&proxy, &name), first, "{name}");
            }
            seen.push(first);
        }
        // Each conversation draws once: that all of them draw the same has a chance of 2⁻⁶³.
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["cached-a", "cached-b"]);
        let hits = CONVERSATIONS * (TURNS - 1);
        assert_eq!(proxy.metric("millrace_sticky_hits_total"), hits, "{}", proxy.metrics());
        assert_eq!(proxy.metric("millrace_sticky_misses_total"), CONVERSATIONS);
        assert_eq!(proxy.metric("millrace_sticky_broken_total"), 0);
    });
}

#[test]
fn without_entries_nothing_is_remembered() {
    each_driver(|driver| {
        let proxy = Proxy::start(driver, "[sticky]\nentries = 0\n");
        let seen: Vec<String> = (0..64).map(|_| turn(&proxy, "one")).collect();
        assert!(seen.iter().any(|model| *model != seen[0]), "64 draws alike");
        assert_eq!(proxy.metric("millrace_sticky_hits_total"), 0);
        assert_eq!(proxy.metric("millrace_sticky_misses_total"), 0);
    });
}
