//! Tidy itself under test: small inputs, each with the violations it must give and no others.

use crate::lex::{blank, tokens};
use crate::rules::{File, examine};
use crate::syntax::{functions, paths};
use crate::tables::{CRATES, CrateRow, FILE_LINES_MAX, FUNCTION_LINES_MAX, LEFTOVERS, MACHINE_PATHS};
use crate::tree::{Entry, examine_tree, manifest};

const HEADER: &str = "//! A file. Deliberately absent: everything.\n";

/// Examines `body` below a good header (so its first line is line 2) and compares "line rule" pairs.
#[track_caller]
fn check(path: &str, body: &str, want: &[&str]) {
    let source = format!("{HEADER}{body}");
    let test = path.starts_with("tests/") || path.starts_with("benches/");
    let mut found = examine(&File { path, source: &source, test });
    found.sort();
    let found: Vec<String> = found.iter().map(|broken| format!("{} {}", broken.line, broken.rule)).collect();
    assert_eq!(found, want, "{path}:\n{source}");
}

#[test]
fn comments_and_literals_are_blanked() {
    let cases: &[(&str, &str)] = &[
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"x("a\"b", 1)"#, r#"x("    ", 1)"#),
        ("r#\"a\"b\"# + 1", "         + 1"),
        ("br\"a\\\" + 1", "       + 1"),
        ("b\"ab\" b'c'", "b\"  \" b' '"),
        (r"'\'' 'a' '\u{41}' &'a str", "'  ' ' ' '      ' &'a str"),
        ("'\"' + \"'\"", "' ' + \" \""),
        ("r#fn + for\"x\"", "r#fn + for\" \""),
        ("\"open", "\"   n"),
        ("/* open", "       "),
        ("\"a\nb\"", "\" \n \""),
        ("\"é\"", "\" \""),
    ];
    for (input, want) in cases {
        assert_eq!(blank(input), *want, "{input}");
    }
}

#[test]
fn every_prefix_of_a_file_can_be_examined() {
    let source = concat!(
        "//! H\nuse a::{b::{self, c as d}, *};\n",
        "#[cfg(test)]\nmod tests { fn f<'a>(x: [u8; 4]) -> u8 { b'{' } }\n",
        "#[allow(x)] extern crate y;\n",
        "fn g() where A: B { r#\"}\"#; '\\''; \"\\\"\"; /* { */ crate::io::z() }\n"
    );
    for (cut, _) in source.char_indices() {
        examine(&File { path: "src/wire/a.rs", source: &source[..cut], test: false });
    }
}

#[test]
fn use_trees_are_taken_apart() {
    let code =
        "pub(crate) use std::{fs, time::{self, Instant as Now}, net::*};\nfn f() { ::a::b::<u8>::c(); d }";
    let tokens = tokens(code);
    let found: Vec<String> = paths(&tokens).iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(found, ["std::fs", "std::time", "std::time::Instant", "std::net::*", "a::b"]);
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let code =
        "type A = fn(u8);\nfn a();\nfn b(x: [u8; 2])\nwhere\n    X: Y,\n{\n    if c {}\n}\nfn d() {}\n";
    let tokens = tokens(code);
    let found: Vec<_> = functions(&tokens).iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("b", 3, 6), ("d", 9, 1)]);
}

