//! The commands, over a data directory with a real journal and a real ledger in it.
//!
//! Deliberately absent: the formats (`control/ledger` has their tests).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;

use super::*;
use crate::app::cli::{Cli, Command, LedgerCommand};
use crate::control::journal::{DataDir, core_folder, slot_path};
use crate::io::journal::{Setup, Slot, Writer, preallocate};
use crate::wire::journal::marks::Marks;
use crate::wire::journal::page::PAGE_BYTES;
use crate::wire::journal::{Journal, Sequence};

/// A data directory of one core.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Made, with so many settled requests in its journal, each of 1.5 USD.
fn written(requests: u64) -> (Dir, Vec<String>) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("millrace-app-ledger-{}-{turn}", std::process::id()));
    let dir = DataDir::open(&path, [7; 16]).unwrap();
    std::fs::create_dir_all(core_folder(&path, 0)).unwrap();
    let file = slot_path(&path, 0, 0);
    preallocate(&file, 1 << 20).unwrap();
    let slots = (0..2).map(|slot| {
        let file = slot_path(&path, 0, slot);
        preallocate(&file, 1 << 20).unwrap();
        Slot { path: file, end: PAGE_BYTES as u64, ..Slot::default() }
    });
    let setup = Setup {
        node: dir.node(),
        core: 0,
        slots: slots.collect(),
        after: Sequence(0),
        marks: Arc::new(Marks::default()),
    };
    let mut writer = Writer::open(setup).unwrap();
    let ids = (0..requests).map(|turn| settle(&mut writer, turn)).collect();
    (Dir(path), ids)
}

fn settle(writer: &mut Writer, turn: u64) -> String {
    use crate::base::ids::GenerationId;
    use crate::base::record::Usage;
    use crate::base::time::UnixSeconds;
    use crate::wire::journal::{Admit, Caller, Cost, Ending, Flags, Served, Settle, Source};
    let at = UnixSeconds(1_795_132_799 + turn);
    let id = GenerationId::new(at, [turn, 1]);
    let served = Served { model: "a/m", provider: "acme", endpoint: "acme", price_version: 1 };
    let caller = Caller::default();
    let (prompt_tokens, most_completion_tokens) = (1, 1);
    let admit = Admit { id, at, caller, served, prompt_tokens, most_completion_tokens, reserved: 1 };
    writer.admit(&admit).unwrap();
    let upstream_id = format!("up-{turn}");
    writer.settle(&Settle {
        id,
        upstream_id: &upstream_id,
        at,
        caller,
        served,
        api: "chat.completions",
        ending: Ending::Complete,
        status: 200,
        fault: "",
        finish_reason: "stop",
        service_tier: "",
        flags: Flags::default(),
        usage: Usage { prompt_tokens: 10, completion_tokens: 5, ..Usage::default() },
        source: Source::Reported,
        counted_tokens: 5,
        cost: Cost { total: 1_500_000_000_000, upstream: 1_500_000_000_000, ..Cost::default() },
        answer_bytes: 1,
        first_byte_micros: 1,
        took_micros: 2,
        attempts: std::borrow::Cow::Borrowed(&[]),
    });
    id.as_str().to_owned()
}

/// Folds the journal into the database, as a server does.
fn fold(dir: &Path) {
    let node = crate::control::journal::read_node(dir).unwrap();
    let records = Journaled::new(dir.to_owned(), node, Vec::new()).unwrap();
    let keep = Keep { requests: None, hours: None, days: None };
    let options = Options { path: dir.join(FILE_NAME), keep, now: || 1_795_200_000, every: EVERY };
    let (keeper, ledger) = Keeper::start(options, Box::new(records)).unwrap();
    assert!(ledger.catch_up());
    drop(keeper);
}

/// Runs `millrace ledger …` over the directory: exit code and output.
fn run(dir: &Path, arguments: &[&str]) -> (String, String, String) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let dir = dir.display().to_string();
    let all = ["millrace", "ledger"].iter().chain(arguments).copied().chain(["--data-dir", &dir]);
    let code = match Cli::try_parse_from(all).unwrap().into_command() {
        Command::Ledger(LedgerCommand::Export(options)) => export(&options, &mut out, &mut errors),
        Command::Ledger(LedgerCommand::Reconcile(options)) => reconcile(&options, &mut out, &mut errors),
        other => panic!("{other:?}"),
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (format!("{code:?}"), text(out), text(errors))
}

