//! The body of the exchange's fuzz target: bytes become a list of operations, the list becomes the text of a
//! case, and the case runs with every choice drawn from the same bytes. Whatever is found prints as a case.
//!
//! Deliberately absent: the fuzz target and its corpus.

use core::fmt::Write as _;

use crate::exchange::sim::generate::escaped;
use crate::exchange::sim::{Case, Cut, Tuning, World, laws};

/// Most operations of one list.
const OPERATIONS_MAX: usize = 120;

/// What every scenario begins with: deadlines that end each wait soon.
const SETUP: &str = "[config]
model m = a/x b/y
deadline connect 20ms
deadline response-head 40ms
deadline first-event 50ms
deadline idle 30ms
deadline client-send 60ms
";

/// Pieces that answers and requests are made of, whole or not.
const PIECES: [&str; 16] = [
    "HTTP/1.1 200 OK\\r\\n",
    "content-length: 5\\r\\n",
    "transfer-encoding: chunked\\r\\n",
    "content-type: text/event-stream\\r\\n",
    "\\r\\n",
    "5\\r\\n",
    "0\\r\\n\\r\\n",
    "data: {\"choices\":[1]}\\n\\n",
    "data: [DONE]\\r\\n\\r\\n",
    "data: {\"error\":{\"code\":429}}\\n\\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\\n\\n",
    "{\"choices\":[]}",
    "POST /v1/chat/completions HTTP/1.1\\r\\nhost: x\\r\\n",
    "{\"model\":\"m\",\"stream\":true}",
    "authorization: Bearer sk-client-1\\r\\n",
    "HTTP/1.1 100 Continue\\r\\n\\r\\n",
];

/// Runs the scenario that `data` stands for.
///
/// # Panics
/// When the exchange breaks a rule of the kernel or a law of the simulator.
pub fn exercise(data: &[u8]) {
    let text = text(data);
    let Ok(case) = Case::parse(&text) else { panic!("not a case:\n{text}") };
    let seed = data.iter().fold(7_u64, |seed, &byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let cut = if seed % 5 == 0 { Cut::Drip } else { Cut::Random };
    let report = World::new(&case, Tuning { seed, cut, log: None }).run();
    // Raw bytes of a client may mean something else to a plain reader than to a strict one.
    let plain = !text.contains("\nsend ");
    if plain && let Err(why) = laws(&case, &report) {
        panic!("{why}\n{text}");
    }
}

/// The text of the case that `data` stands for.
fn text(data: &[u8]) -> String {
    let mut input = data.iter().copied();
    let setup = input.next().unwrap_or(0);
    let mut text = SETUP.to_owned();
    let settings = [
        "waiting 10ms",
        "deadline total 60ms",
        "keys off",
        "limit bodies 300",
        "usage-always a",
        "hedge 8ms",
    ];
    for (bit, line) in settings.iter().enumerate().filter(|(bit, _)| setup >> bit & 1 == 1) {
        let _ = writeln!(text, "{line}\n# setting {bit}");
    }
    let (mut client, mut origins, mut process) = (String::new(), Vec::new(), String::new());
    for _ in 0..OPERATIONS_MAX {
        let Some(operation) = input.next() else { break };
        let detail = input.next().unwrap_or(0);
        let literal: Vec<u8> = if operation % 16 == 7 || operation % 16 == 11 {
            input.by_ref().take(usize::from(detail % 32)).collect()
        } else {
            Vec::new()
        };
        match operation % 16 {
            0..=7 => of_client(&mut client, operation % 16, detail, &literal),
            8..=14 => of_origin(&mut origins, operation % 16, detail, &literal),
            _ => {
                let step = ["drain", "stop", "wait 7ms"][usize::from(detail % 3)];
                let _ = writeln!(process, "{step}");
            }
        }
    }
    let _ = writeln!(text, "[client]\n{client}");
    for (provider, steps) in origins {
        let _ = writeln!(text, "[origin {provider}]\n{steps}");
    }
    let _ = writeln!(text, "[process]\n{process}");
    text
}

fn of_client(client: &mut String, operation: u8, detail: u8, literal: &[u8]) {
    let _ = match operation {
        0..=2 => {
            let flags = ["", "", "chunked ", "expect ", "close ", "1.0 "][usize::from(detail % 6)];
            let stream = if detail & 64 == 0 { ",\"stream\":true" } else { "" };
            writeln!(client, "post {flags}/v1/chat/completions {{\"model\":\"m\"{stream}}}")
        }
        // Nobody waits for more answers than there are requests.
        3 if client.matches("post ").count() > client.matches("answer\n").count() => {
            writeln!(client, "answer")
        }
        3 => Ok(()),
        4 => writeln!(client, "wait {detail}ms"),
        5 => {
            let steps = ["leave", "reset", "fin", "stop-reading", "pace 9 1ms", "hold", "get /healthz"];
            writeln!(client, "{}", steps[usize::from(detail % 7)])
        }
        6 => writeln!(client, "send {}", PIECES[usize::from(detail % 16)]),
        _ => writeln!(client, "send {}", escaped(literal)),
    };
}

fn of_origin(origins: &mut Vec<(char, String)>, operation: u8, detail: u8, literal: &[u8]) {
    if operation == 8 || origins.is_empty() {
        let provider = if detail & 1 == 0 { 'a' } else { 'b' };
        let first = ["await", "await", "await", "await-head", "refuse", "blackhole", "no-await"];
        origins.push((provider, format!("{}\n", first[usize::from(detail / 2 % 7)])));
    }
    let Some((_, steps)) = origins.last_mut() else { return };
    let _ = match operation {
        8 => Ok(()),
        9 => {
            let kind = ["events", "events", "json", "html"][usize::from(detail / 4 % 4)];
            let framing = ["chunked", "close", "length=30", "none"][usize::from(detail % 4)];
            writeln!(steps, "head 200 {kind} {framing}")
        }
        10 => {
            let data = ["{\"choices\":[1]}", "[DONE]", "{\"error\":{\"code\":503}}", "{\"choices\":[2]}"];
            writeln!(steps, "event {}", data[usize::from(detail % 4)])
        }
        11 => writeln!(steps, "raw {}", escaped(literal)),
        12 => writeln!(steps, "raw {}", PIECES[usize::from(detail % 16)]),
        13 => writeln!(steps, "wait {}ms", detail / 2),
        _ => {
            let ends = ["end", "end", "fin", "reset", "answer 200 {\"choices\":[]}", "answer 503 {}"];
            writeln!(steps, "{}", ends[usize::from(detail % 6)])
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::sim::Random;

    #[test]
    fn any_list_of_operations_keeps_the_laws() {
        exercise(&[]);
        for seed in 0..4_000 {
            let mut random = Random::new(seed);
            let length = random.below(160);
            let data: Vec<u8> = (0..length).map(|_| random.word() as u8).collect();
            exercise(&data);
        }
    }
}