#[test]
fn imports_point_down() {
    check("src/wire/buf.rs", "use crate::base::limits;\nuse super::flaw::Flaw;", &[]);
    check("src/wire/buf.rs", "use crate::policy::route;", &["2 floor"]);
    check("src/wire/buf.rs", "fn f() { crate::io::x() }", &["2 floor"]);
    check("src/wire/buf.rs", "use crate::{\n    base::span,\n    exchange::Exchange,\n};", &["4 floor"]);
    check("src/wire/http1/head.rs", "use super::super::super::dialect::Api;", &["2 floor"]);
    check("src/wire/http1/head.rs", "use super::super::buf::Buf;", &[]);
    check("src/wire/mod.rs", "mod tests { use super::super::worker::X; use super::Parse; }", &["2 floor"]);
    check("src/io/mod.rs", "use crate::wire::buf::Buf;", &[]);
    check("src/io/mod.rs", "use crate::dialect::Api;", &["2 floor"]);
    check("src/control/mod.rs", "use crate::{base, dialect, policy, wire};", &[]);
    check("src/control/mod.rs", "use crate::{exchange, io, worker};", &["2 floor", "2 floor", "2 floor"]);
    check("src/worker/mod.rs", "use crate::control::x;", &["2 floor"]);
    check("src/worker/mod.rs", "use crate::*;", &["2 floor"]);
    check("src/app/mod.rs", "use crate::{control::a, worker::b};\nuse crate::fuzzing;", &["3 floor"]);
    check("src/fuzzing.rs", "use crate::{app, exchange, worker};", &[]);
    check("src/lib.rs", "pub mod app;\nuse crate::worker::x;", &[]);
    check("src/attic/mod.rs", "", &["1 floor"]);
    check("src/base/span.rs", "// crate::worker::x\nconst A: &str = \"crate::worker::x\";", &[]);
    check("src/base/span.rs", "macro_rules! a { () => { $crate::worker::b() } }", &["2 floor"]);
}

#[test]
fn pure_floors_stay_pure() {
    check("src/policy/route.rs", "use core::net::SocketAddr;\nuse std::time::Duration;", &[]);
    check("src/policy/route.rs", "use std::time::{Duration, Instant};", &["2 purity"]);
    check("src/policy/route.rs", "use std::time::*;", &["2 purity"]);
    check(
        "src/wire/buf.rs",
        "fn f() { std::fs::read(a); std::thread::yield_now() }",
        &["2 purity", "2 purity"],
    );
    check("src/wire/buf.rs", "use std::net::TcpStream;", &["2 purity"]);
    check("src/exchange/mod.rs", "async fn f() { g().await }", &["2 purity", "2 purity"]);
    check(
        "src/base/ids.rs",
        "use rand::Rng;\nfn f() { tracing::info!(a) }",
        &["2 purity", "3 crate", "3 purity"],
    );
    check("src/base/ids.rs", "use std::sync::{Arc, Mutex};", &["2 lock"]);
    check(
        "src/worker/mod.rs",
        "use std::sync::RwLock;\nuse std::time::Instant;\nasync fn f() {}",
        &["2 lock"],
    );
    check("src/control/mod.rs", "use std::sync::Mutex;\nuse std::fs;", &[]);
    check("src/worker/mod.rs", "fn f() { monoio::time::timeout(a, b) }", &["2 cancellation"]);
    check("src/io/mod.rs", "fn f() { monoio::select! {} monoio::time::sleep(a) }", &["2 cancellation"]);
    check("src/io/mod.rs", "#[cfg(test)]\nmod tests { use monoio::time::timeout; }", &[]);
    check("src/wire/buf.rs", "#[cfg(test)]\nmod tests { use std::fs; }\nuse std::fs;", &["4 purity"]);
    check("src/wire/buf.rs", "#[cfg(not(test))]\nuse std::fs;", &["3 purity"]);
    check("src/wire/buf.rs", "#[test]\n#[cfg(x)]\nfn f() { std::fs::read(a); }", &[]);
}

#[test]
fn unsafe_lives_in_io() {
    check("src/io/ring.rs", "fn f() { unsafe { g() } }", &[]);
    check("src/worker/mod.rs", "fn f() { unsafe { g() } }", &["2 unsafe"]);
    check("src/base/ids.rs", "#![deny(unsafe_code)] // unsafe", &[]);
    check("benches/wire.rs", "unsafe impl A for B {}", &[]);
}

