//! The field and the object, as texts.
//!
//! Deliberately absent: whole answers (the cases whose names begin with `t`).

use super::*;
use crate::base::ids::KeyId;
use crate::exchange::sim::{self, Case};
use crate::policy::catalog::Key;

fn snapshot(providers: usize) -> Snapshot {
    let list: Vec<String> = (0..providers).map(|turn| format!("p{turn}{}/x", "-".repeat(60))).collect();
    let case = Case::parse(&format!("[config]\nmodel m = {}\n", list.join(" "))).expect("a case");
    sim::snapshot(&case.config)
}

fn attempt(provider: u32, fault: Option<Fault>) -> AttemptRecord {
    AttemptRecord { provider: ProviderId(provider), fault, ..AttemptRecord::NONE }
}

#[test]
fn the_list_of_attempts_is_bounded() {
    let snapshot = snapshot(20);
    for count in 1..=20_u32 {
        let attempts: Vec<AttemptRecord> =
            (0..count).map(|turn| attempt(turn, Some(Fault::Status(503)))).collect();
        let text = attempts_text(&snapshot, &attempts, 200);
        assert!(text.len() <= ATTEMPTS_BYTES && text.is_ascii(), "{text}");
        let (named, more) = text.split_once(",+").unwrap_or((&text, "0"));
        assert_eq!(named.split(',').count() as u32 + more.parse::<u32>().expect("a number"), count, "{text}");
    }
}

#[test]
fn the_usual_field_is_what_the_general_way_writes() {
    let snapshot = snapshot(2);
    for (attempts, status) in [
        (vec![attempt(1, None)], 200),
        (vec![attempt(1, None)], 201),
        (vec![attempt(0, Some(Fault::Status(400)))], 400),
        (vec![attempt(0, Some(Fault::ConnectRefused)), attempt(1, None)], 200),
    ] {
        let mut own = Vec::new();
        Told { snapshot: &snapshot, attempts: &attempts, status, wishes: Wishes::default() }.write(&mut own);
        let want = format!("x-millrace-attempts: {}\r\n", attempts_text(&snapshot, &attempts, status));
        assert_eq!(String::from_utf8_lossy(&own), want);
    }
}

#[test]
fn only_keys_that_may_ask_are_told_the_whole_decision() {
    let regions = Box::default;
    let key =
        |debug| Key { name: "k".into(), sha256: [0; 32], debug, regions: regions(), management: false };
    let mut snapshot = Snapshot { keys: vec![key(false), key(true)], ..snapshot(1) };
    let wish = Wishes(Wishes::ROUTE | Wishes::METADATA);
    for (auth, key, told) in [
        (AuthMode::Keys, Some(KeyId(0)), false),
        (AuthMode::Keys, Some(KeyId(1)), true),
        (AuthMode::Keys, None, false),
        (AuthMode::Open, None, true),
    ] {
        snapshot.auth = auth;
        let permitted = wish.permitted(&snapshot, Tenant { key });
        assert_eq!((permitted.has(Wishes::ROUTE), permitted.has(Wishes::DENIED)), (told, !told));
        // What everybody may ask for is not touched, and nobody is denied what was not asked for.
        assert!(permitted.has(Wishes::METADATA));
        assert_eq!(Wishes::default().permitted(&snapshot, Tenant { key }), Wishes::default());
    }
}

#[test]
fn a_name_leads_to_its_model_in_a_word() {
    let mut snapshot = snapshot(1);
    for alias in ["other", "~a/m-latest"] {
        let id = *snapshot.model_ids.get("m").expect("configured");
        snapshot.model_ids.insert(alias.into(), id);
    }
    for (name, want) in [
        ("m", "direct"),
        ("m:floor", "direct"),
        ("other", "alias"),
        ("other:nitro", "alias"),
        ("~a/m-latest", "latest"),
        ("~a/m-latest:floor", "latest"),
        ("p0/anything", "direct"),
    ] {
        assert_eq!(strategy(&snapshot, name), want, "{name}");
    }
}
