//! Figures as text, the same in every subcommand.
//!
//! Deliberately absent: which figures a subcommand has.

use core::fmt::Write;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes for people.
pub(crate) fn bytes(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", value / 1024.0),
        _ => format!("{:.1} MiB", value / f64::from(1 << 20)),
    }
}

/// Bytes per piece for people; may be below zero.
pub(crate) fn bytes_each(each: Option<f64>) -> String {
    each.map_or_else(|| "not measured".to_owned(), |each| format!("{:.2} KiB", each / 1024.0))
}

/// Microseconds for people.
pub(crate) fn micros(micros: u64) -> String {
    let value = micros as f64;
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.1} ms", value / 1000.0),
        _ => format!("{:.2} s", value / 1_000_000.0),
    }
}

/// A JSON string (RFC 8259 §7).
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            // Writing to a string cannot fail.
            '\0'..='\x1f' => drop(write!(out, "\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Where and when a figure was taken, as a JSON object.
pub(crate) fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cpu = cpu.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!(
        "{{\"kernel\": {}, \"cpu\": {}, \"cores\": {cores}, \"unix_seconds\": {unix}}}",
        json_text(kernel.trim()),
        json_text(cpu),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_unit() {
        for (value, want) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB")] {
            assert_eq!(bytes(value), want);
        }
        for (value, want) in [(999, "999 µs"), (1000, "1.0 ms"), (100_250, "100.2 ms"), (2_500_000, "2.50 s")]
        {
            assert_eq!(micros(value), want);
        }
        assert_eq!(bytes_each(Some(-512.0)), "-0.50 KiB");
        assert_eq!(bytes_each(None), "not measured");
    }

    #[test]
    fn texts_become_json() {
        assert_eq!(json_text("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
