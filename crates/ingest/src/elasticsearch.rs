//! What does a bulk request to Elasticsearch mean? Pairs of lines, an action and a document
//! (<https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>). A document is read as a line of JSON is; what its index is called
//! stands in its resource. Documents are only ever added: ids are not looked at, and what was sent twice stands twice.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;

use std::sync::Arc;

use causeway_model::{Error, Result};

use crate::Decoded;
use crate::json::{Reader, Step};
use crate::lines::{Keep, Line, LineRows, check_body, error_of};
use crate::wire::Fault;

/// Actions of one request. 100,000: shippers send 50 to 10,000, and each is answered by some hundred bytes.
pub const ACTIONS_MAX: usize = 100_000;

/// Bytes of an index's name, as Elasticsearch has it: each answer repeats it.
const INDEX_BYTES_MAX: usize = 255;

/// What is to be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Keep it.
    Index,
    /// Keep it, as a new one.
    Create,
    /// Change parts of it, which is refused.
    Update,
    /// Forget it, which is refused.
    Delete,
}

impl Action {
    const ALL: [Self; 4] = [Self::Index, Self::Create, Self::Update, Self::Delete];

    /// Its name in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// One action, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What was to be done.
    pub action: Action,
    /// The index that it names, or that the path does.
    pub index: Arc<str>,
    /// The id that it names.
    pub id: Option<String>,
    /// Why it was refused.
    pub refused: Option<&'static str>,
}

/// A bulk request, decoded.
#[derive(Debug)]
pub struct Bulk {
    /// The documents that are kept.
    pub decoded: Decoded,
    /// All actions in their order.
    pub items: Vec<Item>,
}

/// Decodes a bulk request; `index` is the one in its path.
///
/// # Errors
/// `Invalid` where an action can't be read or has no index or no document, `TooLarge` beyond [`ACTIONS_MAX`].
pub fn decode_bulk(index: Option<&str>, body: &[u8], received_unix_nano: i64) -> Result<Bulk> {
    check_body(body)?;
    if !body.is_empty() && !body.ends_with(b"\n") {
        return Err(Error::invalid("The bulk request must be terminated by a newline [\\n]"));
    }
    let mut rows = LineRows::new(Keep::Fields, received_unix_nano);
    let mut items: Vec<Item> = Vec::new();
    let mut lines = body.split(|byte| *byte == b'\n').zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if items.len() >= ACTIONS_MAX {
            return Err(error_of(Fault::Limit("too many actions in one bulk request")));
        }
        let mut item = action(line, index, items.last()).map_err(|what| {
            Error::invalid(format!("Malformed action/metadata line [{number}], expected START_OBJECT: {what}"))
        })?;
        if item.index.is_empty() {
            return Err(Error::invalid(format!("Validation Failed: {number}: index is missing;")));
        }
        if item.index.len() > INDEX_BYTES_MAX {
            let what = format!("Validation Failed: {number}: the index name has more than {INDEX_BYTES_MAX} bytes;");
            return Err(Error::invalid(what));
        }
        let document = if item.action == Action::Delete { None } else { lines.next() };
        item.refused = keep(&item, document.map(|(document, _)| document), &mut rows).map_err(error_of)?;
        items.push(item);
    }
    Ok(Bulk { decoded: rows.finish()?, items })
}

/// Keeps a document, or says why not.
fn keep(item: &Item, document: Option<&[u8]>, rows: &mut LineRows) -> Result<Option<&'static str>, Fault> {
    if matches!(item.action, Action::Update | Action::Delete) {
        rows.count_refused("not_an_addition")?;
        return Ok(Some("logs are only ever added: index or create"));
    }
    let document = document.unwrap_or_default().trim_ascii();
    if document.is_empty() {
        return Err(Fault::Framing("Malformed content, found an action without its document"));
    }
    let resource = rows.add_resource(&[("elasticsearch.index", &item.index)])?;
    let text = String::from_utf8_lossy(document);
    let kept = rows.add(resource, &Line { text: &text, ..Line::default() })?;
    Ok((!kept).then_some("the document is too long"))
}

/// `{"create": {"_index": "logs", "_id": "1"}}`. Indexes mostly are those of the action before.
fn action(line: &[u8], index: Option<&str>, before: Option<&Item>) -> Step<Item> {
    let mut reader = Reader::new(line);
    let mut text = Vec::new();
    reader.begin_object()?;
    if !reader.next_key(&mut text)? {
        return Err("no action");
    }
    let action = Action::ALL.into_iter().find(|action| action.name().as_bytes() == text).ok_or("an unknown action")?;
    let (mut named, mut id) = (None, None);
    reader.begin_object()?;
    while reader.next_key(&mut text)? {
        let kept = match text.as_slice() {
            b"_index" => &mut named,
            b"_id" => &mut id,
            _ => {
                reader.skip_value()?;
                continue;
            }
        };
        if !reader.skip_null()? {
            reader.string(&mut text)?;
            *kept = Some(String::from_utf8_lossy(&text).into_owned());
        }
    }
    if reader.next_key(&mut text)? {
        return Err("more than one action");
    }
    reader.end()?;
    let name = named.as_deref().or(index).unwrap_or_default();
    let index =
        before.filter(|before| &*before.index == name).map_or_else(|| name.into(), |before| before.index.clone());
    Ok(Item { action, index, id, refused: None })
}
