//! Whole bodies of requests to models of fifty endpoints, as a busy router decides about them: everything is
//! known of the endpoints, figures are measured, conversations are remembered.
//!
//! Deliberately absent: reading the members of a body, which every request needs.

use std::hint::black_box;

use millrace::base::money::PicoDollars;
use millrace::base::time::Moment;
use millrace::policy::auth::Tenant;
use millrace::policy::catalog::{
    Modalities, Modality, Parameters, PriceRules, Prices, Quantization, Snapshot,
};
use millrace::policy::live::{Figures, LiveTable};
use millrace::policy::route::{self, Ask, Plan, Scene};
use millrace::policy::sticky::{Conversation, Memory, Recall};
use millrace::wire::json::peek::{Peek, peek};

use crate::world::{Size, model_name, snapshot};

/// Endpoints of each model.
pub(crate) const ENDPOINTS: u32 = 50;
/// The time of all decisions.
const NOW: Moment = Moment::from_nanos(1_000_000_000);
const NOBODY: Tenant = Tenant { key: None };

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) struct Contract {
    pub(crate) name: &'static str,
    /// Behind the model's name.
    pub(crate) suffix: &'static str,
    /// Members of the body, behind its messages.
    pub(crate) members: &'static str,
    pub(crate) memory: Remembered,
}

/// What is remembered of conversations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// Nobody asks.
    Off,
    /// Nothing of this one.
    Nothing,
    /// Who served it last, for every model.
    Endpoint,
}

const fn contract(name: &'static str, suffix: &'static str, members: &'static str) -> Contract {
    Contract { name, suffix, members, memory: Remembered::Off }
}

const fn sticky(name: &'static str, members: &'static str, memory: Remembered) -> Contract {
    Contract { name, suffix: "", members, memory }
}

const SESSION: &str = r#","session_id":"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9""#;
const ALL: &str = concat!(
    r#","session_id":"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9","tools":[],"max_tokens":1000,"provider":{"#,
    r#""sort":"price","zdr":true,"data_collection":"deny","quantizations":["fp8","bf16"],"#,
    r#""ignore":["provider-7","provider-9"],"max_price":{"prompt":0.5,"completion":"2"}}"#
);

