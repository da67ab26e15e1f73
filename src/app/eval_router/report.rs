//! The page that `eval-router` prints. Every figure stands beside the simple ways that it must beat.
//!
//! Deliberately absent: the arithmetic (`figures`).

use std::io::{self, Write};

use super::figures::{
    self, IsHard, Point, Random, Ranking, Row, Score, always_cheap, always_strong, auc, budget_of, interval,
    mixed_at, quality_at, random_at, split, threshold,
};
use super::noise::Noise;

/// What there is to print.
pub(super) struct Page<'a> {
    pub(super) file: String,
    pub(super) about: Option<&'a str>,
    pub(super) tiers: Vec<&'a str>,
    /// Costs are USD, not relative.
    pub(super) priced: bool,
    pub(super) domains: &'a [String],
    pub(super) rows: &'a [Row],
    /// Lines that could not be used, and why the first one could not.
    pub(super) unusable: (usize, Option<String>),
    pub(super) held_out: Option<usize>,
    pub(super) seed: u64,
    /// Of each kind of noise: records, decisions that changed, and those of them that became weaker.
    pub(super) flips: Vec<(Noise, usize, usize, usize)>,
    /// Size in bytes, and microseconds at p50 and p99.
    pub(super) latencies: Vec<(usize, f64, f64)>,
}

