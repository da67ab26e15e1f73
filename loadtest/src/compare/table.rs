//! The figures of a run: medians over rounds, ratios within a round, and what noise there is.
//!
//! Deliberately absent: judgement, which is `verdict`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::contender::Kind;
use super::instructions::Instructions;
use super::sample::{Sample, added, latencies, median, ratio};
use super::verdict;
use super::weigh::Weight;
use super::workload::Workload;
use crate::report;

/// One contender under one workload.
#[derive(Debug, Default)]
struct Series {
    samples: Vec<Sample>,
    calls: Option<f64>,
}

/// One workload.
#[derive(Debug)]
struct Group {
    workload: Workload,
    /// By the contender's place in [`Kind::ALL`].
    series: BTreeMap<usize, Series>,
}

/// All figures.
#[derive(Debug, Default)]
pub(super) struct Results {
    groups: Vec<Group>,
    idle: BTreeMap<usize, u64>,
    weights: BTreeMap<usize, Weight>,
    instructions: Option<Instructions>,
    notes: Vec<String>,
    spoilt: u64,
}

/// What is printed of one contender under one workload.
struct Row {
    name: &'static str,
    rate: f64,
    micros: Option<f64>,
    /// CPU microseconds of the best round: other processes can only add to it.
    lowest: Option<f64>,
    user: Option<f64>,
    /// CPU ÷ the base's of the same round: median, lowest, highest.
    ratio: Option<[f64; 3]>,
    /// Microseconds at 50, 99 and 99.9 %, and how much of them is beyond `direct`'s.
    at: [Option<f64>; 3],
    added: [Option<f64>; 3],
    calls: Option<f64>,
    memory: Option<u64>,
    rig_busy: f64,
    /// Share of the time that the contender was ready and another process had its core.
    waited: Option<f64>,
}

fn place(kind: Kind) -> usize {
    Kind::ALL.iter().position(|known| *known == kind).expect("every kind is in the list of all")
}

impl Results {
    /// Something the reader should know. Said once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// A window that failed and is not counted.
    pub(super) fn spoil(&mut self, why: String) {
        self.spoilt += 1;
        self.note(format!("a window is not counted: {why}"));
    }

    pub(super) fn spoilt(&self) -> u64 {
        self.spoilt
    }

    /// Resident bytes before any load.
    pub(super) fn idle(&mut self, kind: Kind, bytes: u64) {
        self.idle.insert(place(kind), bytes);
    }

    /// Memory per connection and stream.
    pub(super) fn weighed(&mut self, kind: Kind, weight: Weight) {
        self.weights.insert(place(kind), weight);
    }

    pub(super) fn weight(&self, kind: Kind) -> Option<Weight> {
        self.weights.get(&place(kind)).copied()
    }

    /// Instructions of Millrace.
    pub(super) fn counted(&mut self, instructions: Instructions) {
        self.instructions = Some(instructions);
    }

    pub(super) fn instructions(&self) -> Option<Instructions> {
        self.instructions
    }

    pub(super) fn add(&mut self, workload: Workload, kind: Kind, sample: Sample) {
        let at = self.groups.iter().position(|group| group.workload == workload).unwrap_or_else(|| {
            self.groups.push(Group { workload, series: BTreeMap::new() });
            self.groups.len() - 1
        });
        self.groups[at].series.entry(place(kind)).or_default().samples.push(sample);
    }

    /// System calls per answer or event.
    pub(super) fn calls(&mut self, workload: Workload, kind: Kind, each: f64) {
        let group = self.groups.iter_mut().find(|group| group.workload == workload);
        if let Some(series) = group.and_then(|group| group.series.get_mut(&place(kind))) {
            series.calls = Some(each);
        }
    }

    /// The windows of one contender under one workload; none if it did not take part.
    pub(super) fn samples(&self, workload: Workload, kind: Kind) -> &[Sample] {
        let group = self.groups.iter().find(|group| group.workload == workload);
        group.map_or(&[], |group| group.samples(kind))
    }

    /// Microseconds at 50, 99 and 99.9 % beyond `direct`'s.
    pub(super) fn added(&self, workload: Workload, kind: Kind) -> [Option<f64>; 3] {
        added(self.samples(workload, kind), self.samples(workload, Kind::Direct))
    }

