//! What happens to a line next? One stage of a pipeline.

use causeway_model::{Error, Result, of_re2};
use regex::Regex;

use super::{MATCHES, filter, matcher_of};
use crate::ast::{LabelChoice, LineCondition, LineFilter, Logfmt, Needle, NewLabel, Stage};
use crate::cursor::Cursor;
use crate::json::Path;
use crate::labels::ERROR;
use crate::pattern::Pattern;
use crate::template::Template;

/// Labels or texts that one stage names at most. 1,000: no more labels are found in a line.
const NAMED_MAX: usize = 1_000;
/// Memory of a compiled expression at most.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// The nth of a query gets an nth of this at most, so that a hundred take 28 MiB together and not 100.
const REGEXES_BYTES: usize = 8 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contains,
    Matches,
    Pattern,
}

const LINE_FILTERS: [(&str, (Kind, bool)); 6] = [
    ("|=", (Kind::Contains, false)),
    ("|~", (Kind::Matches, false)),
    ("|>", (Kind::Pattern, false)),
    ("!=", (Kind::Contains, true)),
    ("!~", (Kind::Matches, true)),
    ("!>", (Kind::Pattern, true)),
];

/// The next stage; `None` where there is none.
pub(super) fn next(cursor: &mut Cursor<'_>) -> Result<Option<Stage>> {
    if let Some((kind, negative)) = cursor.take_any(&LINE_FILTERS) {
        return line_filter(cursor, kind, negative).map(Some);
    }
    let before = *cursor;
    if !cursor.take("|") {
        return Ok(None);
    }
    if cursor.peek_word() == "unwrap" {
        // It belongs to the range around the lines.
        *cursor = before;
        return Ok(None);
    }
    named(cursor).map(Some)
}

fn refused_at<'a>(cursor: &Cursor<'a>) -> impl Fn(Error) -> Error + use<'a> {
    let place = *cursor;
    move |error| Error { message: format!("{}{}", place.refused("").message, error.message), ..error }
}

fn line_filter(cursor: &mut Cursor<'_>, kind: Kind, negative: bool) -> Result<Stage> {
    let mut any = Vec::new();
    loop {
        if any.len() >= NAMED_MAX {
            return Err(cursor.refused(&format!("more than {NAMED_MAX} texts in one filter")));
        }
        any.push(condition(cursor, kind)?);
        if !cursor.take_word("or") {
            return Ok(Stage::Lines(LineFilter { negative, any }));
        }
    }
}

fn condition(cursor: &mut Cursor<'_>, kind: Kind) -> Result<LineCondition> {
    if cursor.take_word("ip") {
        if kind != Kind::Contains {
            return Err(cursor.refused("ip: invalid operation"));
        }
        return filter::ip(cursor).map(LineCondition::Ip);
    }
    let refused = refused_at(cursor);
    let text = cursor.string()?;
    match kind {
        Kind::Contains => Ok(LineCondition::Contains(Box::new(Needle::new(text)))),
        Kind::Matches => expression(cursor, &text).map(LineCondition::Matches).map_err(refused),
        Kind::Pattern => Pattern::of_lines(&text).map(LineCondition::Pattern).map_err(refused),
    }
}

fn expression(cursor: &mut Cursor<'_>, text: &str) -> Result<Regex> {
    cursor.count_regex()?;
    let bytes_max = (REGEXES_BYTES / cursor.regexes().max(1)).min(REGEX_BYTES_MAX);
    let mut builder = regex::RegexBuilder::new(&of_re2(text));
    // What is remembered while matching may take half as much, which is what the library allows for by itself.
    let built = builder.size_limit(bytes_max).dfa_size_limit(bytes_max / 2).build();
    built.map_err(|error| {
        let message = error.to_string();
        let why = message.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let twice = why.contains("duplicate capture group name");
        let why =
            if twice { "duplicate extracted label name".to_owned() } else { format!("error parsing regexp: {why}") };
        Error::invalid(why)
    })
}

