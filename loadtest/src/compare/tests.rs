//! The choice of workloads and contenders, and a run of the floor for a moment.
//!
//! Deliberately absent: other programs, which need not be installed where tests run.

use std::net::TcpListener;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(line: &str) -> Options {
    let words = std::iter::once("compare").chain(line.split_whitespace());
    Line::try_parse_from(words).unwrap().options
}

#[test]
fn workloads_are_chosen_in_order() {
    for (line, want) in [
        ("", "chat low half high large stream burst tls-chat tls-stream gateways"),
        ("--quick --workloads tls-chat,chat", "chat tls-chat"),
        ("--workloads burst,half", "chat half burst"),
        ("--quick --workloads large", "large"),
    ] {
        let names: Vec<&str> =
            chosen_workloads(&options(line)).unwrap().into_iter().map(Workload::name).collect();
        assert_eq!(names.join(" "), want, "{line}");
    }
    assert!(chosen_workloads(&options("--workloads chatt")).is_err());
}

#[test]
fn the_floor_always_takes_part() {
    for (line, want) in [
        ("", "direct floor floor again millrace nginx nginx again haproxy litellm portkey"),
        ("--only nginx", "direct floor floor again nginx nginx again"),
        ("--only millrace", "direct floor floor again millrace"),
    ] {
        let names: Vec<&str> = chosen_kinds(&options(line)).unwrap().into_iter().map(Kind::name).collect();
        assert_eq!(names.join(" "), want, "{line}");
    }
    assert!(chosen_kinds(&options("--only apache")).is_err());
}

#[test]
fn direct_is_measured_and_a_dead_contender_is_said() {
    let mut rig = Rig::new(contender::KEY).expect("io_uring of Linux 6.1 or newer");
    let scratch = Scratch::new().unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut places = Places {
        origin: rig.origins().unwrap()[0],
        secure_origin: rig.origins().unwrap()[1],
        millrace: scratch.0.join("none"),
        scratch: scratch.0.clone(),
        contender_cpu: 0,
        rig_cpu: 0,
    };
    assert!(contender::start(Kind::Millrace, &places).unwrap_err().contains("does not exist"));
    let direct = contender::start(Kind::Direct, &places).unwrap();
    places.origin = dead;
    let gone = contender::start(Kind::Direct, &places).unwrap();
    let options = options("--quick --window-ms 60 --rounds 2 --workloads low,stream");
    let (mut results, contenders) = (Results::default(), [direct, gone]);
    let mut run = Run::new(&options, &mut rig, &contenders, &mut results);
    run.all(&[Workload::Half, Workload::Stream]);
    assert_eq!(results.spoilt(), 4, "{}", results.table());
    let done =
        |workload| results.samples(workload, Kind::Direct).iter().map(|sample| sample.done).sum::<u64>();
    assert!(done(Workload::Stream) > 50 && results.samples(Workload::Half, Kind::Direct).len() == 2);
    let folder = scratch.0.clone();
    drop(scratch);
    assert!(!folder.exists());
}