    /// The median rate of the slowest contender under a workload.
    pub(super) fn slowest_rate(&self, workload: Workload) -> Option<f64> {
        let rates = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Direct);
        let rates =
            rates.filter_map(|kind| median(self.samples(workload, kind).iter().map(Sample::rate).collect()));
        rates.min_by(f64::total_cmp)
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        self.groups.iter().for_each(|group| group.print(&mut text));
        line(&mut text, &format!("\n{:<16} {:>10} {:>20}", "memory (VmRSS)", "idle", "largest under load"));
        for (at, idle) in &self.idle {
            let samples = self.groups.iter().filter_map(|group| group.series.get(at));
            let most = samples.flat_map(|series| &series.samples).filter_map(|sample| sample.memory).max();
            let most = most.map_or_else(|| "-".to_owned(), report::bytes);
            line(
                &mut text,
                &format!("{:<16} {:>10} {most:>20}", Kind::ALL[*at].name(), report::bytes(*idle)),
            );
        }
        line(&mut text, &format!("\n{:<16} {:>10} {:>20}", "memory for each", "idle", "active stream"));
        for (at, weight) in &self.weights {
            let [idle, stream] =
                [weight.idle_bytes, weight.stream_bytes].map(|each| report::bytes_each(Some(each)));
            line(&mut text, &format!("{:<16} {idle:>10} {stream:>20}", Kind::ALL[*at].name()));
        }
        if let Some(Instructions { per_request, per_event }) = self.instructions {
            line(
                &mut text,
                &format!(
                    "\ninstructions of millrace: {per_request:.0} per request, {per_event:.0} per event"
                ),
            );
        }
        text.push_str(&verdict::table(self));
        text.push('\n');
        let samples =
            || self.groups.iter().flat_map(|group| group.series.values()).flat_map(|one| &one.samples);
        let disturbed = samples().filter(|sample| sample.is_disturbed()).count();
        if disturbed > 0 {
            let all = samples().count();
            line(
                &mut text,
                &format!(
                    "note: in {disturbed} of {all} windows other processes took a core; \
                     their latencies are left out"
                ),
            );
        }
        self.notes.iter().for_each(|note| line(&mut text, &format!("note: {note}")));
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let machine: Value = serde_json::from_str(&report::machine()).unwrap_or(Value::Null);
        let groups: Vec<Value> = self.groups.iter().map(Group::json).collect();
        let idle: BTreeMap<&str, u64> =
            self.idle.iter().map(|(at, bytes)| (Kind::ALL[*at].name(), *bytes)).collect();
        let weights = self.weights.iter().map(|(at, weight)| {
            json!({ "contender": Kind::ALL[*at].name(), "idle_connection_bytes": weight.idle_bytes,
                "stream_bytes": weight.stream_bytes })
        });
        let instructions = self
            .instructions
            .map(|count| json!({ "per_request": count.per_request, "per_event": count.per_event }));
        let all = json!({ "machine": machine, "verdict": verdict::json(self), "workloads": groups,
            "idle_bytes": idle, "memory": weights.collect::<Vec<_>>(), "instructions": instructions,
            "notes": self.notes, "windows_spoilt": self.spoilt });
        format!("{all:#}\n")
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// A figure, or a dash.
fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

impl Group {
    fn samples(&self, kind: Kind) -> &[Sample] {
        self.series.get(&place(kind)).map_or(&[], |series| &series.samples)
    }

    fn rows(&self) -> Vec<Row> {
        self.series.iter().map(|(at, series)| self.row(Kind::ALL[*at], series)).collect()
    }

    fn row(&self, kind: Kind, series: &Series) -> Row {
        let samples = &series.samples;
        let [base, _] = self.workload.base();
        let micros = median(samples.iter().filter_map(Sample::micros).collect());
        // Ticks are coarse beside a window, so their share is taken over all windows together.
        let spent = || samples.iter().filter_map(|sample| sample.spent);
        let user = spent().map(|spent| spent.user * spent.seconds).sum::<f64>()
            / spent().map(|spent| spent.seconds).sum::<f64>().max(f64::MIN_POSITIVE);
        let waited = samples.iter().filter_map(|sample| Some(sample.spent?.waited / sample.seconds));
        let told = self.workload.has_latencies();
        Row {
            name: kind.name(),
            rate: median(samples.iter().map(Sample::rate).collect()).unwrap_or(0.0),
            micros,
            user: micros.map(|micros| micros * user),
            lowest: samples.iter().filter_map(Sample::micros).min_by(f64::total_cmp),
            waited: median(waited.collect()),
            ratio: ratio(samples, self.samples(base), Sample::micros),
            at: if told { latencies(samples) } else { [None; 3] },
            added: if told { added(samples, self.samples(Kind::Direct)) } else { [None; 3] },
            calls: series.calls,
            memory: samples.iter().filter_map(|sample| sample.memory).max(),
            rig_busy: median(samples.iter().map(|sample| sample.rig_busy).collect()).unwrap_or(0.0),
        }
    }

