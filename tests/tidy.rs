//! The house rules as a test: floors and their purity, sizes, headers, banned calls, homes of crates,
//! reasons.
//!
//! Each violation names the file, the line, the rule and the remedy. The tables are in `tidy/tables.rs`; a
//! rule that gets in the way is changed there, with its reason, and never worked around. A small lexer stands
//! below the rules, so that a word in a comment or a string breaks none of them.

#[path = "tidy/lex.rs"]
mod lex;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/self_test.rs"]
mod self_test;
#[path = "tidy/syntax.rs"]
mod syntax;
#[path = "tidy/tables.rs"]
mod tables;
#[path = "tidy/tree.rs"]
mod tree;

use std::env;
use std::path::PathBuf;

#[test]
fn the_house_rules_hold() {
    // Cargo sets the variable when it runs the test; a binary started by hand falls back to where it was
    // built.
    let root =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let entries = tree::read(&root);
    let rust = entries.iter().filter(|entry| entry.path.ends_with(".rs")).count();
    assert!(
        rust > 20,
        "the walk found {rust} Rust files under {}: it looks at the wrong place",
        root.display()
    );

    let found = tree::examine_tree(&entries);
    let lines: Vec<String> = found
        .iter()
        .map(|broken| format!("{}:{}: [{}] {}", broken.path, broken.line, broken.rule, broken.remedy))
        .collect();
    assert!(found.is_empty(), "{} house rules broken:\n{}\n", found.len(), lines.join("\n"));
}
