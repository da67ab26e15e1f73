//! The page: figures side by side and plots over time, in one file that needs nothing else.
//!
//! Deliberately absent: scripts, fonts and pictures from elsewhere.

use core::fmt::Write;

use super::plot::{Plot, Series};
use super::rows::{FIGURES, Value, lines, share_of};
use super::{Run, usd};
use crate::control::simulate::Tally;
use crate::control::simulate::clock::span_text;
use crate::control::simulate::tally::{Part, Slot};

/// Providers with a colour of their own; the others share one.
const COLOURS: usize = 8;
/// Providers and models in the page's tables.
const LINES_MOST: usize = 40;

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c2430;--soft:#5c6b7c;--grid:#8795a455;--bg:#fff;\
--c0:#0b62c4;--c1:#d9730d;--c2:#2f9e62;--c3:#a63fb5;--c4:#c9a70a;--c5:#12909e;--c6:#c43a4b;--c7:#6b5bd0;\
--c8:#9aa8b7}\
@media(prefers-color-scheme:dark){:root{--fg:#e6ebf1;--soft:#9aa8b7;--bg:#14181d;\
--c0:#5ea4f2;--c1:#f2a45a;--c2:#5fcf97;--c3:#d283de;--c4:#e3c94a;--c5:#55c5d1;--c6:#f07f8c;--c7:#a297f5;\
--c8:#6b7886}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);\
max-width:920px;margin:2rem auto;padding:0 1rem}\
h1{margin:0;font-size:1.6rem}h2{font-size:1.1rem;margin:2rem 0 0}p{color:var(--soft);margin:.3rem 0}\
svg{width:100%;height:auto;margin:.8rem 0}.wide{overflow-x:auto}\
table{border-collapse:collapse;margin:.8rem 0;width:100%}\
td,th{padding:.2rem .5rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}\
td:first-child,th:first-child{text-align:left}td{font-variant-numeric:tabular-nums}\
text{font:12px system-ui,sans-serif;fill:var(--soft)}.title{font-weight:600;fill:var(--fg)}\
.x{text-anchor:middle}.y{text-anchor:end}.grid{stroke:var(--grid);fill:none}\
.line{fill:none;stroke-width:2;stroke-linejoin:round}\
.line.b{stroke-dasharray:5 3}";

/// A name, and a value to each slot.
type Curve = (&'static str, Vec<Option<f64>>);

/// The report as an HTML document.
#[must_use]
pub fn page(run: &Run) -> String {
    let names: Vec<String> = run.tallies.iter().map(|tally| escape(&tally.name)).collect();
    let title = names.join(" and ");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}: simulation</title>\
         <style>{STYLE}{}</style></head>\n<body><h1>{title}</h1>\
         <p>{} requests over {} from {}; seed {}, cores {}</p>\n",
        classes(),
        super::grouped(&run.tallies[0].requests.to_string()),
        span_text(run.length),
        escape(&run.traffic),
        run.seed,
        run.cores
    );
    figures(&mut out, run, &names);
    out.push_str("<h2>Over time</h2>\n");
    for svg in plots(run) {
        out.push_str(&svg);
        out.push('\n');
    }
    parts(&mut out, run, &names, "Providers", |tally| &tally.providers);
    parts(&mut out, run, &names, "Models", |tally| &tally.models);
    out.push_str(
        "<p>Endpoints behave as the world file says, or as guessed from the catalogue. Times to the first \
         token are those of streams, failovers included.</p></body></html>\n",
    );
    out
}

/// One class to a colour, for lines and for areas.
fn classes() -> String {
    let one =
        |turn: usize| format!(".line.c{turn}{{stroke:var(--c{turn})}}.fill.c{turn}{{fill:var(--c{turn})}}");
    (0..=COLOURS).map(one).collect()
}

