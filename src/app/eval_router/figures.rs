//! The figures of `eval-router`: how well a score tells requests apart, and what routing by it buys.
//!
//! Pure arithmetic on rows. Costs are USD in floating point: an estimate, no account.
//! Deliberately absent: where rows come from, and the printing.

/// One labelled request, as the policy sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Index of its domain.
    pub(super) domain: usize,
    /// The score, and the size of the body in bytes.
    pub(super) score: f64,
    pub(super) bytes: f64,
    /// The tier that the policy takes.
    pub(super) tier: usize,
    /// What each tier makes of it, weakest first; at least two.
    pub(super) outcomes: Vec<Outcome>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) correct: bool,
    /// In USD.
    pub(super) cost: f64,
}

/// Mean quality (share of right answers) and total cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) quality: f64,
    pub(super) cost: f64,
}

/// A generator of random words (splitmix64): the same seed gives the same words everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end + 1));
        }
    }
}

/// What rows are ordered by.
pub(super) type Score = fn(&Row) -> f64;
/// What is to be told of them.
pub(super) type IsHard = fn(&Row) -> bool;

/// The chance that a row of which `is_hard` is true scores above one of which it is not; ties count half.
/// `None` without rows of both kinds.
pub(super) fn auc<'r>(rows: impl Iterator<Item = &'r Row>, score: Score, is_hard: IsHard) -> Option<f64> {
    let mut all: Vec<(f64, bool)> = rows.map(|row| (score(row), is_hard(row))).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let hard = all.iter().filter(|(_, hard)| *hard).count() as f64;
    let easy = all.len() as f64 - hard;
    if hard == 0.0 || easy == 0.0 {
        return None;
    }
    let (mut wins, mut below) = (0.0, 0.0);
    for ties in all.chunk_by(|one, other| one.0 == other.0) {
        let hard = ties.iter().filter(|(_, hard)| *hard).count() as f64;
        let easy = ties.len() as f64 - hard;
        wins += hard * (below + easy / 2.0);
        below += easy;
    }
    Some(wins / (hard * easy))
}

impl Row {
    /// The weakest tier fails.
    pub(super) fn weakest_fails(&self) -> bool {
        !self.outcomes[0].correct
    }

    /// Only the strongest tier is right.
    pub(super) fn needs_strongest(&self) -> bool {
        let (strongest, weaker) = self.outcomes.split_last().expect("a row has two outcomes or more");
        strongest.correct && weaker.iter().all(|one| !one.correct)
    }

    fn cheap(&self) -> Outcome {
        self.outcomes[0]
    }

    fn strong(&self) -> Outcome {
        *self.outcomes.last().expect("a row has two outcomes or more")
    }
}

/// Quality and cost when `take` says which answer each row gets.
pub(super) fn point<'r>(rows: impl Iterator<Item = &'r Row>, take: impl Fn(&Row) -> Outcome) -> Point {
    let (mut point, mut count) = (Point::default(), 0.0_f64);
    for outcome in rows.map(take) {
        point.quality += f64::from(u8::from(outcome.correct));
        point.cost += outcome.cost;
        count += 1.0;
    }
    Point { quality: point.quality / count.max(1.0), ..point }
}

pub(super) fn always_cheap(rows: &[Row]) -> Point {
    point(rows.iter(), Row::cheap)
}

pub(super) fn always_strong(rows: &[Row]) -> Point {
    point(rows.iter(), Row::strong)
}

/// The policy's own decisions.
pub(super) fn policy(rows: &[Row]) -> Point {
    point(rows.iter(), |row| row.outcomes[row.tier])
}

/// A way to say which rows deserve the strongest tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranking {
    Score,
    Length,
    /// Knows the answers: only rows that gain are upgraded, cheapest first.
    Oracle,
}

/// Orders that are averaged where rows tie.
const SHUFFLES: usize = 16;

/// Quality when, of what lies between always-cheap and always-strong, the share `budget` is spent, on the
/// rows that `ranking` puts first.
pub(super) fn quality_at(rows: &[Row], ranking: Ranking, budget: f64, mut random: Random) -> f64 {
    let extra = |row: &Row| (row.strong().cost - row.cheap().cost).max(0.0);
    let gain = |row: &Row| f64::from(i8::from(row.strong().correct) - i8::from(row.cheap().correct));
    let spend_most = rows.iter().map(extra).sum::<f64>() * budget * (1.0 + 1e-9);
    let mut total = 0.0;
    for _ in 0..SHUFFLES {
        let mut order: Vec<&Row> = rows.iter().collect();
        random.shuffle(&mut order);
        match ranking {
            Ranking::Score => order.sort_by(|one, other| other.score.total_cmp(&one.score)),
            Ranking::Length => order.sort_by(|one, other| other.bytes.total_cmp(&one.bytes)),
            Ranking::Oracle => {
                order.retain(|row| gain(row) > 0.0);
                order.sort_by(|one, other| extra(one).total_cmp(&extra(other)));
            }
        }
        let mut spent = 0.0;
        for row in order {
            if spent + extra(row) > spend_most {
                break;
            }
            spent += extra(row);
            total += gain(row);
        }
    }
    always_cheap(rows).quality + total / (SHUFFLES * rows.len().max(1)) as f64
}