fn code(number: u8) -> String {
    format!("{:?}", std::process::ExitCode::from(number))
}

#[test]
fn an_export_has_what_is_folded_and_what_is_not() {
    let (dir, ids) = written(3);
    for turn in 0..2 {
        let (status, out, errors) = run(&dir.0, &["export", "--format", "csv", "--since", "2026-11-19"]);
        assert_eq!((&status, &*errors), (&code(0), ""), "{turn}");
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1..].iter().zip(&ids).all(|(line, id)| line.starts_with(id.as_str())), "{out}");
        assert!(lines[1..].iter().all(|line| line.contains(",1.5,1.5,")), "{out}");
        fold(&dir.0);
    }
    let all = run(&dir.0, &["export", "--format", "csv"]);
    assert_eq!(all.1.lines().count(), 4, "without a time: everything");
    let since = ["export", "--format", "jsonl", "--since", "2026-11-20T00:00:00Z"];
    assert_eq!(run(&dir.0, &since).1.lines().count(), 2);
    let file = dir.0.join("out.parquet");
    let file_name = file.display().to_string();
    let to_file = ["export", "--format", "parquet", "--since", "2026-11-19", "--out", &file_name];
    assert_eq!(run(&dir.0, &to_file), (code(0), String::new(), String::new()));
    assert!(std::fs::read(file).unwrap().starts_with(b"PAR1"));
}

/// Line by line, and by day.
fn an_invoice_agrees(dir: &Path) {
    let file = dir.join("invoice");
    for (invoice, matched) in [
        ("id,cost\nup-0,1.5\nup-1,1.50\n", "matched:              2\n"),
        ("date,model,cost\n2026-11-19,m,1.5\n2026-11-20,a/m,1.50\n", "matched:              2\n"),
    ] {
        std::fs::write(&file, invoice).unwrap();
        let (status, out, errors) = run(dir, &["reconcile", &file.display().to_string()]);
        assert!(status == code(0) && out.contains(matched), "{out}{errors}");
    }
    std::fs::write(&file, "id,cost\nup-0,1.5\nup-2,1\n").unwrap();
    let (status, out, _) = run(dir, &["reconcile", &file.display().to_string()]);
    assert!(status == code(1) && out.contains("line 3: up-2\n"), "{out}");
}

#[test]
fn an_invoice_has_its_exit_code() {
    let (dir, _) = written(2);
    an_invoice_agrees(&dir.0);
    // Out of the journal until here, out of the database from here on.
    fold(&dir.0);
    an_invoice_agrees(&dir.0);
    let check = |invoice: &str, want: u8, says: &str| {
        let file = dir.0.join("invoice");
        std::fs::write(&file, invoice).unwrap();
        let (status, out, errors) = run(&dir.0, &["reconcile", &file.display().to_string()]);
        assert_eq!(status, code(want), "{out}{errors}");
        assert!(format!("{out}{errors}").contains(says), "{says}: {out}{errors}");
    };
    check("id,cost\nup-0,1.5\nup-1,1.51\n", 1, "  line 3: up-1: cost: ledger 1.5, invoice 1.51\n");
    check("id,cost\nup-0,1.5\n", 0, "invoice less ledger 0 USD\n");
    check("colour\nred\n", 65, "no line has an id");
    let file = dir.0.join("invoice").display().to_string();
    std::fs::write(&file, "id,cost\nup-0,1.5\nup-1,1.5\n").unwrap();
    let (_, out, _) = run(&dir.0, &["reconcile", &file, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["matched"], &json["ledger_cost"]), (&2.into(), &"3".into()));
}

#[test]
fn what_cannot_be_read_is_said() {
    let (dir, _) = written(1);
    let gone = dir.0.join("gone");
    let (status, _, errors) = run(&gone, &["export", "--format", "csv", "--since", "2026-11-19"]);
    assert!(status == code(74) && errors.contains("gone is no directory"), "{errors}");
    let (status, _, errors) = run(&dir.0, &["reconcile", "/nowhere/invoice.csv"]);
    assert!(status == code(65) && errors.contains("invoice.csv cannot be read"), "{errors}");
}
