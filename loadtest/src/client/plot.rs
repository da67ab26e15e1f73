//! Plots as SVG text: lines over a linear or a logarithmic axis, with a grid, labels and a legend.
//!
//! Deliberately absent: scripts and style sheets; colours are classes that the page defines.

use core::fmt::Write;

use super::report::time;

/// Size of the whole and of the drawing inside.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 40.0;

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// Values may be anything; what cannot be placed is left out.
    pub(super) points: Vec<(f64, f64)>,
}

/// What the vertical axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Microseconds, on a logarithmic axis.
    Time,
    /// Pieces, on a linear axis from 0.
    Count,
}

/// A plot with its title. `ticks` are places on the horizontal axis with their labels, in its own values,
/// ascending; they span it.
pub(super) fn plot(
    title: &str,
    x_label: &str,
    ticks: &[(f64, String)],
    unit: Unit,
    lines: &[Series],
) -> String {
    let scale = Scale::new(ticks, unit, lines);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>"
    );
    // Writing to a string cannot fail.
    for (value, label) in scale.y_ticks() {
        let y = scale.y(value);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>\
             <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (value, label) in ticks {
        let (x, bottom) = (scale.x(*value), HEIGHT - BOTTOM);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom:.1}\"/>\
             <text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
            bottom + 16.0
        );
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let _ = write!(svg, "<text class=\"x\" x=\"{middle}\" y=\"{:.1}\">{x_label}</text>", HEIGHT - 6.0);
    for (index, line) in lines.iter().enumerate() {
        svg.push_str(&scale.line(index, line));
        let x = WIDTH - RIGHT - 150.0 * (lines.len() - index) as f64;
        let _ = write!(
            svg,
            "<path class=\"line c{index}\" d=\"M{x:.1} 12h18\"/>\
             <text class=\"legend\" x=\"{:.1}\" y=\"16\">{}</text>",
            x + 24.0,
            line.name
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Where values are placed.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
    unit: Unit,
}

impl Scale {
    fn new(ticks: &[(f64, String)], unit: Unit, lines: &[Series]) -> Self {
        let first = ticks.first().map_or(0.0, |(value, _)| *value);
        let last = ticks.last().map_or(1.0, |(value, _)| *value);
        let values = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).filter(|y| y.is_finite());
        let y = match unit {
            Unit::Count => (0.0, nice(values.fold(0.0, f64::max))),
            Unit::Time => {
                let positive = values.filter(|y| *y > 0.0);
                let (low, high) =
                    positive.fold((f64::INFINITY, 0.0_f64), |(low, high), y| (low.min(y), high.max(y)));
                // Whole decades, at least one.
                let (low, high) = if low.is_finite() { (low.log10(), high.log10()) } else { (0.0, 1.0) };
                (low.floor(), high.ceil().max(low.floor() + 1.0))
            }
        };
        Self { x: (first, if last > first { last } else { first + 1.0 }), y, unit }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let value = if self.unit == Unit::Time { value.log10() } else { value };
        HEIGHT - BOTTOM - (value - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn y_ticks(&self) -> Vec<(f64, String)> {
        match self.unit {
            Unit::Count => {
                let label = |value: f64| {
                    if self.y.1 < 5.0 { format!("{value:.1}") } else { format!("{value:.0}") }
                };
                (0..=4).map(|part| self.y.1 * f64::from(part) / 4.0).map(|v| (v, label(v))).collect()
            }
            Unit::Time => {
                let decades = self.y.0 as i32..=self.y.1 as i32;
                decades.map(|power| 10_f64.powi(power)).map(|v| (v, time(v))).collect()
            }
        }
    }

    fn line(&self, index: usize, line: &Series) -> String {
        let placeable =
            |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite() && (self.unit == Unit::Count || *y > 0.0);
        let mut path = String::new();
        for (x, y) in line.points.iter().filter(placeable) {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(*x), self.y(*y));
        }
        if path.is_empty() {
            return path;
        }
        format!("<path class=\"line c{index}\" d=\"{path}\"/>")
    }
}

/// The next of 1, 2, 4, 8 times a power of ten: its quarters are round.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 4.0, 8.0].into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_values() {
        for (value, want) in [(0.0, 1.0), (1.0, 1.0), (3.0, 4.0), (9.0, 10.0), (1234.0, 2000.0), (0.3, 0.4)] {
            assert!((nice(value) - want).abs() < 1e-9, "{value}: {} {want}", nice(value));
        }
    }

    #[test]
    fn every_point_stands_inside_the_drawing() {
        let ticks = [(0.0, "0".to_owned()), (10.0, "10".to_owned())];
        for unit in [Unit::Time, Unit::Count] {
            let points = vec![(0.0, 1.0), (5.0, 730.0), (10.0, 99_000.0), (7.0, f64::NAN), (8.0, 0.0)];
            let lines = [Series { name: "a", points }];
            let svg = plot("t", "x", &ticks, unit, &lines);
            let path = svg.split("class=\"line c0\" d=\"M").nth(1).and_then(|rest| rest.split('"').next());
            let places: Vec<f64> = path
                .expect("a line")
                .split(['L', ' '])
                .map(|number| number.parse().expect("a number"))
                .collect();
            assert_eq!(places.len(), if unit == Unit::Time { 6 } else { 8 }, "{svg}");
            for place in places.chunks(2) {
                assert!((LEFT..=WIDTH - RIGHT).contains(&place[0]), "{place:?}");
                assert!((TOP..=HEIGHT - BOTTOM).contains(&place[1]), "{place:?}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn no_values_are_an_empty_plot() {
        let svg = plot("t", "x", &[], Unit::Time, &[Series { name: "a", points: Vec::new() }]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
    }
}
