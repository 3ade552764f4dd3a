//! A curve over a logarithmic axis: as characters for the terminal, and as a picture.

use std::ops::Range;

use anyhow::{Context, Result};
use plotters::prelude::*;

/// Columns and rows of the terminal's plot.
const COLUMNS: usize = 64;
const ROWS: usize = 14;
/// Pixels of the picture.
const SIZE: (u32, u32) = (800, 480);

/// A curve with marked places on its axis.
pub struct Plot<'a> {
    /// What lies along the axis, and what rises.
    pub axes: [&'a str; 2],
    /// Points, sorted by the axis, all above 0 there.
    pub curve: Vec<(f64, f64)>,
    /// The same unsmoothed, for the picture's background.
    pub behind: Vec<(f64, f64)>,
    /// Places on the axis, each with a letter and words.
    pub marks: Vec<(f64, char, &'a str)>,
    /// The heights shown; what is higher is cut off.
    pub heights: Range<f64>,
}

impl Plot<'_> {
    fn ends(&self) -> Option<[f64; 2]> {
        let (first, last) = (self.curve.first()?.0, self.curve.last()?.0);
        (first > 0.0 && last > first).then_some([first, last])
    }

    /// Lines of characters. Empty where there are fewer than two points.
    pub fn text(&self) -> String {
        let Some([first, last]) = self.ends() else {
            return String::new();
        };
        let column = |place: f64| {
            let share = (place / first).ln() / (last / first).ln();
            (share.clamp(0.0, 1.0) * (COLUMNS - 1) as f64).round() as usize
        };
        let Range { start, end } = self.heights;
        let row = |height: f64| {
            let share = (height - start) / (end - start).max(1e-12);
            let from_below = (share.clamp(0.0, 1.0) * (ROWS - 1) as f64).round() as usize;
            ROWS - 1 - from_below
        };
        let mut cells = vec![[' '; COLUMNS]; ROWS];
        for (place, letter, _) in &self.marks {
            for line in &mut cells {
                line[column(*place)] = '\u{2506}';
            }
            cells[ROWS - 1][column(*place)] = *letter;
        }
        for (place, height) in self.curve.iter().filter(|(_, height)| *height <= end) {
            cells[row(*height)][column(*place)] = '\u{2022}';
        }
        let mut text = String::new();
        for (index, line) in cells.iter().enumerate() {
            let label = match index {
                0 => format!("{end:.3}"),
                index if index == ROWS - 1 => format!("{start:.3}"),
                _ => String::new(),
            };
            let line: String = line.iter().collect();
            text.push_str(&format!("{label:>8} \u{2502}{}\n", line.trim_end()));
        }
        let axis = "\u{2500}".repeat(COLUMNS);
        text.push_str(&format!("{:>8} \u{2514}{axis}\n", self.axes[1]));
        let ends = format!("{first:.0e}");
        let width = COLUMNS - ends.len();
        text.push_str(&format!(
            "{:>8}  {ends}{:>width$}\n",
            "",
            format!("{last:.0e}")
        ));
        text.push_str(format!("{:>8}  {:^COLUMNS$}", "", self.axes[0]).trim_end());
        text.push('\n');
        text
    }

    /// A picture as SVG.
    ///
    /// # Errors
    /// When there are fewer than two points.
    pub fn svg(&self) -> Result<String> {
        let [first, last] = self.ends().context("too few steps for a picture")?;
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d((first..last).log_scale(), self.heights.clone())?;
        chart
            .configure_mesh()
            .x_desc(self.axes[0])
            .y_desc(self.axes[1])
            .x_label_formatter(&|place| format!("{place:.0e}"))
            .light_line_style(WHITE)
            .draw()?;
        let cut = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            let most = self.heights.end;
            points.iter().map(|&(x, y)| (x, y.min(most))).collect()
        };
        chart.draw_series(LineSeries::new(cut(&self.behind), &BLACK.mix(0.2)))?;
        chart.draw_series(LineSeries::new(cut(&self.curve), BLUE.stroke_width(2)))?;
        let Range { start, end } = self.heights;
        for (index, (place, _, words)) in self.marks.iter().enumerate() {
            let line = [(*place, start), (*place, end)];
            chart.draw_series(LineSeries::new(line, &RED))?;
            let height = end - (end - start) * 0.06 * (index + 1) as f64;
            let label = Text::new(format!(" {words}"), (*place, height), ("sans-serif", 14));
            chart.draw_series([label])?;
        }
        area.present()?;
        drop(chart);
        drop(area);
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_curve_falls_and_its_mark_stands_in_its_column() {
        let curve: Vec<(f64, f64)> = (0..=64)
            .map(|at| {
                (
                    10f64.powf(f64::from(at) / 16.0 - 4.0),
                    2.0 - f64::from(at) / 64.0,
                )
            })
            .collect();
        let plot = Plot {
            axes: ["rate", "loss"],
            behind: curve.clone(),
            curve,
            marks: vec![(1e-2, 'a', "here")],
            heights: 1.0..2.0,
        };
        let text = plot.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), ROWS + 3);
        assert!(lines[0].contains("2.000 \u{2502}\u{2022}"), "{text}");
        assert!(lines[ROWS - 1].ends_with('\u{2022}') && lines[ROWS - 1].contains('a'));
        assert!(lines[ROWS + 1].contains("1e-4") && lines[ROWS + 1].ends_with("1e0"));
        let svg = plot.svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("here"));
        let empty = Plot {
            curve: Vec::new(),
            ..plot
        };
        assert!(empty.text().is_empty() && empty.svg().is_err());
    }
}
