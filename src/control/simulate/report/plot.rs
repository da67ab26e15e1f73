//! Plots as SVG text: lines, or areas one on top of the other, over time.
//!
//! Deliberately absent: scripts and style sheets; colours are classes that the page defines.

use core::fmt::Write;

/// Size of the whole and of the drawing inside.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 34.0;

/// A line, or the height of an area, with one value to a slot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    /// `None` where there is nothing to draw.
    pub(super) values: Vec<Option<f64>>,
    /// Class of its colour.
    pub(super) class: String,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub(super) struct Plot<'p> {
    pub(super) title: &'p str,
    /// Labels of the horizontal axis, by their place from 0 to 1.
    pub(super) ticks: &'p [(f64, String)],
    /// The value at the top; `None` is a round one above all values.
    pub(super) top: Option<f64>,
    /// A value of the vertical axis as text.
    pub(super) label: fn(f64) -> String,
    pub(super) series: Vec<Series>,
    /// Areas on top of each other instead of lines.
    pub(super) stacked: bool,
}

impl Series {
    /// The value of a slot, if it can be drawn.
    fn at(&self, slot: usize) -> Option<f64> {
        self.values.get(slot).copied().flatten().filter(|value| value.is_finite())
    }
}

impl Plot<'_> {
    pub(super) fn svg(&self) -> String {
        let top = self.top.unwrap_or_else(|| nice(self.highest()));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">\
             <text class=\"title\" x=\"{LEFT}\" y=\"14\">{0}</text>",
            super::page::escape(self.title)
        );
        self.legend(&mut svg);
        if self.stacked {
            self.areas(&mut svg, top);
        }
        // The grid lies over areas, which would hide it, and under lines.
        for part in 0..=4 {
            let value = top * f64::from(part) / 4.0;
            let at = y(value, top);
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                (self.label)(value)
            );
        }
        for (place, label) in self.ticks {
            let at = LEFT + place * (WIDTH - LEFT - RIGHT);
            let bottom = HEIGHT - BOTTOM;
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom:.1}\"/>\
                 <text class=\"x\" x=\"{at:.1}\" y=\"{:.1}\">{label}</text>",
                bottom + 18.0
            );
        }
        if !self.stacked {
            self.series.iter().for_each(|series| line(&mut svg, series, top));
        }
        svg.push_str("</svg>");
        svg
    }

    fn highest(&self) -> f64 {
        let slots = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let at = |slot: usize| self.series.iter().filter_map(move |series| series.at(slot));
        let all: Vec<f64> = if self.stacked {
            (0..slots).map(|slot| at(slot).sum()).collect()
        } else {
            (0..slots).flat_map(at).collect()
        };
        all.into_iter().fold(0.0, f64::max)
    }

    fn legend(&self, svg: &mut String) {
        let mut at = LEFT;
        for Series { name, class, .. } in &self.series {
            // A line is shown as a line: of two policies, one is broken.
            let _ = if self.stacked {
                write!(
                    svg,
                    "<rect class=\"fill {class}\" x=\"{at:.1}\" y=\"24\" width=\"16\" height=\"10\"/>"
                )
            } else {
                write!(svg, "<path class=\"line {class}\" d=\"M{at:.1} 29h16\"/>")
            };
            let _ = write!(svg, "<text x=\"{:.1}\" y=\"33\">{}</text>", at + 21.0, super::page::escape(name));
            at += 40.0 + 6.6 * name.chars().count() as f64;
        }
    }

    fn areas(&self, svg: &mut String, top: f64) {
        let slots = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let mut below = vec![0.0; slots];
        for series in &self.series {
            let above: Vec<f64> = below
                .iter()
                .enumerate()
                .map(|(slot, under)| under + series.at(slot).unwrap_or(0.0))
                .collect();
            let point = |(slot, value): (usize, &f64)| format!("{:.1} {:.1}", x(slot, slots), y(*value, top));
            let there = above.iter().enumerate().map(point);
            let back: Vec<String> = below.iter().enumerate().map(point).collect();
            let points: Vec<String> = there.chain(back.into_iter().rev()).collect();
            if !points.is_empty() {
                let _ = write!(svg, "<path class=\"fill {}\" d=\"M{}Z\"/>", series.class, points.join("L"));
            }
            below = above;
        }
    }
}

