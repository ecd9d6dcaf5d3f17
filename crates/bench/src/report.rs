//! How are the figures told? As Markdown tables, with a ratio to each peer.

use std::fmt::Write;

use crate::workload::Signal;
use crate::workload::files::Bodies;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// One figure of one program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// None where there is none.
    pub value: Option<f64>,
    /// Whether the answer behind it was wrong.
    pub wrong: bool,
}

impl Cell {
    /// A figure that is not in doubt.
    pub fn of(value: Option<f64>) -> Self {
        Self { value, wrong: false }
    }
}

/// One line of a table; a cell for each program.
#[derive(Debug, Clone)]
pub struct Row {
    pub label: String,
    pub better: Better,
    pub cells: Vec<Cell>,
}

impl Row {
    /// A row whose cells come later.
    pub fn empty(label: &str, better: Better) -> Self {
        Self { label: label.to_owned(), better, cells: Vec::new() }
    }
}

/// All about one signal.
#[derive(Debug, Clone)]
pub struct Section {
    pub title: String,
    pub rows: Vec<Row>,
    pub notes: Vec<String>,
}

impl Section {
    /// A section without figures.
    pub fn new(signal: Signal, bodies: &Bodies) -> Self {
        let each = bodies.bytes as f64 / bodies.records.max(1) as f64;
        let title = format!(
            "{}: {} {} in {} requests, {each:.0} bytes each as {}",
            signal.name(),
            bodies.records,
            signal.unit(),
            bodies.bodies,
            signal.encoding()
        );
        Self { title, rows: Vec::new(), notes: Vec::new() }
    }
}

/// A whole report.
#[derive(Debug, Clone)]
pub struct Report {
    /// The programs, ours first; their order is that of the cells.
    pub programs: Vec<String>,
    /// Lines on machine, versions and seed.
    pub preamble: Vec<String>,
    pub sections: Vec<Section>,
}

impl Report {
    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for line in &self.preamble {
            let _ = writeln!(text, "- {line}");
        }
        for section in &self.sections {
            self.section(section, &mut text);
        }
        text
    }

    fn section(&self, section: &Section, text: &mut String) {
        // A column that is empty throughout says nothing; our own stays, so that the table keeps its shape.
        let shown: Vec<usize> = (0..self.programs.len())
            .filter(|at| {
                *at == 0 || section.rows.iter().any(|row| row.cells.get(*at).is_some_and(|cell| cell.value.is_some()))
            })
            .collect();
        let peers: Vec<usize> = shown.iter().copied().filter(|at| *at != 0).collect();
        let _ = write!(text, "\n### {}\n\n|", section.title);
        for at in &shown {
            let _ = write!(text, " | {}", self.programs[*at]);
        }
        for at in &peers {
            let _ = write!(text, " | against {}", self.programs[*at]);
        }
        let _ = writeln!(text, " |\n|---{}|", "|---:".repeat(shown.len() + peers.len()));
        for row in &section.rows {
            let cell = |at: usize| row.cells.get(at).copied().unwrap_or(Cell::of(None));
            let _ = write!(text, "| {}", row.label);
            for at in &shown {
                let _ = write!(text, " | {}", figure(cell(*at)));
            }
            for at in &peers {
                let _ = write!(text, " | {}", ratio(row.better, cell(0), cell(*at)));
            }
            let _ = writeln!(text, " |");
        }
        for note in &section.notes {
            let _ = write!(text, "\n- {note}");
        }
        if !section.notes.is_empty() {
            text.push('\n');
        }
    }
}

/// Three digits that count; a wrong answer is marked.
fn figure(cell: Cell) -> String {
    let Some(value) = cell.value else { return "–".to_owned() };
    let text = match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if cell.wrong { format!("{text} (wrong)") } else { text }
}

/// How many times better ours is; below 1 it is worse. Speed on a wrong answer has no ratio.
fn ratio(better: Better, ours: Cell, theirs: Cell) -> String {
    match (ours.value, theirs.value) {
        (Some(ours_value), Some(theirs_value))
            if ours_value > 0.0 && theirs_value > 0.0 && !ours.wrong && !theirs.wrong =>
        {
            let ratio = match better {
                Better::Higher => ours_value / theirs_value,
                Better::Lower => theirs_value / ours_value,
            };
            format!("{}x", figure(Cell::of(Some(ratio))))
        }
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: Vec<Row>) -> Report {
        let section = Section { title: "logs".to_owned(), rows, notes: vec!["a note".to_owned()] };
        Report {
            programs: vec!["Causeway".to_owned(), "A".to_owned(), "B".to_owned()],
            preamble: vec!["seed 1".to_owned()],
            sections: vec![section],
        }
    }

    fn row(better: Better, cells: [Option<f64>; 3]) -> Row {
        Row { label: "x".to_owned(), better, cells: cells.into_iter().map(Cell::of).collect() }
    }

    #[test]
    fn ratios_say_how_many_times_better_ours_is() {
        let rows = vec![
            row(Better::Lower, [Some(2.0), Some(5.0), None]),
            row(Better::Higher, [Some(200.0), Some(100.0), None]),
        ];
        let expected = "- seed 1\n\n### logs\n\n| | Causeway | A | against A |\n|---|---:|---:|---:|\n\
             | x | 2.00 | 5.00 | 2.50x |\n| x | 200 | 100 | 2.00x |\n\n- a note\n";
        assert_eq!(report(rows).markdown(), expected);
    }

    #[test]
    fn a_wrong_answer_is_marked_and_has_no_ratio() {
        let mut wrong = row(Better::Lower, [Some(1.0), Some(10.0), None]);
        wrong.cells[0].wrong = true;
        let text = report(vec![wrong]).markdown();
        assert!(text.contains("| x | 1.00 (wrong) | 10.0 | – |"), "{text}");
    }

    #[test]
    fn without_ours_the_peers_still_stand() {
        let text = report(vec![row(Better::Lower, [None, Some(1.0), Some(0.0)])]).markdown();
        assert!(text.contains("| x | – | 1.00 | 0.00 | – | – |"), "{text}");
    }
}
