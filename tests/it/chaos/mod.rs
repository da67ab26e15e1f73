//! The chaos run: providers that refuse, stall, lie, cut and babble, in every order, under several clients
//! at once. Each answer must be a sound provider's answer to the last byte, or one clear error; never a
//! part that looks whole, never bytes of two answers. What may come of a chain of providers is worked out
//! beforehand, so that a failover that does not happen is found as well as one that must not.

mod faults;
mod judge;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use crate::harness::{Blackhole, Client, Origin, Proxy, Random, each_driver, models, post, provider, until};
use faults::{FAULTS, Fault, Way};
use judge::{Outcome, Question, expected, judge};

const REQUESTS: usize = 300;
const CLIENTS: usize = 6;
/// Chains made by chance, besides each fault alone and each before a sound provider.
const CHAINS: usize = 60;
/// Deadlines of the providers that stall. The sound ones have the usual, long ones: a busy machine is no
/// fault.
const SHORT: &str = "deadlines = { connect = \"150ms\", response_head = \"150ms\", first_event = \"250ms\", \
                     answer = \"250ms\", idle = \"150ms\" }";

/// A provider for every fault.
struct Fleet {
    origins: Vec<(&'static Fault, Origin)>,
    refusing: crate::harness::Refusing,
    blackhole: Blackhole,
}

impl Fleet {
    fn start() -> Self {
        let origins = FAULTS
            .iter()
            .filter(|fault| !matches!(fault.way, Way::Refused | Way::Blackhole))
            .map(|fault| (fault, Origin::answering(|peer, seen| faults::act(fault, peer, seen))))
            .collect();
        Self { origins, refusing: crate::harness::Refusing::new(), blackhole: Blackhole::new() }
    }