fn figures(out: &mut String, run: &Run, names: &[String]) {
    // Writing to a string cannot fail.
    out.push_str("<table><tr><th></th>");
    for name in names {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str(if names.len() == 2 { "<th>difference</th></tr>" } else { "</tr>" });
    for (name, figure) in FIGURES {
        let values: Vec<Value> = run.tallies.iter().map(figure).collect();
        let _ = write!(out, "<tr><td>{name}</td>");
        for value in &values {
            let _ = write!(out, "<td>{}</td>", value.text());
        }
        if let [one, two] = values[..] {
            let _ = write!(out, "<td>{}</td>", one.difference(two));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>\n");
}

fn parts(out: &mut String, run: &Run, names: &[String], title: &str, of: fn(&Tally) -> &[Part]) {
    let _ = write!(out, "<h2>{title}</h2><div class=\"wide\"><table><tr><th></th>");
    for name in names {
        let _ = write!(
            out,
            "<th>share, {name}</th><th>cost</th><th>p50</th><th>p95</th><th>tokens/s</th><th>failed</th>"
        );
    }
    out.push_str("</tr>");
    let all = lines(run, of);
    for line in all.iter().take(LINES_MOST) {
        let _ = write!(out, "<tr><td>{}</td>", escape(line.name));
        for (part, tally) in line.parts.iter().zip(&run.tallies) {
            let Some(part) = part else {
                out.push_str(&"<td>-</td>".repeat(6));
                continue;
            };
            let ttft = |at| Value::Time(part.ttft_us.quantile(at)).text();
            let speed = part.speed.quantile(0.5).map(|thousandths| thousandths / 1_000.0);
            let _ = write!(
                out,
                "<td>{:.1} %</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                share_of(Some(part), tally) * 100.0,
                usd(part.cost),
                ttft(0.5),
                ttft(0.95),
                Value::Speed(speed).text(),
                Value::Count(part.attempts_failed).text()
            );
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>\n");
    if all.len() > LINES_MOST {
        let _ = writeln!(out, "<p>and {} more</p>", all.len() - LINES_MOST);
    }
}

fn plots(run: &Run) -> Vec<String> {
    let ticks = ticks(run);
    // Colours go by the order over both policies, so that a provider has the same one in both.
    let order: Vec<&str> = lines(run, |tally| &tally.providers).iter().map(|line| line.name).collect();
    let mut plots: Vec<String> = run.tallies.iter().map(|tally| shares(tally, &order, &ticks)).collect();
    let lines = |title, label, of: &dyn Fn(&Tally) -> Vec<Curve>| {
        let mut series = Vec::new();
        for (turn, tally) in run.tallies.iter().enumerate() {
            for (place, (name, values)) in of(tally).into_iter().enumerate() {
                let class = format!("c{place}{}", if turn == 1 { " b" } else { "" });
                let whose = if run.tallies.len() > 1 { format!(", {}", tally.name) } else { String::new() };
                series.push(Series { name: format!("{name}{whose}"), values, class });
            }
        }
        Plot { title, ticks: &ticks, top: None, label, series, stacked: false }.svg()
    };
    plots.push(lines("Time to the first token", super::time, &|tally| {
        let at = |share: f64| tally.slots.iter().map(|slot| slot.ttft_us.quantile(share)).collect();
        vec![("p50", at(0.5)), ("p95", at(0.95))]
    }));
    plots.push(lines(
        "Failures",
        |count| if count < 10.0 { format!("{count:.1}") } else { format!("{count:.0}") },
        &|tally| {
            let failed = |slot: &Slot| Some(slot.providers.iter().map(|cell| f64::from(cell.failed)).sum());
            let visible = tally.slots.iter().map(|slot| Some(f64::from(slot.visible)));
            vec![
                ("seen by clients", visible.collect()),
                ("attempts", tally.slots.iter().map(failed).collect()),
            ]
        },
    ));
    plots.push(lines("Cost so far", |dollars| format!("${dollars:.2}"), &|tally| {
        let mut sum = 0_i128;
        let so_far = tally.slots.iter().map(|slot| {
            sum += slot.cost.0;
            Some(sum as f64 / 1e12)
        });
        vec![("cost", so_far.collect())]
    }));
    plots
}

/// Which share of the answers came from whom.
fn shares(tally: &Tally, order: &[&str], ticks: &[(f64, String)]) -> String {
    let place = |name: &str| order.iter().position(|one| *one == name).unwrap_or(COLOURS).min(COLOURS);
    let mut series: Vec<Series> = (0..=COLOURS)
        .map(|turn| Series {
            name: order.get(turn).filter(|_| turn < COLOURS).map_or("others", |name| name).to_owned(),
            values: vec![Some(0.0); tally.slots.len()],
            class: format!("c{turn}"),
        })
        .collect();
    for (at, slot) in tally.slots.iter().enumerate() {
        let all: u32 = slot.providers.iter().map(|cell| cell.served).sum();
        for (part, cell) in tally.providers.iter().zip(&slot.providers) {
            if let Some(value) = &mut series[place(&part.name)].values[at] {
                *value += f64::from(cell.served) / f64::from(all.max(1));
            }
        }
    }
    series.retain(|one| one.values.iter().flatten().any(|value| *value > 0.0));
    let title = format!("Share of answers by provider, {}", tally.name);
    let label = |share: f64| format!("{:.0} %", share * 100.0);
    Plot { title: &title, ticks, top: Some(1.0), label, series, stacked: true }.svg()
}

/// Six points in time, as hours and minutes of the run's own length.
fn ticks(run: &Run) -> Vec<(f64, String)> {
    let seconds = run.length.as_secs_f64();
    let text = |at: f64| match at {
        at if seconds < 300.0 => format!("{at:.0} s"),
        at if seconds < 10_800.0 => format!("{:.0} min", at / 60.0),
        at if seconds < 400_000.0 => format!("{:.1} h", at / 3_600.0),
        at => format!("{:.1} d", at / 86_400.0),
    };
    (0..=6).map(|part| f64::from(part) / 6.0).map(|part| (part, text(part * seconds))).collect()
}

/// Text that may stand in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
