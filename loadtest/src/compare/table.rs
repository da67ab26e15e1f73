//! The figures of a run: medians over rounds, ratios to the floor of the same round, and what noise there is.
//!
//! Deliberately absent: judgement; the reader compares.

use core::fmt::Write;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::accounting::Spent;
use super::contender::Kind;
use crate::report;

/// One window.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) round: u32,
    /// Answers or events.
    pub(super) done: u64,
    pub(super) seconds: f64,
    /// CPU time of the contender; none for `direct`.
    pub(super) spent: Option<Spent>,
    pub(super) nanos: Histogram<u64>,
    /// Resident bytes at the end of the window, under load.
    pub(super) memory: Option<u64>,
    /// Share of its core that the rig used; near 1 it is the rig that limits the rate.
    pub(super) rig_busy: f64,
}

impl Sample {
    fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// True if the contender waited for its core for more than a twentieth of the time.
    fn is_disturbed(&self) -> bool {
        self.spent.is_some_and(|spent| spent.waited > self.seconds / 20.0)
    }

    /// CPU microseconds per answer or event.
    fn micros(&self) -> Option<f64> {
        Some(self.spent?.seconds * 1e6 / self.done as f64)
    }
}

/// One contender under one workload.
#[derive(Debug, Default)]
struct Series {
    samples: Vec<Sample>,
    calls: Option<f64>,
}

/// One workload.
#[derive(Debug)]
struct Group {
    name: &'static str,
    title: &'static str,
    /// By the contender's place in [`Kind::ALL`].
    series: BTreeMap<usize, Series>,
}

/// All figures.
#[derive(Debug, Default)]
pub(super) struct Results {
    groups: Vec<Group>,
    idle: BTreeMap<usize, u64>,
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
    /// CPU ÷ the floor's of the same round: median, lowest, highest.
    ratio: Option<[f64; 3]>,
    /// Microseconds at 50, 99 and 99.9 % beyond `direct`'s.
    added: [f64; 3],
    calls: Option<f64>,
    memory: Option<u64>,
    rig_busy: f64,
    /// Share of the time that the contender was ready and another process had its core.
    waited: Option<f64>,
}

