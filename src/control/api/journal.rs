//! How far the journals of the cores are, as metrics.
//!
//! Deliberately absent: what the ledger made of them (`control/ledger` has metrics of its own).

use std::sync::Arc;

use super::metrics::{head, line};
use crate::wire::journal::marks::Marks;

/// One figure of a journal: its name, its kind, its help text, and where it is from.
type Figure = (&'static str, &'static str, &'static str, fn(&Marks) -> u64);

const FIGURES: [Figure; 5] = [
    ("millrace_journal_written_total", "counter", "The newest record of a core's journal.", |marks| {
        marks.written().0
    }),
    ("millrace_journal_synced_total", "counter", "The newest record that is on disk.", |marks| {
        marks.synced().0
    }),
    ("millrace_journal_folded_total", "counter", "The newest record that the ledger has.", |marks| {
        marks.folded().0
    }),
    (
        "millrace_journal_sync_failures_total",
        "counter",
        "How often the disk did not take what was written.",
        Marks::sync_failures,
    ),
    (
        "millrace_journal_refusing",
        "gauge",
        "1 while new requests are refused because of that (ledger.on_disk_error).",
        |marks| u64::from(marks.is_refusing()),
    ),
];

/// A sample of each figure for each core.
pub(super) fn write(text: &mut String, journals: &[Arc<Marks>]) {
    if journals.is_empty() {
        return;
    }
    for (name, kind, help, figure) in FIGURES {
        head(text, name, help, kind);
        for (core, marks) in journals.iter().enumerate() {
            line(text, format_args!("{name}{{core=\"{core}\"}} {}", figure(marks)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::journal::Sequence;
    use crate::wire::journal::marks::Place;

    #[test]
    fn each_core_has_a_sample_of_each_figure() {
        let marks = Arc::new(Marks::new(Sequence(7), Place::default()));
        marks.write(Sequence(9), Place::default());
        marks.fold(Sequence(5));
        marks.sync_failed();
        marks.refuse(true);
        let mut text = String::new();
        write(&mut text, &[Arc::default(), marks]);
        for sample in [
            "millrace_journal_written_total{core=\"0\"} 0",
            "millrace_journal_written_total{core=\"1\"} 9",
            "millrace_journal_synced_total{core=\"1\"} 7",
            "millrace_journal_folded_total{core=\"1\"} 5",
            "millrace_journal_sync_failures_total{core=\"1\"} 1",
            "millrace_journal_refusing{core=\"1\"} 1",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample} in\n{text}");
        }
        let mut none = String::new();
        write(&mut none, &[]);
        assert_eq!(none, "");
    }
}