#[test]
fn banned_calls_are_found_where_they_are_banned() {
    check("src/app/mod.rs", "fn f() { a.unwrap() }", &["2 banned call"]);
    check("src/app/mod.rs", "fn f() { a.unwrap_or(b); a\n.unwrap(); }", &["3 banned call"]);
    check("src/app/mod.rs", "#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }", &[]);
    check("tests/it/main.rs", "fn f() { a.unwrap(); println!(); }", &[]);
    check("loadtest/src/main.rs", "fn f() { println!(); a.unwrap() }", &["2 banned call"]);
    check("src/control/mod.rs", "fn f() { println!(\"\"); std::process::exit(1) }", &["2 banned call"; 2]);
    check("src/app/mod.rs", "fn f() { println!(\"\"); std::process::exit(1) }", &[]);
    check("src/main.rs", "fn f() { eprintln!(\"\") }", &[]);
    check("tests/it/main.rs", "fn f() { todo!(); unimplemented!(); dbg!(a) }", &["2 banned call"; 3]);
    check("tests/it/main.rs", "#[ignore = \"slow\"]\nfn f() {}", &["2 banned call"]);
    check("tests/it/main.rs", "fn f() { tokio::time::sleep(a) }", &["2 banned call"]);
    check("tests/it/main.rs", "// paced: the origin sends one event a millisecond\nsleep(a);", &[]);
    check("tests/it/main.rs", "// todo!() and .unwrap() in words\nlet a = \"dbg!\";", &[]);
}

#[test]
fn leftovers_are_found_in_comments() {
    for word in LEFTOVERS {
        check("src/wire/buf.rs", &format!("// {word}: later"), &["2 leftover"]);
        check("src/wire/buf.rs", &format!("// {word}{word}"), &[]);
    }
}

#[test]
fn relaxed_lints_carry_reasons() {
    check("src/io/mod.rs", "#![allow(unsafe_code)]", &["2 reason"]);
    check("src/io/mod.rs", "#![allow(unsafe_code, reason = \"system calls\")]", &[]);
    check("tests/a.rs", "#[cfg_attr(test, expect(dead_code))]\nfn f() { allow(x) }", &["2 reason"]);
}

#[test]
fn crates_have_homes() {
    check("src/wire/block.rs", "use wide::u8x16;", &[]);
    check("src/policy/route.rs", "use wide::u8x16;", &["2 crate"]);
    check("src/exchange/mod.rs", "fn f() { simd_json::from_slice(a) }", &["2 crate"]);
    check("src/worker/mod.rs", "#[tokio::main]\nfn f() {}", &["2 crate"]);
    check("src/worker/mod.rs", "extern crate axum;", &["2 crate"]);
    check("src/worker/mod.rs", "fn f(bytes: &[u8]) { bytes.len(); crate::wire::bytes::f(); toml }", &[]);
    check("src/policy/auth.rs", "use sha2::Digest;", &[]);
    check("src/policy/route.rs", "use sha2::Digest;", &["2 crate"]);
    check("src/wire/json/exercise.rs", "use serde_json::Value;", &[]);
    check("src/wire/json/peek.rs", "use serde_json::Value;", &["2 crate"]);
    check("tests/it/main.rs", "use rustls::ServerConfig;", &[]);
}

#[test]
fn sizes_are_bounded() {
    check("src/app/mod.rs", &"\n".repeat(FILE_LINES_MAX - 1), &[]);
    check("src/app/mod.rs", &"\n".repeat(FILE_LINES_MAX), &["501 file length"]);
    check("src/app/mod.rs", &format!("// {}", "é".repeat(107)), &[]);
    check("src/app/mod.rs", &format!("// {}", "é".repeat(108)), &["2 line width"]);
    let function = |inside: usize| format!("fn f() {{\n{}}}\n", "a;\n".repeat(inside));
    check("src/app/mod.rs", &function(FUNCTION_LINES_MAX - 2), &[]);
    check("src/app/mod.rs", &function(FUNCTION_LINES_MAX - 1), &["2 function length"]);
}