/// A stage behind `|`.
fn named(cursor: &mut Cursor<'_>) -> Result<Stage> {
    let before = *cursor;
    let word = cursor.peek_word();
    cursor.advance(word.len());
    let refused = refused_at(cursor);
    match word {
        "json" => json(cursor).map(Stage::Json),
        "logfmt" => logfmt(cursor).map(Stage::Logfmt),
        "unpack" => Ok(Stage::Unpack),
        "decolorize" => Ok(Stage::Decolorize),
        "regexp" if cursor.is_string() => {
            let text = cursor.string()?;
            let regex = expression(cursor, &text).map_err(&refused)?;
            if regex.capture_names().flatten().next().is_none() {
                return Err(refused(Error::invalid("at least one named capture must be supplied")));
            }
            Ok(Stage::Regexp(regex))
        }
        "pattern" if cursor.is_string() => Pattern::of_labels(&cursor.string()?).map(Stage::Pattern).map_err(refused),
        "line_format" if cursor.is_string() => template(cursor).map(Stage::LineFormat).map_err(refused),
        "label_format" => {
            let formats = list(cursor, label_format)?;
            let mut names: Vec<&str> = formats.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            if names.contains(&ERROR) {
                return Err(refused(Error::invalid(format!("{ERROR} cannot be formatted"))));
            }
            if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
                return Err(refused(Error::invalid(
                    "multiple label name can not be formatted twice in a single format operation",
                )));
            }
            Ok(Stage::LabelFormat(formats))
        }
        "drop" => list(cursor, choice).map(Stage::Drop),
        "keep" => list(cursor, choice).map(Stage::Keep),
        _ => {
            *cursor = before;
            filter::read(cursor).map(Stage::Labels)
        }
    }
}

/// Items with commas between them.
fn list<T>(cursor: &mut Cursor<'_>, item: fn(&mut Cursor<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut items = vec![item(cursor)?];
    while cursor.take(",") {
        if items.len() >= NAMED_MAX {
            return Err(cursor.refused(&format!("more than {NAMED_MAX} labels in one stage")));
        }
        items.push(item(cursor)?);
    }
    Ok(items)
}

/// A name, and behind `=` what it is made of; the name itself where nothing stands there.
fn extraction(cursor: &mut Cursor<'_>) -> Result<(String, String)> {
    let name = cursor.name()?.to_owned();
    let of = if cursor.take("=") { cursor.string()? } else { name.clone() };
    Ok((name, of))
}

fn json(cursor: &mut Cursor<'_>) -> Result<Vec<(String, Path)>> {
    if cursor.peek_word().is_empty() {
        return Ok(Vec::new());
    }
    let refused = refused_at(cursor);
    let wanted = list(cursor, extraction)?;
    wanted.into_iter().map(|(name, path)| Ok((name, Path::new(&path).map_err(&refused)?))).collect()
}

fn logfmt(cursor: &mut Cursor<'_>) -> Result<Logfmt> {
    let mut stage = Logfmt::default();
    loop {
        if cursor.take("--strict") {
            stage.strict = true;
        } else if cursor.take("--keep-empty") {
            stage.keep_empty = true;
        } else {
            break;
        }
    }
    if !cursor.peek_word().is_empty() {
        stage.wanted = list(cursor, extraction)?;
    }
    Ok(stage)
}

fn template(cursor: &mut Cursor<'_>) -> Result<Template> {
    let text = cursor.string()?;
    Template::new(&text, &mut |text| expression(cursor, text))
}

fn label_format(cursor: &mut Cursor<'_>) -> Result<(String, NewLabel)> {
    let name = cursor.name()?.to_owned();
    cursor.expect("=")?;
    let refused = refused_at(cursor);
    let new = if cursor.is_string() {
        NewLabel::Made(template(cursor).map_err(refused)?)
    } else {
        NewLabel::Renamed(cursor.name()?.to_owned())
    };
    Ok((name, new))
}

fn choice(cursor: &mut Cursor<'_>) -> Result<LabelChoice> {
    let name = cursor.name()?.to_owned();
    let Some(operator) = cursor.take_any(&MATCHES) else { return Ok(LabelChoice { name, matcher: None }) };
    let matcher = matcher_of(cursor, &name, operator)?;
    Ok(LabelChoice { name, matcher: Some(matcher) })
}
