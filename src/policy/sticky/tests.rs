//! The memory as requests use it: whose conversation is whose, what is kept, and for how long.
//!
//! Deliberately absent: hashing and the table (their own files), and where a pinned endpoint goes
//! (`route/pinned`).

use super::*;
use crate::base::ids::{KeyId, ProviderId};
use crate::base::money::PicoDollars;
use crate::policy::catalog::{Endpoint, Key as ClientKey, Model, PriceRules, Prices};
use crate::policy::route::tests::provider;

const NOW: Moment = Moment::from_nanos(5_000_000_000);

/// Models `m` and `n` at one provider; two endpoints each, of which the second has no price for cached
/// tokens.
fn world() -> Snapshot {
    let mut snapshot = Snapshot { providers: vec![provider("p")], ..Snapshot::bare() };
    let key = |byte| ClientKey {
        name: "k".into(),
        sha256: [byte; 32],
        debug: false,
        regions: Box::default(),
        management: false,
    };
    snapshot.keys = [1, 2].map(key).into();
    for (turn, id) in (0..).zip(["m", "n"]) {
        let mut endpoints = Vec::new();
        for (name, read) in [("x", Some(1)), ("y", None)] {
            let mut endpoint = Endpoint::plain(ProviderId(0), ModelId(turn), name);
            let price = |pico| PicoDollars(pico);
            let base = Prices { prompt: Some(price(2)), cache_read: read.map(price), ..Prices::default() };
            endpoint.facts.prices = Some(PriceRules { base, rules: Box::default() });
            endpoints.push(EndpointId(snapshot.endpoints.len() as u32));
            snapshot.endpoints.push(endpoint);
        }
        snapshot.models.push(Model::plain(id, endpoints));
    }
    snapshot
}

const fn of(key: Option<u32>) -> Tenant {
    Tenant {
        key: match key {
            Some(key) => Some(KeyId(key)),
            None => None,
        },
    }
}

const NAMED: Conversation<'static> = Conversation::Named(b"s");
const OPENING: Conversation<'static> = Conversation::Opening(br#"[{"role":"user","content":"hi"}]"#);

fn digest(memory: &Memory, snapshot: &Snapshot, tenant: Tenant, conversation: &Conversation<'_>) -> Digest {
    memory.digest(snapshot, tenant, conversation).expect("a conversation")
}

#[test]
fn a_conversation_is_one_accounts_and_one_models() {
    let (memory, snapshot) = (Memory::new(256, [1, 2]), world());
    let own = digest(&memory, &snapshot, of(Some(0)), &NAMED);
    memory.keep(&memory.pin(own, &snapshot, EndpointId(0)).unwrap(), false, NOW);
    let found = |memory: &Memory, tenant, conversation: &Conversation<'_>, model| {
        memory.endpoint(digest(memory, &snapshot, tenant, conversation), model, NOW)
    };
    let want = Some(short(snapshot.rows().model(ModelId(0)).identity(0)));
    assert_eq!(found(&memory, of(Some(0)), &NAMED, "m"), want);
    assert_eq!(found(&memory, of(Some(0)), &NAMED, "n"), None);
    assert_eq!(found(&memory, of(Some(1)), &NAMED, "m"), None);
    assert_eq!(found(&memory, of(None), &NAMED, "m"), None);
    assert_eq!(found(&memory, of(Some(0)), &Conversation::Named(b"t"), "m"), None);
    assert_eq!(found(&memory, of(Some(0)), &OPENING, "m"), None);
    // Another process has another key: what one does says nothing about the other.
    let other = Memory::new(256, [1, 3]);
    assert_ne!(digest(&other, &snapshot, of(Some(0)), &NAMED), own);
    assert_eq!(memory.digest(&snapshot, of(None), &Conversation::Unknown), None);
}