/// Quality of a coin that spends the same: on the line between the two ends.
pub(super) fn random_at(rows: &[Row], budget: f64) -> f64 {
    let (cheap, strong) = (always_cheap(rows).quality, always_strong(rows).quality);
    cheap + (strong - cheap) * budget
}

/// Where between always-cheap (0) and always-strong (1) a cost lies.
pub(super) fn budget_of(rows: &[Row], cost: f64) -> f64 {
    let (cheap, strong) = (always_cheap(rows).cost, always_strong(rows).cost);
    if strong > cheap { ((cost - cheap) / (strong - cheap)).clamp(0.0, 1.0) } else { 0.0 }
}

/// One tier for all rows.
pub(super) fn always(rows: &[Row], tier: usize) -> Point {
    point(rows.iter(), |row| row.outcomes[tier])
}

/// The cheapest right answer to each row, or the cheapest of all where none is right: nobody does better.
pub(super) fn cheapest_right(rows: &[Row]) -> Point {
    let cheapest = |row: &Row, right: bool| {
        let fit = row.outcomes.iter().filter(|one| one.correct || !right);
        fit.min_by(|one, other| one.cost.total_cmp(&other.cost)).copied()
    };
    point(rows.iter(), |row| cheapest(row, true).or_else(|| cheapest(row, false)).unwrap_or(row.cheap()))
}

/// The best that a coin does between two of the tiers, each for all rows, at this cost.
pub(super) fn mixed_at(rows: &[Row], cost: f64) -> f64 {
    let tiers = rows.first().map_or(0, |row| row.outcomes.len());
    let singles: Vec<Point> = (0..tiers).map(|tier| always(rows, tier)).collect();
    let mut best = 0.0_f64;
    for low in singles.iter().filter(|one| one.cost <= cost * (1.0 + 1e-9)) {
        best = best.max(low.quality);
        for high in singles.iter().filter(|one| one.cost > cost) {
            let share = ((cost - low.cost) / (high.cost - low.cost)).clamp(0.0, 1.0);
            best = best.max(low.quality + (high.quality - low.quality) * share);
        }
    }
    best
}

/// The score from which on the strongest tier is worth most on `rows`: where the share of the gap in quality
/// that is recovered exceeds the share of the gap in cost that is spent by most. Of equals, the highest.
pub(super) fn threshold(rows: &[&Row]) -> f64 {
    let every = || rows.iter().copied();
    let (cheap, strong) = (point(every(), Row::cheap), point(every(), Row::strong));
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let worth = |from: f64| {
        let point = split(every(), from);
        share(point.quality - cheap.quality, strong.quality - cheap.quality)
            - share(point.cost - cheap.cost, strong.cost - cheap.cost)
    };
    let mut scores: Vec<f64> = rows.iter().map(|row| row.score).collect();
    scores.sort_by(f64::total_cmp);
    scores.dedup();
    scores.into_iter().max_by(|one, other| worth(*one).total_cmp(&worth(*other))).unwrap_or(0.0)
}

/// The strongest tier at or above a score, the weakest below.
pub(super) fn split<'r>(rows: impl Iterator<Item = &'r Row>, from: f64) -> Point {
    point(rows, |row| if row.score >= from { row.strong() } else { row.cheap() })
}

/// Samples of a bootstrap.
pub(super) const RESAMPLES: usize = 1_000;