impl Page<'_> {
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        self.print_head(out)?;
        self.print_auc(out)?;
        self.print_curve(out)?;
        self.print_policy(out)?;
        self.print_domains(out)?;
        self.print_flips(out)?;
        self.print_latencies(out)?;
        out.flush()
    }

    fn print_head(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "data: {}, {} requests, {} domains, seed {}",
            self.file,
            self.rows.len(),
            self.domains.len(),
            self.seed
        )?;
        let about =
            self.about.unwrap_or("the file does not say how its labels came about: take them for opinions");
        writeln!(out, "labels: {about}")?;
        if let (count, Some(why)) = &self.unusable {
            writeln!(out, "not used: {count} lines, the first because {why}")?;
        }
        let costs = if self.priced {
            "costs: of the data where it has them, else catalogue prices of each tier's cheapest model, \
             512 tokens per answer"
        } else {
            "costs: of the data where it has them, else relative, each tier four times the one below \
             (a price is unknown)"
        };
        writeln!(out, "{costs}")
    }

    fn print_auc(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "\nHow well the score tells requests apart (0.5 is chance; 95 % interval over whole domains)"
        )?;
        let targets: [(&str, IsHard); 2] = [
            ("the weakest tier fails", Row::weakest_fails),
            ("only the strongest is right", Row::needs_strongest),
        ];
        for (name, hard) in targets {
            for (by, score) in [("score", (|row| row.score) as Score), ("length only", |row| row.bytes)] {
                let figure = auc(self.rows.iter(), score, hard);
                let resampled = |rows: &[&Row]| auc(rows.iter().copied(), score, hard);
                let range = interval(self.rows, self.domains.len(), Random(self.seed), resampled);
                let range =
                    range.map_or("no interval".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"));
                writeln!(out, "  {name:<28} {by:<12} AUC {}  ({range})", shown(figure))?;
            }
        }
        Ok(())
    }

    fn print_curve(&self, out: &mut dyn Write) -> io::Result<()> {
        let (cheap, strong) = (always_cheap(self.rows), always_strong(self.rows));
        writeln!(
            out,
            "\nQuality at a budget: the share spent of what lies between always-{} and always-{}",
            self.weakest(),
            self.strongest()
        )?;
        writeln!(out, "  budget   score  length  random  oracle")?;
        let mut recovered = [0.0; 4];
        for tenth in 0..=10 {
            let budget = f64::from(tenth) / 10.0;
            let at = |ranking| quality_at(self.rows, ranking, budget, Random(self.seed));
            let line =
                [at(Ranking::Score), at(Ranking::Length), random_at(self.rows, budget), at(Ranking::Oracle)];
            let shown: Vec<String> = line.iter().map(|quality| format!("{quality:>6.3}")).collect();
            writeln!(out, "  {budget:>6.1}  {}", shown.join("  "))?;
            for (sum, quality) in recovered.iter_mut().zip(line) {
                *sum += (quality - cheap.quality) / 11.0;
            }
        }
        let gap = strong.quality - cheap.quality;
        if gap > 0.0 {
            let shown: Vec<String> = recovered.iter().map(|sum| format!("{:>6.3}", sum / gap)).collect();
            writeln!(
                out,
                "  of gap  {}   (mean share of the gap in quality that is recovered)",
                shown.join("  ")
            )?;
        }
        Ok(())
    }

    fn print_policy(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nThe policy as configured")?;
        let line = |out: &mut dyn Write, name: &str, point: Point| {
            let budget = budget_of(self.rows, point.cost);
            let (quality, cost) = (point.quality, point.cost);
            writeln!(out, "  {name:<24} quality {quality:.3}  cost {cost:>12.6}  budget {budget:.3}")
        };
        for (tier, name) in self.tiers.iter().enumerate() {
            line(out, &format!("always {name}"), figures::always(self.rows, tier))?;
        }
        let own = figures::policy(self.rows);
        line(out, "policy", own)?;
        let mixed = Point { quality: mixed_at(self.rows, own.cost), cost: own.cost };
        line(out, "a coin at the same cost", mixed)?;
        line(out, "oracle", figures::cheapest_right(self.rows))?;
        let shares = self.tiers.iter().enumerate().map(|(tier, name)| {
            let count = self.rows.iter().filter(|row| row.tier == tier).count();
            format!("{name} {:.0} %", 100.0 * count as f64 / self.rows.len().max(1) as f64)
        });
        writeln!(out, "  requests by tier: {}", shares.collect::<Vec<_>>().join(", "))
    }

    /// Nothing is trained here, so what a held-out domain tests is the threshold: it is set on the others.
    fn print_domains(&self, out: &mut dyn Write) -> io::Result<()> {
        let strongest = self.strongest();
        writeln!(
            out,
            "\nEach domain held out: always-{strongest} from a score on that is set on the others"
        )?;
        writeln!(
            out,
            "  domain                    n    AUC  threshold  budget  quality  random  always-{strongest}"
        )?;
        for (domain, name) in self.domains.iter().enumerate() {
            if self.held_out.is_some_and(|wanted| wanted != domain) {
                continue;
            }
            let others: Vec<&Row> = self.rows.iter().filter(|row| row.domain != domain).collect();
            let own: Vec<Row> = self.rows.iter().filter(|row| row.domain == domain).cloned().collect();
            let inside = shown(auc(own.iter(), |row| row.score, Row::weakest_fails));
            let count = own.len();
            if others.is_empty() {
                writeln!(out, "  {name:<20} {count:>6}  {inside}  no other domain")?;
                continue;
            }
            let from = threshold(&others);
            let point = split(own.iter(), from);
            let (budget, quality) = (budget_of(&own, point.cost), point.quality);
            let (random, strong) = (random_at(&own, budget), always_strong(&own).quality);
            writeln!(
                out,
                "  {name:<20} {count:>6}  {inside}  {from:>9}  {budget:>6.3}  \
                 {quality:>7.3}  {random:>6.3}  {strong:.3}"
            )?;
        }
        Ok(())
    }

    fn print_flips(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nDecisions that noise changes (the same request, the same meaning)")?;
        for (noise, count, changed, weaker) in &self.flips {
            let share = |part: &usize| 100.0 * *part as f64 / (*count).max(1) as f64;
            let (changed, weaker) = (share(changed), share(weaker));
            writeln!(
                out,
                "  {:<22} {changed:>5.1} % of {count}, {weaker:.1} % to a weaker tier",
                noise.name()
            )?;
        }
        Ok(())
    }

    fn print_latencies(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.latencies.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nTime of one decision here and now, after the body was read (other work on this machine counts)"
        )?;
        for (bytes, p50, p99) in &self.latencies {
            writeln!(out, "  {bytes:>7} B   p50 {p50:>7.1} us   p99 {p99:>7.1} us")?;
        }
        Ok(())
    }

    fn weakest(&self) -> &str {
        self.tiers.first().copied().unwrap_or_default()
    }

    fn strongest(&self) -> &str {
        self.tiers.last().copied().unwrap_or_default()
    }
}

fn shown(figure: Option<f64>) -> String {
    figure.map_or("    -".to_owned(), |figure| format!("{figure:.3}"))
}
