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

/// Words that templates are made of, with all functions.
const WORDS: &[&str] = &[
    "{{", "}}", "{{-", " -}}", "if", "else", "end", "range", "with", "break", "continue", "$", "$x", ":=", "=", ",",
    "|", "(", ")", ".", ".a", ".a.b", "nil", "true", "text", "\n", " ", "/*", "*/", "\"", "`", "'é'",
];
const VALUES: &[&str] = &[
    ".",
    ".a",
    ".b",
    "nil",
    "true",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "-0.5",
    "\"\"",
    "\"é%5.3f[1]*d\"",
    "\"2006-01-02T15:04:05.999999999Z07:00 Mon _2 MST\"",
    "\"Europe/Berlin\"",
    "\"(a|é)*?$1\"",
    "\"1700000000\"",
    "now",
    "__line__",
    "__timestamp__",
    "(fromJson __line__)",
    "(fromJson .b)",
    "(unixToTime \"99999\")",
    "(toDate \"2006\" \"9999\")",
    "(repeat 100000 .b)",
    "(index . \"a\")",
];
const FUNCTIONS: &[&str] = &[
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "slice",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "__line__",
    "default",
    "fromJson",
    "ToLower",
    "lower",
    "ToUpper",
    "upper",
    "title",
    "Replace",
    "replace",
    "Trim",
    "trimAll",
    "TrimLeft",
    "TrimRight",
    "TrimPrefix",
    "trimPrefix",
    "TrimSuffix",
    "trimSuffix",
    "TrimSpace",
    "trim",
    "contains",
    "hasPrefix",
    "hasSuffix",
    "trunc",
    "substr",
    "alignLeft",
    "alignRight",
    "indent",
    "nindent",
    "repeat",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "count",
    "urlencode",
    "urldecode",
    "b64enc",
    "b64dec",
    "int",
    "float64",
    "add",
    "sub",
    "mul",
    "div",
    "mod",
    "max",
    "min",
    "addf",
    "subf",
    "mulf",
    "divf",
    "maxf",
    "minf",
    "ceil",
    "floor",
    "round",
    "duration",
    "duration_seconds",
    "bytes",
    "__timestamp__",
    "now",
    "date",
    "toDate",
    "toDateInZone",
    "unixEpoch",
    "unixEpochMillis",
    "unixEpochNanos",
    "unixToTime",
];

fn one_of<'a>(rng: &mut Rng, words: &[&'a str]) -> &'a str {
    words[rng.below(words.len() as u64) as usize]
}

#[test]
fn any_template_is_read_or_refused_and_makes_little() {
    let labels =
        vec![("a".to_owned(), "ä%s\n x=1.50".to_owned()), ("b".to_owned(), r#"[1,"x",{"y":null}]"#.to_owned())];
    let line = r#"{"k":[[],{}],"t":"2023-03-23T13:13:35Z"}"#.to_owned();
    let scene = Scene { labels, line, time_ns: i64::MAX };
    let mut rng = Rng::from_seed(11);
    let (mut made, mut failed) = (0, 0);
    for _ in 0..20_000 {
        let words: Vec<&str> = (0..rng.below(12)).map(|_| one_of(&mut rng, WORDS)).collect();
        let between = if rng.below(2) == 0 { " " } else { "" };
        let _ = scene.made(&words.join(between));
        let function = one_of(&mut rng, FUNCTIONS);
        let values: Vec<&str> = (0..rng.below(5)).map(|_| one_of(&mut rng, VALUES)).collect();
        match scene.made(&format!("{{{{ {function} {} }}}}", values.join(" "))) {
            Ok(text) => {
                assert!(text.len() <= 1 << 20);
                made += 1;
            }
            Err(_) => failed += 1,
        }
    }
    assert!(made > 500 && failed > 500, "{made} and {failed}");
}
