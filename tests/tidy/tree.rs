//! The rules that need more than one file: the walk, the manifests, machine paths and crates with one home.

use std::fs;
use std::path::Path;

use crate::rules::{File, Violation, examine, names_crate, test_module_files};
use crate::tables::{CRATES, CrateRow, MACHINE_PATHS};

/// Folders that hold Rust code under the rules.
const CODE: &[&str] = &["src/", "tests/", "benches/", "loadtest/src/", "loadtest/tests/", "fuzz/"];

/// Folders that are built, downloaded or kept by tools, wherever they are.
const SKIPPED: &[&str] = &[".git", ".venv", "__pycache__", "artifacts", "node_modules", "target"];

const MANIFESTS: &[&str] = &["Cargo.toml", "loadtest/Cargo.toml", "fuzz/Cargo.toml"];

/// A file of the tree: its path from the root with `/`, and its bytes.
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// Reads every file that is not built, downloaded or kept by a tool, in order of path.
pub(crate) fn read(root: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let Ok(children) = fs::read_dir(root.join(&folder)) else { continue };
        for child in children.flatten() {
            let Ok(name) = child.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            // A link is not followed: what it points at is examined where it is.
            match child.file_type() {
                Ok(kind) if kind.is_dir() && !SKIPPED.contains(&name.as_str()) => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    // Another test may remove a file of its own between the listing and the reading.
                    let Ok(bytes) = fs::read(child.path()) else { continue };
                    entries.push(Entry { path, bytes });
                }
                _ => {}
            }
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

/// Everything the rules say about a tree, in order of path and line.
pub(crate) fn examine_tree(entries: &[Entry]) -> Vec<Violation> {
    let mut found: Vec<Violation> = entries.iter().flat_map(machine_paths).collect();
    let files = rust_files(entries, &mut found);
    found.extend(files.iter().flat_map(examine));
    found.extend(single_homes(&files));
    for entry in entries.iter().filter(|entry| MANIFESTS.contains(&entry.path.as_str())) {
        let text = String::from_utf8_lossy(&entry.bytes);
        found.extend(manifest(&entry.path, &text, CRATES));
    }
    found.sort();
    found
}

/// The Rust files under the rules, each marked as product or test code.
fn rust_files<'a>(entries: &'a [Entry], found: &mut Vec<Violation>) -> Vec<File<'a>> {
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.path.as_str();
        if !path.ends_with(".rs") || !CODE.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        match std::str::from_utf8(&entry.bytes) {
            Ok(source) => {
                let test = path.starts_with("tests/") || path.starts_with("benches/");
                files.push(File { path, source, test });
            }
            Err(_) => found.push(violation(path, 1, "encoding", "save the file as UTF-8")),
        }
    }
    let homes: Vec<String> =
        files.iter().flat_map(|file| test_module_files(file.path, file.source)).collect();
    for file in &mut files {
        let stem = file.path.strip_suffix(".rs").unwrap_or(file.path);
        file.test |= homes.iter().any(|home| {
            stem.strip_prefix(home.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    }
    files
}

fn violation(path: &str, line: usize, rule: &'static str, remedy: impl Into<String>) -> Violation {
    Violation { path: path.to_owned(), line, rule, remedy: remedy.into() }
}

/// Paths of the machine that a file was written on, in any file that is text.
fn machine_paths(entry: &Entry) -> Vec<Violation> {
    let Ok(text) = std::str::from_utf8(&entry.bytes) else { return Vec::new() };
    let names = |line: &str| MACHINE_PATHS.iter().any(|path| line.contains(path));
    let lines = text.lines().enumerate().filter(|(_, line)| names(line));
    let remedy = "use a path of the repository, or a temporary folder made at run time";
    lines.map(|(index, _)| violation(&entry.path, index + 1, "machine path", remedy)).collect()
}

/// Crates that one file alone may name.
fn single_homes(files: &[File<'_>]) -> Vec<Violation> {
    let mut found = Vec::new();
    for row in CRATES.iter().filter(|row| row.single) {
        let product = files.iter().filter(|file| file.path.starts_with("src/") && !file.test);
        let mut named = product.filter_map(|file| Some((file.path, names_crate(file, row.name)?)));
        let Some((first, _)) = named.next() else { continue };
        for (path, line) in named {
            let remedy = format!("`{}` has its one home in {first}; call that file", row.name);
            found.push(violation(path, line, "crate", remedy));
        }
    }
    found
}

/// Every dependency is on one line with a `#` comment, and the root's have a row in the table of crates.
pub(crate) fn manifest(path: &str, text: &str, rows: &[CrateRow]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut listed = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.split(']').next().unwrap_or_default();
            listed = section.ends_with("dependencies");
            if section.contains("dependencies.") {
                let remedy = "write the dependency on one line, so that its reason stands beside it";
                found.push(violation(path, index + 1, "dependency", remedy));
            }
            continue;
        }
        if !listed || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, _)) = line.split_once('=') else {
            let remedy = "write the dependency on one line, so that its reason stands beside it";
            found.push(violation(path, index + 1, "dependency", remedy));
            continue;
        };
        if comment(line).is_none_or(str::is_empty) {
            found.push(violation(path, index + 1, "dependency", "say after `#` why the crate is needed"));
        }
        let name = name.trim().trim_matches('"').replace('-', "_");
        if path == "Cargo.toml" && !rows.iter().any(|row| row.name == name) {
            let remedy =
                format!("give `{name}` a row in CRATES of tests/tidy/tables.rs: which files may name it");
            found.push(violation(path, index + 1, "dependency", remedy));
        }
    }
    found
}

/// The text after the first `#` outside a string.
fn comment(line: &str) -> Option<&str> {
    let mut quoted = false;
    let hash = line.find(|character| {
        quoted ^= character == '"';
        character == '#' && !quoted
    })?;
    Some(line[hash + 1..].trim())
}