fn x(slot: usize, slots: usize) -> f64 {
    let last = slots.saturating_sub(1).max(1) as f64;
    LEFT + slot as f64 / last * (WIDTH - LEFT - RIGHT)
}

fn y(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (value / top).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
}

/// A line; where values are missing it is broken.
fn line(svg: &mut String, series: &Series, top: f64) {
    let (mut path, mut broken) = (String::new(), true);
    for (slot, value) in series.values.iter().enumerate() {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            broken = true;
            continue;
        };
        let letter = if broken { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", x(slot, series.values.len()), y(value, top));
        broken = false;
    }
    if !path.is_empty() {
        let _ = write!(svg, "<path class=\"line {}\" d=\"{path}\"/>", series.class);
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

    fn plot(stacked: bool, values: &[&[Option<f64>]]) -> String {
        let series = values.iter().enumerate().map(|(turn, values)| Series {
            name: format!("n<{turn}>"),
            values: values.to_vec(),
            class: format!("c{turn}"),
        });
        let ticks = [(0.0, "0 h".to_owned()), (1.0, "24 h".to_owned())];
        let label = |value: f64| format!("{value:.1}");
        Plot { title: "a & b", ticks: &ticks, top: None, label, series: series.collect(), stacked }.svg()
    }

    /// Numbers of all paths that are no grid.
    fn drawn(svg: &str) -> Vec<Vec<f64>> {
        let paths = svg.split("<path class=\"").skip(1).filter(|path| !path.starts_with("grid"));
        // The lines of the legend end with an `h`.
        let paths = paths.filter(|path| !path.contains("h16\"/>"));
        let inside = paths.filter_map(|path| path.split(" d=\"").nth(1)?.split('"').next());
        let numbers = |path: &str| {
            path.split(['M', 'L', 'Z', ' '])
                .filter(|part| !part.is_empty())
                .map(|n| n.parse().unwrap())
                .collect()
        };
        inside.map(numbers).collect()
    }

    #[test]
    fn every_point_stands_inside_the_drawing() {
        let values = [Some(1.0), Some(730.0), None, Some(f64::NAN), Some(99_000.0)];
        for stacked in [false, true] {
            let svg = plot(stacked, &[&values[..3], &values]);
            assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.ends_with("</svg>"), "{svg}");
            let paths = drawn(&svg);
            assert_eq!(paths.len(), 2);
            for point in paths.iter().flat_map(|path| path.chunks(2)) {
                assert!((LEFT..=WIDTH - RIGHT).contains(&point[0]), "{point:?}");
                assert!((TOP - 0.1..=HEIGHT - BOTTOM).contains(&point[1]), "{point:?}");
            }
            assert!(svg.contains("a &amp; b") && svg.contains("n&lt;0&gt;"), "{svg}");
        }
    }

    #[test]
    fn areas_lie_on_top_of_each_other() {
        let svg = plot(true, &[&[Some(1.0), Some(1.0)], &[Some(3.0), Some(3.0)]]);
        let paths = drawn(&svg);
        let height = |value: f64| y(value, 4.0);
        assert!(
            (paths[0][1] - height(1.0)).abs() < 0.1 && (paths[0][5] - height(0.0)).abs() < 0.1,
            "{paths:?}"
        );
        assert!(
            (paths[1][1] - height(4.0)).abs() < 0.1 && (paths[1][5] - height(1.0)).abs() < 0.1,
            "{paths:?}"
        );
    }

    #[test]
    fn nothing_is_an_empty_plot() {
        for stacked in [false, true] {
            let svg = plot(stacked, &[]);
            assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{svg}");
            assert!(drawn(&plot(stacked, &[&[]])).is_empty());
        }
    }
}
