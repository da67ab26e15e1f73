//! `millrace journal inspect` and `verify`: what is in the journal files of a data directory, or in one file.
//! Both only read, and may be used while a server writes.
//!
//! Deliberately absent: sums (that is the ledger's work).

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::cli::EXIT_IO;
use crate::control::journal::{FoundSlot, Recovered, Repair, examine, read_node, recover};
use crate::wire::journal::decode::{KINDS, Unread, decode};
use crate::wire::journal::frame::{Frame, NodeId, Seed};
use crate::wire::journal::page::Page;
use crate::wire::journal::scan::{Found, Scan};
use crate::wire::journal::{Admit, Ending, Entry, Sequence, Settle, Source};

/// What `verify` returns when something is damaged (`EX_DATAERR` of sysexits(3)).
const EXIT_DAMAGED: u8 = 65;

/// Options of `journal inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectOptions {
    /// Data directory, or one segment file (.mrj)
    pub path: PathBuf,
    /// One JSON object per record
    #[arg(long)]
    pub json: bool,
    /// Only the record with this generation id, ours or the provider's
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

/// Options of `journal verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyOptions {
    /// Data directory, or one segment file (.mrj)
    pub path: PathBuf,
}

/// Prints the records, oldest first per core, and damage where it lies.
pub fn inspect(options: &InspectOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let mut out = io::BufWriter::new(out);
    let done = look(&options.path).and_then(|found| {
        if !options.json {
            writeln!(out, "{:>4} {:>10} {:6} {:35} what", "core", "sequence", "kind", "id")?;
        }
        for (core, slot) in in_order(&found) {
            print_slot((core, found.node), slot, options, &mut out)?;
        }
        out.flush()
    });
    code(done.map(|()| 0), errors)
}

/// Says what is damaged, and what to do.
pub fn verify(options: &VerifyOptions, out: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let done = look(&options.path).and_then(|found| {
        let mut damages = 0;
        for (core, slot) in in_order(&found) {
            let state = match (slot.records, &slot.page) {
                (0, _) => "empty".to_owned(),
                (records, page) => format!(
                    "{records} records, {} to {}, {} of {} bytes{}",
                    slot.first.0,
                    slot.last.0,
                    slot.end,
                    slot.bytes,
                    if page.is_ok_and(|page| page.sealed) { ", sealed" } else { "" }
                ),
            };
            writeln!(out, "core {core}, {}: {state}", slot.path.display())?;
            for damage in &slot.damages {
                writeln!(out, "  DAMAGED {damage}")?;
                damages += 1;
            }
            for (at, unread) in unread((core, found.node), slot)? {
                writeln!(out, "  UNREAD {}: at byte {at}: {unread}", slot.path.display())?;
                damages += 1;
            }
        }
        let (records, cores) = (found.recovered.records(), found.recovered.cores.len());
        if damages == 0 {
            writeln!(out, "ok: {records} records of {cores} cores")?;
            return Ok(0);
        }
        writeln!(out, "{damages} places are damaged; {records} records of {cores} cores can be read.")?;
        writeln!(out, "The next start reads them all, and keeps a copy of each damaged file beside it.")?;
        writeln!(out, "Look at the disk (dmesg, smartctl) before you trust it with more.")?;
        Ok(EXIT_DAMAGED)
    });
    code(done, errors)
}

fn code(done: io::Result<u8>, errors: &mut dyn Write) -> ExitCode {
    ExitCode::from(done.unwrap_or_else(|error| {
        // A reader that has seen enough closes the pipe.
        if error.kind() != io::ErrorKind::BrokenPipe {
            let _ = writeln!(errors, "millrace: {error}");
        }
        EXIT_IO
    }))
}

struct Looked {
    node: NodeId,
    recovered: Recovered,
}

