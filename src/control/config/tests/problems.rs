//! What is said about a wrong configuration, word for word: the cases are in `problems.txt`, which
//! `UPDATE_EXPECT=1 cargo test` rewrites; read it then.
//!
//! Deliberately absent: right configurations.

use expect_test::expect_file;

use super::*;

const CASES: &str = include_str!("problems.txt");
const SAYS: &str = "--- says\n";

/// Name and input of each case.
fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    CASES.split("=== ").skip(1).map(|case| {
        let (name, rest) = case.split_once('\n').expect("a name");
        (name, rest.split_once(SAYS).expect("an input and what is said about it").0)
    })
}

/// Every problem of every case, read with nothing in the environment.
#[test]
fn problems_are_told() {
    let mut told = Vec::new();
    for (name, input) in cases() {
        let problems = read(input, &[]).map(|_| ()).expect_err(name);
        let shown = problems.to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("sk-secret"), "{shown}");
        told.push(format!("=== {name}\n{input}{SAYS}{shown}\n"));
    }
    assert!(told.len() >= 15, "{}", told.len());
    expect_file!["problems.txt"].assert_eq(&told.join("\n"));
}

#[test]
fn windows_line_ends_are_line_ends() {
    let problems = read("[server]\r\ncores = \"x\"\r\n", &[]).map(|_| ()).expect_err("x");
    assert_eq!(problems.as_slice()[0].position, Some(Position { line: 2, column: 9 }));
}

#[test]
fn only_our_own_address_is_refused() {
    let local = "[[provider]]\nid = \"llamacpp\"\n";
    good(&format!("server.listen = \"127.0.0.1:8081\"\n{local}"));
    good(&format!("server.listen = \"127.0.0.2:8080\"\n{local}"));
}

#[test]
fn bytes_that_are_not_text() {
    let sources = Sources { environment: &|_| None, read_file: &files };
    let shown = |bytes: &[u8]| {
        load(Some((Path::new("mr.toml"), bytes)), Overrides::default(), sources)
            .map(|_| ())
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(shown(b"[server]\n# \xc3\xa9\xff\n"), "mr.toml:2:4: not UTF-8 here");
    assert_eq!(shown(&vec![b' '; CONFIG_BYTES_MAX + 1]), "mr.toml:1:1: larger than 16 MiB");
}

/// The same configurations cut at every byte, and with every byte spoilt: no panic, every place inside the
/// text.
#[test]
fn cut_and_spoilt_files_are_survived() {
    let bytes = EXAMPLE.as_bytes();
    for (_, input) in cases() {
        for end in 0..=input.len() {
            exercise_config(&input.as_bytes()[..end]);
        }
    }
    for end in 0..=bytes.len() {
        exercise_config(&bytes[..end]);
    }
    for at in 0..bytes.len() {
        for with in [b'"', b'[', b'\n', b'=', 0, 0xff] {
            let mut spoilt = bytes.to_vec();
            spoilt[at] = with;
            exercise_config(&spoilt);
        }
    }
    let deep = format!("a = {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    exercise_config(deep.as_bytes());
    exercise_config("a.".repeat(20_000).as_bytes());
}