    fn config(&self, chains: &[Chain]) -> String {
        let mut text = String::new();
        for (fault, origin) in &self.origins {
            let stalls = matches!(fault.way, Way::StallBeforeHead | Way::StallBeforeEvent | Way::StallInside);
            text.push_str(&provider(fault.name, origin.address, if stalls { SHORT } else { "" }));
        }
        text.push_str(&provider("refused", self.refusing.address, ""));
        text.push_str(&provider("blackhole", self.blackhole.address, SHORT));
        for chain in chains {
            let names: Vec<&str> = chain.faults.iter().map(|fault| fault.name).collect();
            text.push_str(&models(&chain.model, &names));
        }
        text
    }
}

/// A model and the providers it is tried at.
struct Chain {
    model: String,
    faults: Vec<&'static Fault>,
}

fn chains(random: &mut Random) -> Vec<Chain> {
    let sound = FAULTS.iter().find(|fault| fault.name == "sound").expect("there is a sound provider");
    let mut lists: Vec<Vec<&'static Fault>> = Vec::new();
    for fault in FAULTS {
        lists.push(vec![fault, sound]);
        lists.push(vec![fault]);
    }
    for _ in 0..CHAINS {
        let mut list: Vec<&'static Fault> = (0..1 + random.below(5)).map(|_| random.pick(FAULTS)).collect();
        if random.below(2) == 0 {
            list.push(sound);
        }
        lists.push(list);
    }
    let named = |(turn, faults)| Chain { model: format!("chaos/{turn}"), faults };
    lists.into_iter().enumerate().map(named).collect()
}

/// What came of one request.
struct Row {
    chain: usize,
    stream: bool,
    outcome: Outcome,
    complaint: Option<String>,
}

/// One client's share: requests to chains in a fixed order, on a connection that is kept as long as it lasts.
fn ask(proxy: &Proxy, chains: &[Chain], mut random: Random, turns: impl Iterator<Item = usize>) -> Vec<Row> {
    let mut client: Option<Client> = None;
    let mut rows = Vec::new();
    for turn in turns {
        // Every fault alone and before a sound provider is asked; what is left goes by chance.
        let chain = if turn < 2 * FAULTS.len() { turn } else { random.below(chains.len()) };
        let question = Question {
            nonce: format!("n{turn}x{:08x}", random.word() as u32),
            stream: random.below(2) == 0,
            long: random.below(4) == 0,
        };
        let mut with = client.take().unwrap_or_else(|| proxy.connect());
        let fields = if random.below(8) == 0 { "connection: close\r\n" } else { "" };
        let body = question.body(&chains[chain].model);
        let answer = with.ask(&post("/v1/chat/completions", fields, &body));
        let outcome = judge(&question, &answer);
        let allowed = expected(&chains[chain].faults, question.stream);
        let names: Vec<&str> = chains[chain].faults.iter().map(|fault| fault.name).collect();
        let complaint = (!allowed.contains(&outcome))
            .then(|| format!("{question:?} to {names:?}: {outcome:?}, allowed {allowed:?}: {answer:?}"));
        let kept = answer.whole && !answer.closes();
        if !kept {
            // Nothing may follow an answer after which the connection ends.
            let (rest, _) = with.rest();
            assert!(rest.is_empty(), "{} bytes behind {answer:?}", rest.len());
        }
        client = kept.then_some(with);
        rows.push(Row { chain, stream: question.stream, outcome, complaint });
    }
    rows
}

#[test]
fn whatever_providers_do_an_answer_is_whole_or_a_clear_error() {
    let seed = Random::seed();
    println!("seed {seed} (MILLRACE_SEED={seed} repeats the run)");
    let chains = chains(&mut Random(seed));
    each_driver(|driver| {
        let fleet = Fleet::start();
        let proxy = Proxy::start(driver, &fleet.config(&chains));
        let rows = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (proxy, chains, rows) = (&proxy, &chains, &rows);
                scope.spawn(move || {
                    let random = Random(seed ^ (number as u64 + 1));
                    let turns = (number..REQUESTS).step_by(CLIENTS);
                    let mine = ask(proxy, chains, random, turns);
                    rows.lock().expect("no client panicked").extend(mine);
                });
            }
        });
        let rows = rows.into_inner().expect("no client panicked");
        assert_eq!(rows.len(), REQUESTS);
        table(driver, &chains, &rows);
        let complaints: Vec<&String> = rows.iter().filter_map(|row| row.complaint.as_ref()).collect();
        assert!(
            complaints.is_empty(),
            "{driver}, seed {seed}: {} wrong of {REQUESTS}\n{}",
            complaints.len(),
            complaints.iter().take(5).map(|text| text.as_str()).collect::<Vec<_>>().join("\n")
        );
        until("everything is closed", || proxy.metric("millrace_client_connections{core=\"0\"}") == 1);
        assert_eq!(proxy.metric("millrace_panics_total"), 0);
        assert_eq!(proxy.metric("millrace_requests_refused_total"), 0);
    });
}

/// Outcomes by the fault that was met first.
fn table(driver: &str, chains: &[Chain], rows: &[Row]) {
    let mut counts: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    for row in rows {
        let first = chains[row.chain].faults[0];
        let column = match &row.outcome {
            Outcome::Complete(from) if *from == first.name => 0,
            Outcome::Complete(_) => 1,
            Outcome::Error => 2,
            Outcome::Cut | Outcome::Told => 3,
            Outcome::Lie(_) => 4,
        };
        counts.entry(first.name).or_default()[column] += 1;
    }
    let streams = rows.iter().filter(|row| row.stream).count();
    println!("{driver}: {} requests, {streams} streams", rows.len());
    println!(
        "{:<18} {:>8} {:>11} {:>6} {:>4} {:>4}",
        "first provider", "answered", "failed over", "error", "cut", "lie"
    );
    for (name, [own, over, error, cut, lie]) in counts {
        println!("{name:<18} {own:>8} {over:>11} {error:>6} {cut:>4} {lie:>4}");
    }
}
