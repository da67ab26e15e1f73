//! The committed corpora, replayed: every file of `fuzz/corpus/<target>` goes through the body of its
//! target. The one table of targets is `millrace::fuzzing::TARGETS`; here it is held against the files
//! beside it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use millrace::fuzzing::TARGETS;

/// Fewest inputs of a target: fewer say too little.
const INPUTS_MIN: usize = 10;
/// Longest committed input in bytes: the bodies cut their input at every byte, and a reader wants to
/// understand it.
const INPUT_BYTES_MAX: usize = 64 * 1024;

fn fuzz_folder() -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    root.join("fuzz")
}

/// Files in a folder, in order of name, as `(stem or name, path)`; folders are named too.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let children = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<(String, PathBuf)> = children
        .map(|child| child.expect("a readable folder").path())
        .map(|path| (path.file_stem().expect("a named file").to_string_lossy().into_owned(), path))
        .collect();
    found.sort();
    found
}

fn names(folder: &Path) -> BTreeSet<String> {
    entries(folder).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn every_target_has_a_file_a_manifest_entry_and_a_corpus() {
    let fuzz = fuzz_folder();
    let table: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(table.len(), TARGETS.len(), "a target is named twice");
    assert_eq!(names(&fuzz.join("corpus")), table, "folders of fuzz/corpus (left) and the table (right)");
    assert_eq!(names(&fuzz.join("fuzz_targets")), table, "files of fuzz/fuzz_targets and the table");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("fuzz/Cargo.toml");
    let binaries: BTreeSet<String> = manifest
        .split("\n[[bin]]\n")
        .skip(1)
        .filter_map(|section| section.lines().find_map(|line| line.strip_prefix("name = ")))
        .map(|name| name.trim_matches('"').to_owned())
        .collect();
    assert_eq!(binaries, table, "[[bin]] entries of fuzz/Cargo.toml and the table");
    for name in &table {
        let file = fuzz.join("fuzz_targets").join(name).with_extension("rs");
        let text = fs::read_to_string(&file).expect("a target's file");
        let call = format!("fuzz_target!(|data: &[u8]| millrace::fuzzing::{name}(data));");
        assert!(text.contains(&call), "{} does not say {call}", file.display());
    }
}

#[test]
fn every_input_keeps_the_laws() {
    let mut broken = Vec::new();
    for (name, body) in TARGETS {
        let inputs = entries(&fuzz_folder().join("corpus").join(name));
        assert!(inputs.len() >= INPUTS_MIN, "{name} has {} inputs of {INPUTS_MIN}", inputs.len());
        for (_, path) in inputs {
            let data = fs::read(&path).expect("a readable input");
            assert!((1..=INPUT_BYTES_MAX).contains(&data.len()), "{}: {} bytes", path.display(), data.len());
            if catch_unwind(|| body(&data)).is_err() {
                broken.push(path.display().to_string());
            }
        }
    }
    assert!(broken.is_empty(), "laws are broken by:\n{}\n", broken.join("\n"));
}
