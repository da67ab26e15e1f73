//! `millrace/auto`, as it is measured: tiers over a snapshot, bodies of a wanted size, one decision.
//!
//! Deliberately absent: reading the body's members, which every request needs.

use std::hint::black_box;

use millrace::base::ids::ModelId;
use millrace::policy::auth::Tenant;
use millrace::policy::auto::{self, Auto, AutoModel, Tier, Wishes};
use millrace::policy::catalog::Snapshot;
use millrace::policy::route::{Ask, CHOICES, Scene};
use millrace::wire::json::peek::Peek;

/// Sizes of bodies in bytes.
pub(crate) const SIZES: [usize; 3] = [100, 2_000, 100_000];
/// Models of each of three tiers.
const MODELS_PER_TIER: u32 = 10;

/// The snapshot with three tiers of ten models each.
pub(crate) fn with_tiers(mut snapshot: Snapshot) -> Snapshot {
    let tier = |name: &str, from_score| Tier { name: name.into(), from_score };
    let model = |turn: u32| AutoModel {
        model: ModelId(turn),
        tier: (turn / MODELS_PER_TIER) as u8,
        percentile: turn as u8,
    };
    snapshot.auto = Auto {
        tiers: [tier("light", 0), tier("standard", 15), tier("strong", 45)].into(),
        models: (0..3 * MODELS_PER_TIER).map(model).collect(),
        default_tier: 1,
        ..Auto::default()
    };
    let _ = snapshot.rows();
    snapshot
}

/// A body of exactly `bytes` bytes: one turn of prose.
pub(crate) fn body(bytes: usize) -> String {
    const WORDS: &str = "Why does the tide come twice a day, and what if the moon were closer?\\n";
    let frame = |text: &str| {
        format!(r#"{{"model":"millrace/auto","messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    let room = bytes - frame("").len();
    let text = WORDS.repeat(room / WORDS.len()) + &"x".repeat(room % WORDS.len());
    frame(&text)
}

/// A body of about `bytes` bytes: an agent at work, with many short messages.
pub(crate) fn agent_body(bytes: usize) -> String {
    const STEP: &str = concat!(
        r#",{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":"#,
        r#"{"name":"read","arguments":"{\"path\":\"src/lib.rs\"}"}}]},"#,
        r#"{"role":"tool","tool_call_id":"call_1","content":"pub mod parser;\npub mod text;\n"}"#
    );
    let steps = STEP.repeat(bytes / STEP.len());
    let tool = r#"{"type":"function","function":{"name":"read","parameters":{}}}"#;
    let task = r#"{"role":"user","content":"Fix the test"}"#;
    format!(r#"{{"model":"millrace/auto","tools":[{tool}],"messages":[{task}{steps}]}}"#)
}

/// One decision, from the bytes of a body whose members are known: how many models it leads to.
pub(crate) fn decide(snapshot: &Snapshot, peek: &Peek, body: &[u8]) -> usize {
    let ask = Ask::read(black_box(peek), black_box(body)).expect("well formed");
    let wishes = Wishes::read(peek, body).expect("well formed");
    let content = ask.needs.content();
    let seen = (auto::signals(peek, body, content), content);
    let nobody = Tenant { key: None };
    let choice = auto::choose(&Scene::plain(snapshot), nobody, &ask, &wishes, seen, CHOICES, None);
    black_box(choice).map_or(0, |choice| choice.models().len())
}