/// A data directory, or one file of it (or of somebody else's, whose page then says whose).
fn look(path: &Path) -> io::Result<Looked> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if path.is_dir() {
        let node = read_node(path).map_err(|error| {
            let what = format!(
                "{} is no data directory of Millrace: no file `node` in it ({error})",
                path.display()
            );
            io::Error::new(error.kind(), what)
        })?;
        return Ok(Looked { node, recovered: recover(path, node, Repair::No).map_err(named)? });
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(named)?;
    io::Read::read_to_end(&mut io::Read::take(file, 4096), &mut bytes).map_err(named)?;
    let page = Page::decode(&bytes)
        .map_err(|flaw| named(io::Error::new(io::ErrorKind::InvalidData, flaw.to_string())))?;
    let slot = examine(path, page.node, page.core, 0).map_err(named)?;
    let core = crate::control::journal::FoundCore { core: page.core, slots: vec![slot] };
    Ok(Looked { node: page.node, recovered: Recovered { cores: vec![core] } })
}

/// Segments by core and age; those without records last.
fn in_order(looked: &Looked) -> Vec<(u16, &FoundSlot)> {
    let mut all: Vec<(u16, &FoundSlot)> = looked
        .recovered
        .cores
        .iter()
        .flat_map(|core| core.slots.iter().map(|slot| (core.core, slot)))
        .collect();
    all.sort_by_key(|(core, slot)| (*core, slot.records == 0, slot.first, slot.slot));
    all
}