fn place(kind: Kind) -> usize {
    Kind::ALL.iter().position(|known| *known == kind).expect("every kind is in the list of all")
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
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

    pub(super) fn add(&mut self, name: &'static str, title: &'static str, kind: Kind, sample: Sample) {
        let at = self.groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
            self.groups.push(Group { name, title, series: BTreeMap::new() });
            self.groups.len() - 1
        });
        self.groups[at].series.entry(place(kind)).or_default().samples.push(sample);
    }

    /// System calls per answer or event.
    pub(super) fn calls(&mut self, name: &str, kind: Kind, each: f64) {
        let group = self.groups.iter_mut().find(|group| group.name == name);
        if let Some(series) = group.and_then(|group| group.series.get_mut(&place(kind))) {
            series.calls = Some(each);
        }
    }

    /// The lowest of the contenders' median rates under a workload.
    pub(super) fn slowest_rate(&self, name: &str) -> f64 {
        let group = self.groups.iter().find(|group| group.name == name);
        let rates = group
            .into_iter()
            .flat_map(|group| group.series.values())
            .filter_map(|series| median(series.samples.iter().map(Sample::rate).collect()));
        // Without any the open loop is idle rather than endless.
        rates.min_by(f64::total_cmp).unwrap_or(2.0)
    }

    /// For a terminal.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        for group in &self.groups {
            group.print(&mut text);
        }
        line(&mut text, "\nmemory (VmRSS)      idle   largest under load");
        for (at, idle) in &self.idle {
            let loads = self.groups.iter().filter_map(|group| group.series.get(at));
            let most = loads.flat_map(|series| &series.samples).filter_map(|sample| sample.memory).max();
            let most = most.map_or_else(|| "-".to_owned(), report::bytes);
            line(
                &mut text,
                &format!("{:<12} {:>11}   {most:>11}", Kind::ALL[*at].name(), report::bytes(*idle)),
            );
        }
        line(&mut text, "");
        let samples =
            || self.groups.iter().flat_map(|group| group.series.values()).flat_map(|one| &one.samples);
        let disturbed = samples().filter(|sample| sample.is_disturbed()).count();
        if disturbed > 0 {
            let all = samples().count();
            line(
                &mut text,
                &format!("note: in {disturbed} of {all} windows other processes used the contender's core"),
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
        let all = json!({ "machine": machine, "workloads": groups, "idle_bytes": idle, "notes": self.notes,
            "windows_spoilt": self.spoilt });
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
    fn rows(&self) -> Vec<Row> {
        let direct = self.series.get(&place(Kind::Direct)).map(|series| percentiles(&series.samples));
        let floor = self.series.get(&place(Kind::Floor));
        let rows = self.series.iter().map(|(at, series)| {
            let samples = &series.samples;
            let micros = median(samples.iter().filter_map(Sample::micros).collect());
            // Ticks are coarse beside a window, so their share is taken over all windows together.
            let spent = || samples.iter().filter_map(|sample| sample.spent);
            let user = spent().map(|spent| spent.user * spent.seconds).sum::<f64>()
                / spent().map(|spent| spent.seconds).sum::<f64>().max(f64::MIN_POSITIVE);
            let waited = samples.iter().filter_map(|sample| Some(sample.spent?.waited / sample.seconds));
            let own = percentiles(samples);
            let base = direct.unwrap_or_default();
            Row {
                name: Kind::ALL[*at].name(),
                rate: median(samples.iter().map(Sample::rate).collect()).unwrap_or(0.0),
                micros,
                user: micros.map(|micros| micros * user),
                lowest: samples.iter().filter_map(Sample::micros).min_by(f64::total_cmp),
                waited: median(waited.collect()),
                ratio: floor.and_then(|floor| ratio(samples, &floor.samples)),
                added: [own[0] - base[0], own[1] - base[1], own[2] - base[2]],
                calls: series.calls,
                memory: samples.iter().filter_map(|sample| sample.memory).max(),
                rig_busy: median(samples.iter().map(|sample| sample.rig_busy).collect()).unwrap_or(0.0),
            }
        });
        rows.collect()
    }

    fn print(&self, text: &mut String) {
        let unit = if matches!(self.name, "stream" | "burst") { "event" } else { "request" };
        line(text, &format!("\n{}: {}", self.name, self.title));
        line(
            text,
            &format!(
                "{:<12} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7} {:>11} \
                 {:>9} {:>9} {:>9} {:>7} {:>5} {:>5}",
                "",
                format!("{unit}s/s"),
                "CPU µs",
                "lowest",
                "user",
                "system",
                "÷ floor",
                "(low-high)",
                "+p50 µs",
                "+p99 µs",
                "+p99.9",
                "calls",
                "rig",
                "wait"
            ),
        );
        for row in self.rows() {
            let spread =
                row.ratio.map_or_else(|| "-".to_owned(), |[_, low, high]| format!("{low:.2}-{high:.2}"));
            let mut out = String::new();
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "{:<12} {:>9.0} {:>7} {:>7} {:>7} {:>7} {:>7} {spread:>11} \
                 {:>9.1} {:>9.1} {:>9.1} {:>7} {:>4.0}% {:>5}",
                row.name,
                row.rate,
                figure(row.micros, 2),
                figure(row.lowest, 2),
                figure(row.user, 2),
                figure(row.micros.zip(row.user).map(|(all, user)| all - user), 2),
                figure(row.ratio.map(|ratio| ratio[0]), 3),
                row.added[0],
                row.added[1],
                row.added[2],
                figure(row.calls, 2),
                row.rig_busy * 100.0,
                row.waited.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0)),
            );
            line(text, &out);
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows().into_iter().zip(self.series.values()).map(|(row, series)| {
            let micros: Vec<Option<f64>> = series.samples.iter().map(Sample::micros).collect();
            let rates: Vec<f64> = series.samples.iter().map(Sample::rate).collect();
            let [ratio, low, high] =
                row.ratio.map_or([None; 3], |[ratio, low, high]| [Some(ratio), Some(low), Some(high)]);
            let at = percentiles(&series.samples);
            json!({
                "contender": row.name, "per_second": row.rate, "cpu_us": row.micros,
                "cpu_lowest_us": row.lowest,
                "cpu_user_us": row.user,
                "ratio_to_floor": ratio, "ratio_low": low, "ratio_high": high,
                "p50_us": at[0], "p99_us": at[1], "p999_us": at[2],
                "added_p50_us": row.added[0], "added_p99_us": row.added[1], "added_p999_us": row.added[2],
                "system_calls": row.calls, "resident_bytes": row.memory, "rig_busy": row.rig_busy,
                "waited": row.waited,
                "rounds": { "cpu_us": micros, "per_second": rates },
            })
        });
        json!({ "workload": self.name, "title": self.title, "contenders": rows.collect::<Vec<_>>() })
    }
}

