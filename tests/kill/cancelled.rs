//! Streams that are cancelled at random points: each has its record, marked as estimated, with the tokens of
//! the text that the provider had sent.
//!
//! Deliberately absent: providers whose text is counted with another vocabulary than ours (docs/counting.md).

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use millrace::control::ledger::open_reader;
use millrace::control::vocabularies;
use millrace::policy::count::{Scratch, VocabularyName};
use serde_json::Value;

use crate::days::{number, stop, sums_are_right};
use crate::ledger::database;
use crate::server::{Server, until};
use crate::{Folder, Random};

/// `MILLRACE_CANCELLED_STREAMS` for more.
const STREAMS: u64 = 500;
/// At once.
const CLIENTS: u64 = 32;

/// The text of an event's line; nothing of another one.
fn text_of(line: &str) -> String {
    let event: Value =
        line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
}

/// One stream, left after so many events; its id, and the text of all that was sent. Who ends his own side
/// has left, and can still read what was on its way.
fn cancel(server: &Server, events: u64) -> (String, String) {
    let (mut socket, id) = server.stream(r#"{"tokens":"10000","gap_ms":"2"}"#);
    let mut text = String::new();
    for _ in 0..events {
        let mut line = String::new();
        while !line.starts_with("data: ") {
            line.clear();
            assert!(socket.read_line(&mut line).expect("an event") > 0, "the stream ends early");
        }
        text.push_str(&text_of(&line));
    }
    socket.get_ref().shutdown(Shutdown::Write).expect("our side ends");
    let mut rest = Vec::new();
    // The other side may be reset; what came before counts.
    let _ = socket.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(!rest.contains("[DONE]"), "it was no end");
    text.extend(rest.lines().map(text_of));
    (id, text)
}

/// Records against texts.
#[derive(Default)]
struct Off {
    /// Those with exactly the tokens of what their clients got.
    exact: u64,
    /// Tokens that were recorded.
    recorded: u64,
    /// Tokens of what the clients got.
    received: u64,
    /// Most that the simulator had sent in one stream and its client did not get any more.
    most_behind: u64,
}

#[test]
fn every_cancelled_stream_has_its_record() {
    let streams = std::env::var("MILLRACE_CANCELLED_STREAMS").ok().and_then(|text| text.parse().ok());
    let streams: u64 = streams.unwrap_or(STREAMS);
    let folder = Folder::in_memory();
    let server = Server::start(&folder.0);
    // The vocabulary is read when it is first needed; what is counted before is a guess.
    until("the vocabulary is there", || {
        let (id, _) = cancel(&server, 3);
        server.generation(&id)["millrace"]["usage_source"] == "counted"
    });
    let warm = number(&folder.0, "SELECT count(*) FROM requests");
    let (turns, began) = (AtomicU64::new(0), Instant::now());
    let sent: Mutex<BTreeMap<String, String>> = Mutex::default();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (sent, turns, server) = (&sent, &turns, &server);
            scope.spawn(move || {
                let mut random = Random(client);
                while turns.fetch_add(1, Ordering::Relaxed) < streams {
                    let (id, text) = cancel(server, random.below(40));
                    sent.lock().expect("no client panicked").insert(id, text);
                }
            });
        }
    });
    let took = began.elapsed();
    stop(server);
    let sent = sent.into_inner().expect("no client panicked");
    assert_eq!(sent.len() as u64, streams);
    let all = number(&folder.0, "SELECT count(*) FROM requests");
    assert_eq!((all - warm).cast_unsigned(), streams, "a record each");
    let off = hold_against(&folder, &sent);
    sums_are_right(&folder.0);
    let _ = writeln!(
        std::io::stderr().lock(),
        "{streams} streams cancelled in {:.1} s: {} settled as estimated, {} tokens recorded, {} received; \
         {} records are what the client got, the others what the simulator had sent, up to {} tokens more",
        took.as_secs_f64(),
        sent.len(),
        off.recorded,
        off.received,
        off.exact,
        off.most_behind,
    );
    // Words that were read and reached no client any more are rare, also on a machine that is busy.
    assert!(off.exact * 4 >= streams * 3, "only {} of {streams}", off.exact);
}

/// The tokens of the simulator's first words: of none, of one, and so on.
fn tokens_of_words(words: usize) -> Vec<u64> {
    let vocabulary = vocabularies::read(VocabularyName::O200k).expect("it ships");
    let (mut scratch, mut text) = (Scratch::default(), String::new());
    let mut tokens = vec![0];
    for word in 1..=words {
        text.push_str(&format!("{}word-{word}", if word == 1 { "" } else { " " }));
        tokens.push(vocabulary.count(&text, &mut scratch));
    }
    tokens
}

/// Each record against the text that its client was sent.
fn hold_against(folder: &Folder, sent: &BTreeMap<String, String>) -> Off {
    let (tokens_of, mut off) = (tokens_of_words(2_000), Off::default());
    let reader = open_reader(&database(&folder.0)).expect("the ledger can be read");
    let mut statement = reader
        .prepare(
            "SELECT ending, source, completion_tokens,
               (SELECT max(billed) FROM attempts WHERE request = number),
               (SELECT count(*) FROM attempts WHERE request = number)
             FROM requests WHERE id = ?1",
        )
        .expect("there are tables");
    for (id, text) in sent {
        let row: [i64; 5] = statement
            .query_row([id], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]))
            .unwrap_or_else(|error| panic!("{id}: {error}"));
        // The client has left, the tokens are counted, the one attempt is billed as estimated.
        let [ending, source, tokens, billed, attempts] = row;
        assert_eq!([ending, source, billed, attempts], [3, 3, 3, 1], "{id}");
        // The simulator sends whole words, so the record has the tokens of some first words: of those that
        // the client got, or of some more, which were read and could not be sent to it any more.
        let (tokens, words) = (tokens.cast_unsigned(), text.split_whitespace().count());
        let recorded = tokens_of.binary_search(&tokens);
        assert!(recorded.is_ok_and(|recorded| recorded >= words), "{id}: {tokens}, {words} words: {text}");
        let received = tokens_of[words];
        off.exact += u64::from(tokens == received);
        off.most_behind = off.most_behind.max(tokens - received);
        off.recorded += tokens;
        off.received += received;
    }
    off
}