/// Calls `each` with everything in a segment, and where it lies.
fn walk(
    (core, node): (u16, NodeId),
    slot: &FoundSlot,
    mut each: impl FnMut(usize, Result<Frame<'_>, usize>) -> io::Result<()>,
) -> io::Result<()> {
    if slot.records == 0 {
        return Ok(());
    }
    let bytes = std::fs::read(&slot.path)?;
    let before = Sequence(slot.first.0.saturating_sub(1));
    for found in Scan::new(&bytes, Seed::new(node, core), before) {
        match found {
            Found::Record(at, frame) => each(at, Ok(frame))?,
            Found::Damage(from, to) => each(from, Err(to))?,
        }
    }
    Ok(())
}

/// Records whose checksum is right and that say nothing all the same.
fn unread(whose: (u16, NodeId), slot: &FoundSlot) -> io::Result<Vec<(usize, Unread)>> {
    let mut unread = Vec::new();
    walk(whose, slot, |at, found| {
        if let Ok(frame) = found {
            unread.extend(decode(&frame).err().map(|why| (at, why)));
        }
        Ok(())
    })?;
    Ok(unread)
}

fn print_slot(
    whose: (u16, NodeId),
    slot: &FoundSlot,
    options: &InspectOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let core = whose.0;
    walk(whose, slot, |at, found| {
        let (frame, entry) = match found {
            Ok(frame) => (frame, decode(&frame)),
            Err(to) if options.json => {
                let file = slot.path.display().to_string();
                return writeln!(out, "{}", json!({ "damaged": file, "core": core, "from": at, "to": to }));
            }
            Err(to) => {
                return writeln!(out, "{core:>4}          - DAMAGED {}: {at} to {to}", slot.path.display());
            }
        };
        if options.id.as_deref().is_some_and(|id| !entry.as_ref().is_ok_and(|entry| is_about(entry, id))) {
            return Ok(());
        }
        if options.json {
            let mut value =
                entry.map_or_else(|why| json!({ "unread": why.to_string() }), |entry| json(&entry));
            value["core"] = json!(core);
            value["sequence"] = json!(frame.sequence.0);
            return writeln!(out, "{value}");
        }
        let kind = KINDS.iter().find(|(kind, _)| *kind == frame.kind).map_or("?", |(_, name)| name);
        let (id, what) = match &entry {
            Ok(Entry::Admit(admit)) => (admit.id.as_str(), admit_line(admit)),
            Ok(Entry::Settle(settle)) => (settle.id.as_str(), settle_line(settle)),
            Err(why) => ("-", why.to_string()),
        };
        writeln!(out, "{core:>4} {:>10} {kind:6} {id:35} {what}", frame.sequence.0)
    })
}

fn is_about(entry: &Entry<'_>, id: &str) -> bool {
    match entry {
        Entry::Admit(admit) => admit.id.as_str() == id,
        Entry::Settle(settle) => settle.id.as_str() == id || settle.upstream_id == id,
    }
}

/// Pico-dollars as dollars, with all their digits.
fn dollars(pico: i64) -> String {
    let sign = if pico < 0 { "-" } else { "" };
    let pico = pico.unsigned_abs();
    format!("{sign}${}.{:012}", pico / 1_000_000_000_000, pico % 1_000_000_000_000)
}

fn admit_line(admit: &Admit<'_>) -> String {
    let Admit { served, prompt_tokens, most_completion_tokens, reserved, .. } = admit;
    let answer = match most_completion_tokens {
        0 => "tokens and an answer of any length".to_owned(),
        most => format!("+ {most} tokens at most"),
    };
    let reserved = dollars(*reserved);
    format!("{} at {}, {prompt_tokens} {answer}, {reserved} reserved", served.model, served.endpoint)
}

fn settle_line(settle: &Settle<'_>) -> String {
    let Settle { served, ending, status, usage, source, cost, attempts, .. } = settle;
    let ending = match ending {
        Ending::Complete => "complete",
        Ending::Failed => "failed",
        Ending::Cut => "cut",
        Ending::ClientGone => "client gone",
    };
    let source = match source {
        Source::None => "none",
        Source::Reported => "reported",
        Source::Mixed => "mixed",
        Source::Counted => "counted",
        Source::Bytes => "from bytes",
    };
    format!(
        "{} at {}, {ending}, status {status}, {} + {} tokens ({source}), {}, {} attempt{}",
        served.model,
        served.endpoint,
        usage.prompt_tokens,
        usage.completion_tokens,
        dollars(cost.total),
        attempts.len(),
        if attempts.len() == 1 { "" } else { "s" }
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All fields by their names in `docs/journal.md`; amounts are pico-dollars.
fn json(entry: &Entry<'_>) -> Value {
    match entry {
        Entry::Admit(admit) => json!({
            "kind": "admit",
            "id": admit.id.as_str(),
            "at": admit.at.0,
            "key_digest": hex(&admit.caller.key_digest),
            "key": admit.caller.key,
            "team": admit.caller.team,
            "user_hash": admit.caller.user_hash,
            "model": admit.served.model,
            "provider": admit.served.provider,
            "endpoint": admit.served.endpoint,
            "price_version": admit.served.price_version,
            "prompt_tokens": admit.prompt_tokens,
            "most_completion_tokens": admit.most_completion_tokens,
            "reserved": admit.reserved,
        }),
        Entry::Settle(settle) => settle_json(settle),
    }
}

fn settle_json(settle: &Settle<'_>) -> Value {
    let Settle { usage, cost, .. } = settle;
    let attempts: Vec<Value> = settle
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "provider": attempt.provider,
                "endpoint": attempt.endpoint,
                "status": attempt.status,
                "fault": attempt.fault,
                "billed": format!("{:?}", attempt.billed).to_lowercase(),
                "hedged": attempt.hedged,
                "began_micros": attempt.began_micros,
                "took_micros": attempt.took_micros,
                "prompt_tokens": attempt.prompt_tokens,
                "completion_tokens": attempt.completion_tokens,
                "cost": attempt.cost,
            })
        })
        .collect();
    json!({
        "kind": "settle",
        "id": settle.id.as_str(),
        "upstream_id": settle.upstream_id,
        "at": settle.at.0,
        "key_digest": hex(&settle.caller.key_digest),
        "key": settle.caller.key,
        "team": settle.caller.team,
        "user_hash": settle.caller.user_hash,
        "model": settle.served.model,
        "provider": settle.served.provider,
        "endpoint": settle.served.endpoint,
        "price_version": settle.served.price_version,
        "api": settle.api,
        "ending": settle.ending as u8,
        "status": settle.status,
        "fault": settle.fault,
        "finish_reason": settle.finish_reason,
        "service_tier": settle.service_tier,
        "flags": settle.flags.0,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "cache_write_1h_tokens": usage.cache_write_1h_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_tokens,
            "images": usage.images,
        },
        "source": settle.source as u8,
        "counted_tokens": settle.counted_tokens,
        "cost": {
            "total": cost.total,
            "upstream": cost.upstream,
            "prompt": cost.prompt,
            "completion": cost.completion,
            "cache_discount": cost.cache_discount,
        },
        "answer_bytes": settle.answer_bytes,
        "first_byte_micros": settle.first_byte_micros,
        "took_micros": settle.took_micros,
        "attempts": attempts,
    })
}