/// Microseconds at 50, 99 and 99.9 %, over all windows together.
fn percentiles(samples: &[Sample]) -> [f64; 3] {
    let mut all: Option<Histogram<u64>> = None;
    for sample in samples {
        match &mut all {
            None => all = Some(sample.nanos.clone()),
            Some(all) => all.add(&sample.nanos).expect("all have the same range"),
        }
    }
    let at = |percent| all.as_ref().map_or(0.0, |all| all.value_at_percentile(percent) as f64 / 1000.0);
    [at(50.0), at(99.0), at(99.9)]
}

/// CPU per piece divided by the floor's in the same round: median, lowest, highest.
fn ratio(samples: &[Sample], floor: &[Sample]) -> Option<[f64; 3]> {
    // A round in which either was spoilt has no pair.
    let beside = |own: &Sample| floor.iter().find(|floor| floor.round == own.round);
    let pairs = samples.iter().filter_map(|own| Some((own, beside(own)?)));
    let ratios: Vec<f64> = pairs
        .filter_map(|(own, floor)| Some(own.micros()? / floor.micros().filter(|us| *us > 0.0)?))
        .collect();
    let low = ratios.iter().copied().min_by(f64::total_cmp)?;
    let high = ratios.iter().copied().max_by(f64::total_cmp)?;
    Some([median(ratios)?, low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: u32, cpu: f64, nanos: u64) -> Sample {
        let (done, seconds) = (1000, 0.5);
        let mut histogram = Histogram::new_with_max(60_000_000_000, 3).unwrap();
        histogram.record_n(nanos, done).unwrap();
        let spent = (cpu > 0.0).then_some(Spent { seconds: cpu, user: 0.25, waited: 0.0 });
        Sample { round, done, seconds, spent, nanos: histogram, memory: Some(1 << 20), rig_busy: 0.5 }
    }

    #[test]
    fn medians_are_in_the_middle() {
        for (values, want) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0, 2.0, 9.0], Some(3.0)),
        ] {
            assert_eq!(median(values), want);
        }
    }

    #[test]
    fn figures_are_per_piece_and_beside_the_floor_of_their_round() {
        let mut results = Results::default();
        for (kind, cpu, nanos) in [
            (Kind::Direct, [0.0, 0.0], 10_000),
            (Kind::Floor, [0.010, 0.020], 30_000),
            (Kind::Millrace, [0.012, 0.022], 50_000),
        ] {
            for (round, cpu) in (0..).zip(cpu) {
                results.add("chat", "title", kind, sample(round, cpu, nanos));
            }
        }
        results.calls("chat", Kind::Millrace, 0.5);
        assert!((results.slowest_rate("chat") - 2000.0).abs() < 1e-9);
        assert!((results.slowest_rate("unknown") - 2.0).abs() < 1e-9);
        let rows = results.groups[0].rows();
        let row = rows.iter().find(|row| row.name == "millrace").unwrap();
        let [ratio, low, high] = row.ratio.unwrap();
        assert!((row.micros.unwrap() - 17.0).abs() < 1e-9, "{:?}", row.micros);
        assert!((row.user.unwrap() - 4.25).abs() < 1e-9, "{:?}", row.user);
        assert!((low - 1.1).abs() < 1e-9 && (high - 1.2).abs() < 1e-9 && (ratio - 1.15).abs() < 1e-9);
        assert!((row.added[0] - 40.0).abs() < 0.1, "{:?}", row.added);
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