    fn print(&self, text: &mut String) {
        let unit = format!("{}s/s", self.workload.unit());
        let base = format!("÷ {}", self.workload.base()[0].name());
        line(text, &format!("\n{}: {}", self.workload.name(), self.workload.title()));
        line(
            text,
            &format!(
                "{:<12} {unit:>10} {:>7} {:>7} {:>6} {:>6} {base:>7} {:>11} {:>8} {:>8} {:>8} {:>8} {:>8} \
                 {:>6} {:>4} {:>4}",
                "",
                "CPU µs",
                "lowest",
                "user",
                "system",
                "(low-high)",
                "p50 µs",
                "p99 µs",
                "+p50",
                "+p99",
                "+p99.9",
                "calls",
                "rig",
                "wait"
            ),
        );
        for row in self.rows() {
            let spread =
                row.ratio.map_or_else(|| "-".to_owned(), |[_, low, high]| format!("{low:.2}-{high:.2}"));
            let percent = |share: Option<f64>| {
                share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
            };
            line(
                text,
                &format!(
                    "{:<12} {:>10.0} {:>7} {:>7} {:>6} {:>6} {:>7} {spread:>11} {:>8} {:>8} {:>8} {:>8} \
                     {:>8} {:>6} {:>4} {:>4}",
                    row.name,
                    row.rate,
                    figure(row.micros, 2),
                    figure(row.lowest, 2),
                    figure(row.user, 2),
                    figure(row.micros.zip(row.user).map(|(all, user)| all - user), 2),
                    figure(row.ratio.map(|ratio| ratio[0]), 3),
                    figure(row.at[0], 1),
                    figure(row.at[1], 1),
                    figure(row.added[0], 1),
                    figure(row.added[1], 1),
                    figure(row.added[2], 1),
                    figure(row.calls, 2),
                    percent(Some(row.rig_busy)),
                    percent(row.waited),
                ),
            );
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows().into_iter().zip(self.series.values()).map(|(row, series)| {
            let micros: Vec<Option<f64>> = series.samples.iter().map(Sample::micros).collect();
            let rates: Vec<f64> = series.samples.iter().map(Sample::rate).collect();
            let p99: Vec<f64> = series.samples.iter().map(|sample| sample.percentiles()[1]).collect();
            json!({
                "contender": row.name, "per_second": row.rate, "cpu_us": row.micros,
                "cpu_lowest_us": row.lowest,
                "cpu_user_us": row.user,
                "ratio": row.ratio.map(|ratio| ratio[0]), "ratio_low": row.ratio.map(|ratio| ratio[1]),
                "ratio_high": row.ratio.map(|ratio| ratio[2]),
                "p50_us": row.at[0], "p99_us": row.at[1], "p999_us": row.at[2],
                "added_p50_us": row.added[0], "added_p99_us": row.added[1], "added_p999_us": row.added[2],
                "system_calls": row.calls, "resident_bytes": row.memory, "rig_busy": row.rig_busy,
                "waited": row.waited,
                "rounds": { "cpu_us": micros, "per_second": rates, "p99_us": p99 },
            })
        });
        json!({ "workload": self.workload.name(), "title": self.workload.title(),
            "ratio_to": self.workload.base()[0].name(), "contenders": rows.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::sample::sample;

    #[test]
    fn figures_are_per_piece_and_beside_the_floor_of_their_round() {
        let mut results = Results::default();
        for (kind, cpu, nanos) in [
            (Kind::Direct, [0.0, 0.0], 10_000),
            (Kind::Floor, [0.010, 0.020], 30_000),
            (Kind::Millrace, [0.012, 0.022], 50_000),
        ] {
            for (round, cpu) in (0..).zip(cpu) {
                results.add(Workload::Half, kind, sample(round, cpu, nanos));
            }
        }
        results.calls(Workload::Half, Kind::Millrace, 0.5);
        assert!((results.slowest_rate(Workload::Half).unwrap() - 2000.0).abs() < 1e-9);
        assert_eq!(results.slowest_rate(Workload::Chat), None);
        let rows = results.groups[0].rows();
        let row = rows.iter().find(|row| row.name == "millrace").unwrap();
        let [ratio, low, high] = row.ratio.unwrap();
        assert!((row.micros.unwrap() - 17.0).abs() < 1e-9, "{:?}", row.micros);
        assert!((row.user.unwrap() - 4.25).abs() < 1e-9, "{:?}", row.user);
        assert!((low - 1.1).abs() < 1e-9 && (high - 1.2).abs() < 1e-9 && (ratio - 1.15).abs() < 1e-9);
        assert!((row.added[1].unwrap() - 40.0).abs() < 0.1, "{:?}", row.added);
        assert!(rows[0].micros.is_none() && rows[0].ratio.is_none());
        let table = results.table();
        assert!(
            table.contains("millrace") && table.contains("1.150") && table.contains("1.10-1.20"),
            "{table}"
        );
        let json: Value = serde_json::from_str(&results.json()).unwrap();
        assert_eq!(json["workloads"][0]["contenders"][2]["system_calls"], 0.5);
    }

    #[test]
    fn a_spoilt_window_is_said_and_counted() {
        let mut results = Results::default();
        results.spoil("status 502".to_owned());
        results.spoil("status 502".to_owned());
        assert_eq!((results.spoilt(), results.notes.len()), (2, 1));
    }
}
