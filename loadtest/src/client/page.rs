//! The page: counts, a table, and plots, in one file that needs nothing else.
//!
//! Deliberately absent: scripts, fonts and pictures from elsewhere.

use core::fmt::Write;

use hdrhistogram::Histogram;

use super::figures::{Figures, quantile_us};
use super::plot::{Series, Unit, plot};
use super::report::{Report, time};

/// Colours are told apart without their hue as well, by lightness.
const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c2430;--soft:#5c6b7c;--grid:#d9e0e7;--bg:#fff;\
--a:#0b62c4;--b:#d9730d;--c:#2f9e62}\
@media(prefers-color-scheme:dark){:root{--fg:#e6ebf1;--soft:#9aa8b7;--grid:#333d48;--bg:#14181d;\
--a:#6fb1ff;--b:#ffb36b;--c:#6fdca4}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);\
max-width:780px;margin:2rem auto;padding:0 1rem}\
h1{margin:0;font-size:1.6rem}p{color:var(--soft);margin:.3rem 0}svg{width:100%;height:auto;margin:1rem 0}\
table{border-collapse:collapse;margin:1.2rem 0;width:100%}\
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--grid)}\
td:first-child,th:first-child{text-align:left}td{font-variant-numeric:tabular-nums}\
.bad{color:var(--b);font-weight:600}\
text{font:12px system-ui,sans-serif;fill:var(--soft)}.title{font-weight:600;fill:var(--fg)}\
.x{text-anchor:middle}.y{text-anchor:end}.grid{stroke:var(--grid);fill:none}\
.line{fill:none;stroke-width:2;stroke-linejoin:round}\
.c0{stroke:var(--a)}.c1{stroke:var(--b)}.c2{stroke:var(--c)}";

/// The page of a run.
pub(super) fn page(report: &Report, figures: &Figures) -> String {
    let title = escape(&report.scenario);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}: load test</title>\
         <style>{STYLE}</style></head>\n<body>\
         <h1>{title}</h1><p>{}</p><p>{} to {} for {:.1} s</p><p>{}</p>\n",
        escape(&report.about),
        report.load_text(),
        escape(&report.targets.join(", ")),
        report.seconds,
        escape(&machine(&report.machine)),
    );
    // Writing to a string cannot fail.
    out.push_str("<table>");
    for (name, value) in report.counts() {
        let class = if name == "failures" && !report.failures.is_empty() { " class=\"bad\"" } else { "" };
        let _ = write!(out, "<tr><td>{name}</td><td{class}>{}</td></tr>", escape(&value));
    }
    for (text, count) in &report.failures {
        let _ = write!(out, "<tr><td class=\"bad\">{}</td><td class=\"bad\">{count}</td></tr>", escape(text));
    }
    out.push_str(
        "</table>\n<table><tr><th></th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>",
    );
    for (name, spread) in report.rows() {
        let _ = write!(out, "<tr><td>{name}</td>");
        for value in [spread.p50, spread.p90, spread.p99, spread.p999, spread.max] {
            let _ = write!(out, "<td>{}</td>", time(value));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>\n");
    for svg in plots(report, figures) {
        out.push_str(&svg);
        out.push('\n');
    }
    out.push_str(
        "<p>Corrected times count from the moment at which a request was meant to be sent, raw ones from the \
         moment at which it was. One way is from the time that the origin wrote into an event to the \
         client's reading it, by one clock.</p></body></html>\n",
    );
    out
}

fn machine(machine: &serde_json::Value) -> String {
    let text = |name: &str| machine[name].as_str().unwrap_or("unknown").to_owned();
    format!("{}, {} cores, Linux {}", text("cpu"), machine["cores"], text("kernel"))
}

fn plots(report: &Report, figures: &Figures) -> Vec<String> {
    let mut plots = Vec::new();
    let mut curves = |title: &str, all: &[(&'static str, Option<&Histogram<u64>>)]| {
        let full = |(name, times): &(&'static str, Option<&Histogram<u64>>)| {
            times.filter(|times| !times.is_empty()).map(|times| Series { name, points: curve(times) })
        };
        let lines: Vec<Series> = all.iter().filter_map(full).collect();
        if !lines.is_empty() {
            plots.push(plot(title, "percentile", &percentiles(), Unit::Time, &lines));
        }
    };
    let open = report.send_delay_us.is_some();
    let (latency, first) = (&figures.latency, &figures.first_token);
    curves("Whole answer", &[("corrected", open.then_some(&latency.corrected)), ("raw", Some(&latency.raw))]);
    if report.stream {
        curves("First token", &[("corrected", open.then_some(&first.corrected)), ("raw", Some(&first.raw))]);
        curves("Events", &[("gap", Some(&figures.gap)), ("one way", Some(&figures.one_way))]);
    } else {
        curves("One way, origin to client", &[("one way", Some(&figures.one_way))]);
    }
    if figures.timeline.len() > 1 {
        let over = |value: fn(&super::figures::Second) -> f64| {
            figures.timeline.iter().map(|second| (second.at_s, value(second))).collect()
        };
        let end = figures.timeline.last().map_or(1.0, |second| second.at_s);
        let ticks: Vec<(f64, String)> = (0..=5)
            .map(|part| end * f64::from(part) / 5.0)
            .map(|at_s| (at_s, format!("{at_s:.1}")))
            .collect();
        let what = if report.stream { "events" } else { "answers" };
        let count = if report.stream {
            over(|second| second.events as f64)
        } else {
            over(|second| second.requests as f64)
        };
        let counts = [
            Series { name: what, points: count },
            Series { name: "failures", points: over(|second| second.failures as f64) },
        ];
        plots.push(plot("Every second", "seconds", &ticks, Unit::Count, &counts));
        let times = [
            Series { name: "p50", points: over(|second| second.p50_us) },
            Series { name: "p99", points: over(|second| second.p99_us) },
        ];
        let title = if report.stream { "One way, every second" } else { "Whole answer, every second" };
        plots.push(plot(title, "seconds", &ticks, Unit::Time, &times));
    }
    plots
}

/// The horizontal axis of a curve counts nines: 0 is 0 %, 1 is 90 %, 2 is 99 %.
fn percentiles() -> Vec<(f64, String)> {
    let labels = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"];
    (0..).zip(labels).map(|(nines, label)| (f64::from(nines), label.to_owned())).collect()
}

fn curve(times: &Histogram<u64>) -> Vec<(f64, f64)> {
    let nines = |part: u32| f64::from(part) / 20.0;
    // No further than there are values to tell: the last one stands for itself.
    let most = (times.len() as f64).log10().min(4.0);
    let share = |nines: f64| 1.0 - 10_f64.powf(-nines);
    (0..=80).map(nines).filter(|at| *at <= most).map(|at| (at, quantile_us(times, share(at)))).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