/// The middle 95 % of `figure` over resamples of whole domains. `None` when too few of them have one: with
/// one domain, or labels of one kind only.
pub(super) fn interval(
    rows: &[Row],
    domains: usize,
    mut random: Random,
    figure: impl Fn(&[&Row]) -> Option<f64>,
) -> Option<(f64, f64)> {
    let of_domain: Vec<Vec<&Row>> =
        (0..domains).map(|domain| rows.iter().filter(|row| row.domain == domain).collect()).collect();
    let mut figures = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn: Vec<&Row> =
            (0..domains).flat_map(|_| of_domain[random.below(domains)].iter().copied()).collect();
        figures.extend(figure(&drawn));
    }
    if domains < 2 || figures.len() * 2 < RESAMPLES {
        return None;
    }
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| figures[((figures.len() - 1) as f64 * share).round() as usize];
    Some((at(0.025), at(0.975)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row: score, and for two tiers whether they are right, at costs of 1 and 5.
    fn row(score: f64, cheap: bool, strong: bool) -> Row {
        let outcome = |correct, cost| Outcome { correct, cost };
        Row {
            domain: 0,
            score,
            bytes: 1.0,
            tier: 0,
            outcomes: vec![outcome(cheap, 1.0), outcome(strong, 5.0)],
        }
    }

    #[test]
    fn auc_counts_pairs() {
        let check = |scores: &[(f64, bool)], want: Option<f64>| {
            let rows: Vec<Row> = scores.iter().map(|(score, hard)| row(*score, !hard, true)).collect();
            assert_eq!(auc(rows.iter(), |row| row.score, Row::weakest_fails), want, "{scores:?}");
        };
        check(&[], None);
        check(&[(1.0, true)], None);
        check(&[(1.0, true), (0.0, false)], Some(1.0));
        check(&[(0.0, true), (1.0, false)], Some(0.0));
        check(&[(1.0, true), (1.0, false)], Some(0.5));
        check(&[(3.0, true), (1.0, true), (2.0, false), (1.0, false)], Some(2.5 / 4.0));
    }

    #[test]
    fn curves_have_the_right_ends_and_the_oracle_is_on_top() {
        let rows: Vec<Row> =
            (0..40_u32).map(|turn| row(f64::from(turn * 7 % 11), turn % 3 != 0, turn % 5 != 0)).collect();
        let (cheap, strong) = (always_cheap(&rows), always_strong(&rows));
        let random = Random(7);
        for ranking in [Ranking::Score, Ranking::Length] {
            assert!((quality_at(&rows, ranking, 0.0, random) - cheap.quality).abs() < 1e-9);
            assert!((quality_at(&rows, ranking, 1.0, random) - strong.quality).abs() < 1e-9);
        }
        for tenth in 0..=10 {
            let budget = f64::from(tenth) / 10.0;
            let oracle = quality_at(&rows, Ranking::Oracle, budget, random);
            for ranking in [Ranking::Score, Ranking::Length] {
                assert!(oracle + 1e-9 >= quality_at(&rows, ranking, budget, random));
            }
            assert!(oracle + 1e-9 >= random_at(&rows, budget));
        }
        assert_eq!(budget_of(&rows, cheap.cost), 0.0);
        assert_eq!(budget_of(&rows, strong.cost), 1.0);
        assert_eq!(budget_of(&rows, (cheap.cost + strong.cost) / 2.0), 0.5);
    }

    #[test]
    fn a_perfect_score_finds_its_threshold() {
        let rows: Vec<Row> = (0..20).map(|turn| row(f64::from(turn), turn < 10, true)).collect();
        let all: Vec<&Row> = rows.iter().collect();
        assert_eq!(threshold(&all), 10.0);
        assert_eq!(split(rows.iter(), 10.0), Point { quality: 1.0, cost: 60.0 });
        let useless: Vec<Row> = (0..20).map(|turn| row(0.0, turn < 10, true)).collect();
        assert_eq!(threshold(&useless.iter().collect::<Vec<_>>()), 0.0);
    }

    #[test]
    fn nobody_does_better_than_the_cheapest_right_answer() {
        let rows: Vec<Row> = (0..20).map(|turn| row(0.0, turn < 10, turn != 19)).collect();
        assert_eq!(cheapest_right(&rows), Point { quality: 0.95, cost: 10.0 + 45.0 + 1.0 });
        assert_eq!(mixed_at(&rows, 20.0), 0.5);
        assert!((mixed_at(&rows, 60.0) - 0.725).abs() < 1e-9);
        assert_eq!(mixed_at(&rows, 100.0), 0.95);
        assert_eq!(always(&rows, 1), always_strong(&rows));
    }

    #[test]
    fn intervals_are_the_same_for_a_seed_and_hold_the_figure() {
        let mut rows: Vec<Row> =
            (0..60_u32).map(|turn| row(f64::from(turn % 13), turn % 4 != 0, true)).collect();
        (0..60).for_each(|turn| rows[turn].domain = turn % 5);
        let figure = |rows: &[&Row]| auc(rows.iter().copied(), |row| row.score, Row::weakest_fails);
        let (low, high) = interval(&rows, 5, Random(3), figure).expect("five domains");
        assert_eq!(interval(&rows, 5, Random(3), figure), Some((low, high)));
        let all = figure(&rows.iter().collect::<Vec<_>>()).expect("both kinds");
        assert!(low < high && (low..=high).contains(&all), "{low} {all} {high}");
        assert_eq!(interval(&rows, 1, Random(3), figure), None);
    }

    #[test]
    fn shuffling_keeps_everything() {
        let mut list: Vec<u32> = (0..100).collect();
        Random(5).shuffle(&mut list);
        assert!(!list.is_sorted());
        list.sort_unstable();
        assert_eq!(list, (0..100).collect::<Vec<_>>());
    }
}