#[test]
fn headers_say_what_is_absent() {
    let cases: &[(&str, &str, bool)] = &[
        ("src/app/mod.rs", "//! Things.\n//! Deliberately\n//! absent: others.\n", true),
        ("src/app/mod.rs", "//! Things.\n", false),
        ("src/app/mod.rs", "// Deliberately absent: a header.\n", false),
        ("src/app/mod.rs", "\n//! Deliberately absent: a first line.\n", false),
        ("tests/a.rs", "//! Things.\n", true),
        ("tests/a.rs", "", false),
    ];
    for (path, source, good) in cases {
        let found = examine(&File { path, source, test: false });
        assert_eq!(found.is_empty(), *good, "{path}: {source:?}: {found:?}");
    }
}

fn entry(path: &str, text: &str) -> Entry {
    Entry { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
}

#[track_caller]
fn check_tree(files: &[(&str, &str)], want: &[&str]) {
    let entries: Vec<Entry> = files.iter().map(|(path, text)| entry(path, text)).collect();
    let found = examine_tree(&entries);
    let found: Vec<String> = found.iter().map(|b| format!("{}:{} {}", b.path, b.line, b.rule)).collect();
    assert_eq!(found, want);
}

#[test]
fn test_modules_in_files_of_their_own_are_tests() {
    let parent = "//! Deliberately absent: a.\n#[cfg(test)]\nmod tests;\n";
    let child = "//! Deliberately absent: b.\nfn f() { std::fs::read(a).unwrap(); }\n";
    check_tree(&[("src/wire/sse.rs", parent), ("src/wire/sse/tests.rs", child)], &[]);
    check_tree(&[("src/wire/mod.rs", parent), ("src/wire/tests/a.rs", child)], &[]);
    check_tree(
        &[("src/wire/sse.rs", parent), ("src/wire/tests.rs", child)],
        &["src/wire/tests.rs:2 banned call", "src/wire/tests.rs:2 purity"],
    );
}

#[test]
fn the_vector_crate_has_one_home() {
    let file = "//! Deliberately absent: a.\nuse wide::u8x16;\n";
    check_tree(&[("src/wire/http1/head.rs", file)], &[]);
    let two = [("src/wire/http1/a.rs", file), ("src/wire/http1/b.rs", file)];
    check_tree(&two, &["src/wire/http1/b.rs:2 crate"]);
}

#[test]
fn machine_paths_are_found_in_any_text() {
    for path in MACHINE_PATHS {
        check_tree(&[("docs/a.md", &format!("fine\nsee {path}x\n"))], &["docs/a.md:2 machine path"]);
    }
    check_tree(&[("deploy/a.sh", "cd \"$(mktemp -d)\"; cat ../README.md\n")], &[]);
}

#[test]
fn dependencies_say_why_they_are_here() {
    let rows: &[CrateRow] = &[CrateRow { name: "a_b", homes: &[], single: false }];
    let cases: &[(&str, &[usize])] = &[
        ("[dependencies]\n# --- plane ---\na-b = \"1\" # reason\n", &[]),
        ("[dependencies]\na-b = \"1\"\n", &[2]),
        ("[dependencies]\na-b = \"1\" #\n", &[2]),
        ("[dev-dependencies]\na-b = { path = \"#x\" }\n", &[2]),
        ("[dependencies.a-b]\nversion = \"1\" # reason\n", &[1]),
        ("[target.'cfg(unix)'.dependencies]\na-b = \"1\"\n", &[2]),
        ("[dependencies]\nc = \"1\" # reason\n", &[2]),
        ("[package]\nname = \"a\"\n[dependencies]\n[lints]\nworkspace = true\n", &[]),
        ("[dependencies]\na-b = { features = [ # reason\n  \"x\",\n] }\n", &[3, 4]),
    ];
    for (text, want) in cases {
        let lines: Vec<usize> = manifest("Cargo.toml", text, rows).iter().map(|broken| broken.line).collect();
        assert_eq!(lines, *want, "{text}");
    }
    assert!(manifest("fuzz/Cargo.toml", "[dependencies]\nc = \"1\" # reason\n", rows).is_empty());
}

#[test]
fn the_table_of_crates_has_one_row_each() {
    for (index, row) in CRATES.iter().enumerate() {
        assert!(CRATES[..index].iter().all(|other| other.name != row.name), "`{}` has two rows", row.name);
    }
}
