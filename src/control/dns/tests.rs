//! Tests of the names' clocks, with scripted answers and a paused clock.
//!
//! Deliberately absent: real DNS.

use core::future::pending;
use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::base::address::UnixName;
use crate::base::limits::{Deadlines, Limits};
use crate::policy::auto::Auto;
use crate::policy::catalog::{AuthMode, Host, WaitingComment};
use crate::policy::hedge::Terms;

/// What a scripted look-up does.
#[derive(Clone, Debug)]
enum Act {
    /// Answers with these addresses and a TTL in seconds.
    Found(&'static [&'static str], u64),
    Fail,
    Hang,
    Panic,
}

/// Scripted answers per name; the last one repeats. Every look-up is noted with its second on the paused
/// clock.
#[derive(Clone, Debug)]
struct Script {
    acts: Arc<Mutex<HashMap<&'static str, VecDeque<Act>>>>,
    asked: Arc<Mutex<Vec<(String, u64)>>>,
    born: Instant,
}

impl Script {
    fn new(acts: &[(&'static str, &[Act])]) -> Self {
        let acts = acts.iter().map(|(name, acts)| (*name, acts.iter().cloned().collect())).collect();
        Self { acts: Arc::new(Mutex::new(acts)), asked: Arc::default(), born: Instant::now() }
    }

    /// The seconds at which a name was asked for.
    fn asked(&self, name: &str) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(asked, _)| asked == name).map(|(_, second)| *second).collect()
    }
}

