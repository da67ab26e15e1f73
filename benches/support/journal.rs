//! A journal on a real, mapped file, for the gate on instructions.
//!
//! Deliberately absent: the disk; pages stay in memory.

use std::fs;
use std::sync::Arc;

use millrace::base::ids::GenerationId;
use millrace::base::record::{Billed, Usage};
use millrace::base::time::UnixSeconds;
use millrace::io::journal::{Setup, Slot, Writer, preallocate};
use millrace::wire::journal::frame::NodeId;
use millrace::wire::journal::marks::Marks;
use millrace::wire::journal::page::PAGE_BYTES;
use millrace::wire::journal::{
    Admit, Attempt, Caller, Cost, Ending, Flags, Journal, Sequence, Served, Settle, Source,
};

/// Two segments of 1 MiB that are gone from their folder, and stay as long as they are mapped.
fn writer(number: usize) -> Writer {
    let folder = std::env::temp_dir().join(format!("millrace-bench-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let slot = |number: u32| {
        let path = folder.join(format!("{number}.mrj"));
        preallocate(&path, 1 << 20).expect("room");
        Slot { path, end: PAGE_BYTES as u64, ..Slot::default() }
    };
    let slots = vec![slot(0), slot(1)];
    let (node, marks) = (NodeId([1; 16]), Arc::new(Marks::default()));
    let writer = Writer::open(Setup { node, core: 0, slots, after: Sequence(0), marks }).expect("it opens");
    fs::remove_dir_all(&folder).expect("it can be removed");
    writer
}

/// Writes down one usual request: admitted, one attempt, settled. Returns how many records that are.
pub(crate) fn usual(number: usize) -> impl FnMut() -> usize {
    let mut writer = writer(number);
    let caller = Caller { key_digest: [7; 32], key: "key-20", team: "search", user_hash: 9 };
    let (provider, endpoint) = ("deepinfra", "deepinfra/fp8");
    let served = Served { model: "meta-llama/llama-3.3-70b-instruct", provider, endpoint, price_version: 3 };
    let (id, at) = (GenerationId::new(UnixSeconds(1_783_514_921), [1, 2]), UnixSeconds(1_783_514_921));
    let (prompt_tokens, most_completion_tokens, reserved) = (400, 1_024, 1_000_000_000);
    let admit = Admit { id, at, caller, served, prompt_tokens, most_completion_tokens, reserved };
    let attempt = Attempt {
        provider,
        endpoint,
        status: 200,
        fault: "",
        billed: Billed::Yes,
        hedged: false,
        began_micros: 20,
        took_micros: 900_000,
        prompt_tokens: 400,
        completion_tokens: 300,
        cost: 500_000_000,
    };
    let settle = Settle {
        id,
        upstream_id: "chatcmpl-9f2b6c1e5a8d4f07b3e1c2d4",
        at,
        caller,
        served,
        api: "chat.completions",
        ending: Ending::Complete,
        status: 200,
        fault: "",
        finish_reason: "stop",
        service_tier: "",
        flags: Flags::STREAMED,
        usage: Usage { prompt_tokens: 400, completion_tokens: 300, ..Usage::default() },
        source: Source::Reported,
        counted_tokens: 300,
        cost: Cost { total: 500_000_000, upstream: 500_000_000, ..Cost::default() },
        answer_bytes: 60_000,
        first_byte_micros: 200_000,
        took_micros: 900_000,
        attempts: vec![attempt].into(),
    };
    move || {
        let admitted = writer.admit(&admit).expect("the last request is folded");
        let settled = writer.settle(&settle);
        writer.marks().sync(settled);
        writer.marks().fold(settled);
        (settled.0 - admitted.0 + 1) as usize
    }
}