/// All that is measured.
pub(crate) const CONTRACTS: [Contract; 12] = [
    contract("nothing asked", "", ""),
    contract("tools and max_tokens", "", r#","tools":[],"max_tokens":1000,"temperature":1"#),
    contract("floor", ":floor", ""),
    contract("sort by latency", "", r#","provider":{"sort":"latency"}"#),
    contract("zdr and formats", "", r#","provider":{"zdr":true,"quantizations":["fp8","bf16"]}"#),
    contract("order", "", r#","provider":{"order":["provider-7","provider-3","provider-44"]}"#),
    contract("max_price", "", r#","provider":{"max_price":{"prompt":0.5,"completion":"2"}}"#),
    sticky("a session not remembered", SESSION, Remembered::Nothing),
    sticky("a session pinned", SESSION, Remembered::Endpoint),
    sticky("an opening not remembered", "", Remembered::Nothing),
    sticky("an opening pinned", "", Remembered::Endpoint),
    sticky("a session pinned, all of provider", ALL, Remembered::Endpoint),
];

/// Models, what is known of them, and what is remembered.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    table: LiveTable,
    names: Vec<String>,
}

impl World {
    pub(crate) fn new(models: u32) -> Self {
        let mut snapshot = snapshot(Size { models, endpoints_per_model: ENDPOINTS, keys: 1 });
        describe(&mut snapshot);
        let table = figures(snapshot.endpoints.len());
        Self { snapshot, table, names: (0..models).map(model_name).collect() }
    }

    /// A contract, ready to be decided about.
    pub(crate) fn asking(&self, contract: Contract) -> Asking<'_> {
        let Contract { suffix, members, .. } = contract;
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Hello there"}}]{members}}}"#);
        let peek = peek(body.as_bytes()).expect("a body");
        let names = self.names.iter().map(|name| format!("{name}{suffix}")).collect();
        let memory = (contract.memory != Remembered::Off).then(|| Memory::new(65_536, [3, 4]));
        let asking = Asking { world: self, body, peek, names, memory };
        if contract.memory == Remembered::Endpoint {
            (0..self.names.len()).for_each(|model| asking.remember(model));
        }
        asking
    }
}

/// A contract with its body read.
pub(crate) struct Asking<'a> {
    world: &'a World,
    body: String,
    peek: Peek,
    names: Vec<String>,
    memory: Option<Memory>,
}

impl Asking<'_> {
    /// From the body's text to the plan, of which the first candidate is taken.
    pub(crate) fn decide(&self, model: usize, random: u64) -> usize {
        let plan = self.plan(model, random);
        // What nearly every request needs of it.
        black_box(plan.get(&self.world.snapshot, 0));
        plan.count()
    }

    fn plan(&self, model: usize, random: u64) -> Plan {
        let World { snapshot, table, .. } = self.world;
        let body = black_box(self.body.as_bytes());
        let mut ask = Ask::read(&self.peek, body).expect("well formed");
        let sticky = self.memory.as_ref().map(|memory| Recall { memory, now: NOW });
        if sticky.is_some() {
            ask.conversation = Conversation::of(&self.peek, body, b"", b"").expect("a conversation");
        }
        let scene = Scene { live: table.live(), random, sticky, ..Scene::plain(snapshot) };
        let names = black_box([&*self.names[model]]).into_iter();
        route::plan(&scene, NOBODY, black_box(&ask), names).expect("somebody may serve it")
    }

    /// Whoever serves `model` now is remembered.
    fn remember(&self, model: usize) {
        let plan = self.plan(model, 1);
        let served = plan.get(&self.world.snapshot, 0).and_then(|first| first.endpoint);
        let memory = self.memory.as_ref().expect("there is one");
        let (digest, served) = (plan.digest().expect("it is worth it"), served.expect("an endpoint"));
        let pin = memory.pin(digest, &self.world.snapshot, served).expect("it has a cheap cache");
        memory.keep(&pin, true, NOW);
    }
}

/// Gives every endpoint the facts of a real catalogue: prices, sizes, parameters, formats, data policies.
fn describe(snapshot: &mut Snapshot) {
    for model in &mut snapshot.models {
        model.facts.input = Some(Modalities::of(&[Modality::Text]));
    }
    for (turn, endpoint) in (0_u32..).zip(&mut snapshot.endpoints) {
        let price = |scale: u32| Some(PicoDollars(i128::from((turn * 7_919 % 97 + 3) * scale)));
        let (prompt, completion, cache_read) = (price(10_000), price(40_000), price(1_000));
        let base = Prices { prompt, completion, cache_read, ..Prices::default() };
        let facts = &mut endpoint.facts;
        facts.prices = Some(PriceRules { base, rules: Box::default() });
        facts.context_tokens = Some(128_000);
        facts.output_tokens = Some(16_000);
        facts.parameters = Some(Parameters::ALL);
        facts.quantization =
            Some(if turn.is_multiple_of(3) { Quantization::Bf16 } else { Quantization::Fp8 });
        facts.data.zdr = Some(turn.is_multiple_of(2));
        (facts.data.retains, facts.data.trains) = (Some(turn.is_multiple_of(5)), Some(false));
    }
    let _ = (snapshot.rows(), snapshot.layout());
}

/// Figures as a busy router has them.
fn figures(endpoints: usize) -> LiveTable {
    let figure = |turn: u32| Figures {
        healthy: !turn.is_multiple_of(17),
        error_share: (turn % 5) as f32 / 100.0,
        ttft_ms: 200.0 + (turn % 900) as f32,
        tokens_per_second: 20.0 + (turn % 150) as f32,
        tokens_in_flight: turn % 1000,
        ..Figures::UNKNOWN
    };
    let mut table = LiveTable::new(endpoints);
    (0..endpoints as u32).for_each(|turn| table.set(turn, figure(turn)));
    table
}
