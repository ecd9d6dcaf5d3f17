//! Which text does a template make of a line? Cases in `tests/scripts/templates.txt`, whose head says how they are written.

use causeway_logql::ast::{Query, Stage};
use causeway_logql::{ERROR, ERROR_DETAILS, Line, LineLabels, Looked, parse};
use causeway_model::{Labels, Rng};

/// What a template is tried with.
#[derive(Default)]
struct Scene {
    labels: Vec<(String, String)>,
    line: String,
    time_ns: i64,
}

/// A text that may stand in quotes.
fn text(written: &str) -> String {
    if written.starts_with('"') { causeway_promql::unquote(written).unwrap() } else { written.to_owned() }
}

/// `a="b" c="d"`.
fn pairs(written: &str) -> Vec<(String, String)> {
    let mut rest = written.trim();
    let mut pairs = Vec::new();
    while let Some((name, behind)) = rest.split_once('=') {
        let quote = &behind[..1];
        let mut ends = behind.match_indices(quote).skip(1).map(|(at, _)| at);
        let end = ends.find(|end| quote == "`" || !behind[..*end].ends_with('\\')).unwrap();
        pairs.push((name.to_owned(), causeway_promql::unquote(&behind[..=end]).unwrap()));
        rest = behind[end + 1..].trim_start();
    }
    pairs
}

fn stages(query: &str, now_ns: i64) -> Result<Vec<Stage>, String> {
    match parse(query).map_err(|error| error.message)?.at(now_ns) {
        Query::Log(log) => Ok(log.stages),
        Query::Metric(_) => panic!("{query} asks for numbers"),
    }
}

impl Scene {
    /// The text that a line becomes, or what goes wrong, with `fails` or `refused` before it.
    fn made(&self, template: &str) -> Result<String, String> {
        let query = format!("{{a=\"b\"}} | line_format {}", causeway_promql::quote(template));
        let stages = stages(&query, self.time_ns).map_err(|why| format!("refused: {why}"))?;
        let labels = Labels::new(self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let labels = LineLabels::new(&labels, [], &Looked::ALL);
        let mut line = Line { time_ns: self.time_ns, text: self.line.as_str().into(), labels };
        assert!(line.pass(&stages));
        match line.labels.get(ERROR) {
            None => Ok(line.text.into_owned()),
            Some(kind) => {
                assert_eq!((kind, &*line.text), ("TemplateFormatErr", self.line.as_str()), "{template}");
                Err(format!("fails: {}", line.labels.get(ERROR_DETAILS).unwrap()))
            }
        }
    }
}

#[test]
fn templates_make_what_they_must() {
    let mut scene = Scene::default();
    let (mut template, mut count, mut wrong) = ("", 0, Vec::new());
    for line in include_str!("../scripts/templates.txt").lines() {
        if let Some(expected) = line.strip_prefix("  ") {
            count += 1;
            let made = scene.made(&text(template));
            let holds = match &made {
                Ok(made) => *made == text(expected),
                Err(why) => match (expected.split_once(": "), why.split_once(": ")) {
                    (Some((kind, part)), Some((found, why))) => kind == found && why.contains(part),
                    _ => false,
                },
            };
            if !holds {
                wrong.push(format!("{template}\n  {made:?}\n  instead of\n  {expected}"));
            }
        } else if let Some(labels) = line.strip_prefix("labels: ") {
            scene.labels = pairs(labels);
        } else if let Some(line) = line.strip_prefix("line: ") {
            scene.line = text(line);
        } else if let Some(time) = line.strip_prefix("time: ") {
            scene.time_ns = time.parse().unwrap();
        } else if !line.is_empty() && !line.starts_with('#') {
            template = line;
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {count} are wrong", wrong.join("\n"), wrong.len());
    assert!(count > 200);
}