impl Lookup for Script {
    async fn lookup(&self, name: &str) -> Result<Found, String> {
        self.asked.lock().unwrap().push((name.to_owned(), self.born.elapsed().as_secs()));
        let act = {
            let mut acts = self.acts.lock().unwrap();
            let acts = acts.get_mut(name).expect("a scripted name");
            if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() }
        };
        match act.expect("at least one act") {
            Act::Found(addresses, ttl) => {
                Ok(Found { addresses: ips(addresses), ttl: Duration::from_secs(ttl) })
            }
            Act::Fail => Err("scripted".to_owned()),
            Act::Hang => pending().await,
            Act::Panic => panic!("scripted panic"),
        }
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn host(name: &str, addresses: &[&str]) -> Host {
    Host { name: name.into(), addresses: ips(addresses).into(), unix: None }
}

fn snapshot(hosts: Vec<Host>) -> Snapshot {
    Snapshot {
        rows: crate::policy::rows::Rows::default(),
        hosts,
        providers: Vec::new(),
        provider_ids: Default::default(),
        endpoints: Vec::new(),
        models: Vec::new(),
        model_ids: Default::default(),
        keys: Vec::new(),
        key_digests: Default::default(),
        auth: AuthMode::Open,
        control: None,
        limits: Limits::default(),
        deadlines: Deadlines::default(),
        waiting: WaitingComment { text: "WAITING".into(), delay: None },
        ambiguous_failover: true,
        auto: Auto::default(),
        hedging: Terms::default(),
        ledger: crate::policy::catalog::LedgerTerms::default(),
    }
}

struct Rig {
    current: Arc<ArcSwap<Snapshot>>,
    script: Script,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rig {
    /// Runs the names of a snapshot whose hosts have no address yet.
    fn run(acts: &[(&'static str, &[Act])]) -> Self {
        let current =
            Arc::new(ArcSwap::from_pointee(snapshot(acts.iter().map(|(name, _)| host(name, &[])).collect())));
        let script = Script::new(acts);
        let task = tokio::spawn(Names::new(Arc::clone(&current), script.clone()).run());
        Self { current, script, task }
    }

    /// Lets the paused clock pass `seconds` and half a one, so that what is due at the full second has
    /// happened.
    async fn until(&self, seconds: u64) {
        sleep_until(self.script.born + Duration::from_millis(seconds * 1000 + 500)).await;
    }

    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        addresses_of(&self.current.load(), name).unwrap().to_vec()
    }
}

#[tokio::test(start_paused = true)]
async fn ttls_are_followed_within_bounds() {
    const A: &[&str] = &["192.0.2.1"];
    for (ttl, asked) in [
        (0, vec![0, 5, 10, 15, 20]),
        (7, vec![0, 7, 14]),
        (20, vec![0, 20]),
        (86_400, vec![0]),
        (u64::MAX, vec![0]),
    ] {
        let rig = Rig::run(&[("a.test", &[Act::Found(A, ttl)])]);
        rig.until(20).await;
        assert_eq!(rig.script.asked("a.test"), asked, "ttl {ttl}");
        assert_eq!(rig.addresses("a.test"), ips(A));
    }
    let rig = Rig::run(&[("a.test", &[Act::Found(A, 86_400)])]);
    rig.until(700).await;
    assert_eq!(rig.script.asked("a.test"), [0, 300, 600]);
}

#[tokio::test(start_paused = true)]
async fn only_changes_are_published_and_in_a_stable_order() {
    let rig = Rig::run(&[(
        "a.test",
        &[
            Act::Found(&["192.0.2.2", "192.0.2.1"], 5),
            Act::Found(&["192.0.2.1", "192.0.2.2", "192.0.2.1"], 5),
            Act::Found(&["192.0.2.9"], 5),
        ],
    )]);
    rig.until(0).await;
    let first = rig.current.load_full();
    assert_eq!(rig.addresses("a.test"), ips(&["192.0.2.1", "192.0.2.2"]));
    rig.until(5).await;
    assert_eq!(rig.script.asked("a.test").len(), 2);
    assert!(Arc::ptr_eq(&first, &rig.current.load_full()), "the same addresses are no news");
    rig.until(10).await;
    assert_eq!(rig.addresses("a.test"), ips(&["192.0.2.9"]));
}

#[tokio::test(start_paused = true)]
async fn failures_keep_old_addresses_and_back_off() {
    const A: &[&str] = &["192.0.2.1"];
    let fails: Vec<Act> =
        std::iter::once(Act::Found(A, 5)).chain(std::iter::repeat_n(Act::Fail, 8)).collect();
    let rig = Rig::run(&[("a.test", &fails), ("empty.test", &[Act::Found(A, 5), Act::Found(&[], 5)])]);
    rig.until(200).await;
    // After 5: pauses of 1, 2, 4, 8, 16, 32 seconds, then never more than a minute.
    assert_eq!(rig.script.asked("a.test"), [0, 5, 6, 8, 12, 20, 36, 68, 128, 188]);
    assert_eq!(rig.addresses("a.test"), ips(A), "stale addresses are served");
    assert_eq!(rig.addresses("empty.test"), ips(A), "an answer without an address is a failure");
}

#[tokio::test(start_paused = true)]
async fn names_without_any_address_are_tried_often() {
    let rig = Rig::run(&[(
        "a.test",
        &[Act::Fail, Act::Fail, Act::Fail, Act::Fail, Act::Found(&["192.0.2.1"], 60)],
    )]);
    rig.until(11).await;
    assert_eq!(rig.script.asked("a.test"), [0, 1, 3, 7]);
    assert!(rig.addresses("a.test").is_empty());
    rig.until(12).await;
    assert_eq!(rig.addresses("a.test"), ips(&["192.0.2.1"]), "five seconds, not eight");
}

#[tokio::test(start_paused = true)]
async fn one_bad_name_delays_no_other() {
    const A: &[&str] = &["192.0.2.1"];
    let rig = Rig::run(&[("hang.test", &[Act::Hang]), ("a.test", &[Act::Found(A, 5)]), ("10.0.0.1", &[])]);
    rig.until(20).await;
    assert_eq!(rig.script.asked("a.test"), [0, 5, 10, 15, 20]);
    assert_eq!(rig.script.asked("hang.test"), [0, 11], "given up after 10 s, tried again 1 s later");
    assert_eq!(rig.script.asked("10.0.0.1"), [0_u64; 0], "an address is not a name");
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_lookup() {
    const A: &[&str] = &["192.0.2.1"];
    let rig = Rig::run(&[("a.test", &[Act::Panic, Act::Found(A, 60)])]);
    rig.until(2).await;
    assert_eq!(rig.addresses("a.test"), ips(A));
}

#[tokio::test(start_paused = true)]
async fn the_names_of_a_new_snapshot_are_noticed() {
    const A: &[&str] = &["192.0.2.1"];
    let rig = Rig::run(&[("a.test", &[Act::Found(A, 5)]), ("b.test", &[Act::Found(&["192.0.2.2"], 5)])]);
    rig.current.store(Arc::new(snapshot(vec![host("a.test", &[])])));
    rig.until(3).await;
    publish_rebuilt(
        &rig.current,
        &snapshot(vec![host("b.test", &[]), host("a.test", &[]), host("10.0.0.1", &["10.0.0.1"])]),
    );
    assert_eq!(rig.addresses("a.test"), ips(A), "carried over at once");
    assert_eq!(rig.addresses("10.0.0.1"), ips(&["10.0.0.1"]));
    assert!(rig.addresses("b.test").is_empty());
    rig.until(5).await;
    assert_eq!(rig.addresses("b.test"), ips(&["192.0.2.2"]));
    rig.current.store(Arc::new(snapshot(vec![host("b.test", &[])])));
    rig.until(7).await;
    assert_eq!(
        rig.addresses("b.test"),
        ips(&["192.0.2.2"]),
        "a publisher that dropped the addresses is mended"
    );
    rig.until(30).await;
    assert_eq!(rig.script.asked("a.test"), [0, 5], "a name that is gone is not asked for");
}

#[tokio::test(start_paused = true)]
async fn the_start_waits_for_answers_but_not_for_ever() {
    let script = Script::new(&[
        ("a.test", &[Act::Found(&["192.0.2.1"], 60)]),
        ("fail.test", &[Act::Fail]),
        ("hang.test", &[Act::Hang]),
    ]);
    let hosts = |names: &[&str]| snapshot(names.iter().map(|name| host(name, &[])).collect());
    let patience = Duration::from_secs(3);
    for (names, missing, seconds) in [
        (&["a.test"][..], &[][..], 0),
        (&["a.test", "fail.test"], &["fail.test"], 0),
        (&["a.test", "hang.test"], &["hang.test"], 3),
        (&[], &[], 0),
    ] {
        let current = Arc::new(ArcSwap::from_pointee(hosts(names)));
        let mut resolver = Names::new(Arc::clone(&current), script.clone());
        let started = Instant::now();
        let got: Vec<Box<str>> = resolver.resolve_now(patience).await;
        assert_eq!(got.iter().map(|name| &**name).collect::<Vec<_>>(), missing, "{names:?}");
        assert_eq!(started.elapsed().as_secs(), seconds, "{names:?}");
        let resolved = addresses_of(&current.load(), "a.test").map(<[IpAddr]>::to_vec);
        assert_eq!(resolved, names.contains(&"a.test").then(|| ips(&["192.0.2.1"])), "{names:?}");
    }
}

/// A unix socket has no addresses and waits for none; its name would ask a name server for nonsense.
#[tokio::test(start_paused = true)]
async fn a_unix_socket_is_never_looked_up() {
    let unix = Host { unix: UnixName::parse("@m").ok(), ..host("unix:@m", &[]) };
    let script = Script::new(&[("unix:@m", &[Act::Found(&["192.0.2.1"], 60)])]);
    let current = Arc::new(ArcSwap::from_pointee(snapshot(vec![unix])));
    let mut names = Names::new(Arc::clone(&current), script.clone());
    let missing = names.resolve_now(Duration::from_secs(2)).await;
    assert!(missing.is_empty(), "{missing:?}");
    let task = tokio::spawn(names.run());
    sleep_until(script.born + Duration::from_secs(30)).await;
    task.abort();
    assert!(script.asked("unix:@m").is_empty());
    assert_eq!(current.load().hosts[0].known(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_start_learnt_is_not_asked_again() {
    const A: &[&str] = &["192.0.2.1"];
    let script = Script::new(&[("a.test", &[Act::Found(A, 60)])]);
    let current = Arc::new(ArcSwap::from_pointee(snapshot(vec![host("a.test", &[])])));
    let mut names = Names::new(Arc::clone(&current), script.clone());
    assert!(names.resolve_now(Duration::from_secs(3)).await.is_empty());
    let task = tokio::spawn(names.run());
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(script.asked("a.test"), [0]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(script.asked("a.test"), [0, 60]);
    task.abort();
}

#[test]
fn concurrent_publishers_lose_nothing() {
    const EACH: usize = 200;
    let names = ["a.test", "b.test", "c.test", "d.test"];
    let current = ArcSwap::from_pointee(snapshot(names.iter().map(|name| host(name, &[])).collect()));
    std::thread::scope(|scope| {
        for name in names {
            let current = &current;
            scope.spawn(move || {
                for _ in 0..EACH {
                    publish(current, |snapshot| {
                        let row = snapshot.hosts.iter().position(|host| &*host.name == name)?;
                        let mut longer = snapshot.hosts[row].addresses.to_vec();
                        longer.push(IpAddr::from([192, 0, 2, 1]));
                        with_addresses(snapshot, name, &longer)
                    });
                }
            });
        }
    });
    for name in names {
        assert_eq!(addresses_of(&current.load(), name).map(<[IpAddr]>::len), Some(EACH), "{name}");
    }
    assert!(!publish(&current, |_| None));
}