/// A key's place may change from snapshot to snapshot; its digest does not.
#[test]
fn an_account_is_known_by_its_keys_digest() {
    let (memory, snapshot) = (Memory::new(256, [1, 2]), world());
    let mut later = snapshot.clone();
    later.keys.reverse();
    let own = digest(&memory, &snapshot, of(Some(0)), &NAMED);
    assert_eq!(digest(&memory, &later, of(Some(1)), &NAMED), own);
}

#[test]
fn what_is_kept_and_for_how_long() {
    let snapshot = world();
    for (conversation, endpoint, is_cache_used, kept) in [
        (&NAMED, 0, false, true),
        (&NAMED, 0, true, true),
        (&OPENING, 0, false, false),
        (&OPENING, 0, true, true),
        (&NAMED, 1, true, false),
        (&OPENING, 3, true, false),
    ] {
        let memory = Memory::new(16, [1, 2]);
        let own = digest(&memory, &snapshot, of(None), conversation);
        if let Some(pin) = memory.pin(own, &snapshot, EndpointId(endpoint)) {
            memory.keep(&pin, is_cache_used, NOW);
        }
        let model = if endpoint < 2 { "m" } else { "n" };
        let found = memory.endpoint(own, model, NOW);
        assert_eq!(found.is_some(), kept, "{conversation:?} {endpoint} {is_cache_used}");
        let ttl = snapshot.providers[0].sticky_ttl;
        assert_eq!(memory.endpoint(own, model, NOW + ttl), None);
        let last = NOW + (ttl - Duration::from_millis(200));
        assert_eq!(memory.endpoint(own, model, last), found);
    }
}

#[test]
fn the_model_behind_a_router_model_is_remembered_apart_from_endpoints() {
    let (memory, snapshot) = (Memory::new(256, [1, 2]), world());
    let own = digest(&memory, &snapshot, of(None), &OPENING);
    let all = || [ModelId(0), ModelId(1)].into_iter();
    let found = |all| memory.model(own, "millrace/auto", &snapshot, all, NOW);
    assert_eq!(found(all()), None);
    let ttl = Duration::from_secs(60);
    memory.keep(&memory.pin_model(own, "millrace/auto", &snapshot, ModelId(1), ttl), false, NOW);
    assert_eq!(found(all()), Some(ModelId(1)));
    assert_eq!(memory.model(own, "m", &snapshot, all(), NOW), None);
    assert_eq!(memory.endpoint(own, "millrace/auto", NOW), None);
    // A model that is no candidate any more is not chosen.
    assert_eq!(memory.model(own, "millrace/auto", &snapshot, all().take(1), NOW), None);
    assert_eq!(memory.model(own, "millrace/auto", &snapshot, all(), NOW + ttl), None);
}

/// Many conversations at once: few are lost to full buckets, and none is ever another's.
#[test]
fn many_conversations_are_kept_apart() {
    let (memory, snapshot) = (Memory::new(4096, [9, 9]), world());
    let ends = [EndpointId(0), EndpointId(2)];
    let name = |turn: u32| turn.to_le_bytes();
    for turn in 0..2048 {
        let own = digest(&memory, &snapshot, of(None), &Conversation::Named(&name(turn)));
        let pin = memory.pin(own, &snapshot, ends[turn as usize % 2]).unwrap();
        memory.keep(&pin, false, NOW);
    }
    let mut lost = 0;
    for turn in 0..4096 {
        let own = digest(&memory, &snapshot, of(None), &Conversation::Named(&name(turn)));
        let models = ["m", "n"].map(|model| memory.endpoint(own, model, NOW).is_some());
        let want = [turn < 2048 && turn % 2 == 0, turn < 2048 && turn % 2 == 1];
        assert!(models == want || models == [false; 2], "{turn}");
        lost += u32::from(models != want);
    }
    // Half full: a bucket of four has more than four conversations of two on average with a chance of 5 %.
    assert!(lost < 2048 / 20, "{lost} of 2048 lost");
}
