//! What is sent at once? Records of one service as lines of JSON, and how far each file is read when they are kept.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::records::Record;

/// Bytes of one batch. 1 MiB: large enough that a round trip costs little, small enough that a repeated one is no harm. One that was begun
/// below it is finished with what one step of reading brings.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// How far one file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which of the followed files.
    pub file: u64,
    /// Rises whenever the file was emptied.
    pub generation: u64,
    /// Bytes up to the end of its last record in the batch.
    pub offset: u64,
}

/// Records of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// `service.name`.
    pub service: String,
    /// One JSON object a line.
    pub body: Vec<u8>,
    /// Records in it.
    pub records: u64,
    /// Lines of the files in it.
    pub lines: u64,
    /// How far the files are read.
    pub positions: Vec<Position>,
}

/// The attributes of a file's records, as members of a JSON object.
#[derive(Debug, Clone, Default)]
pub struct Members(String);

impl Members {
    /// `log.file.path` and `log.file.name`.
    pub fn of_file(path: &std::path::Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self(format!(
            "\"log.file.path\":{},\"log.file.name\":{}",
            Value::from(path.to_string_lossy()),
            Value::from(name)
        ))
    }
}

impl Batch {
    /// A batch of this service.
    pub fn of(service: &str) -> Self {
        Self { service: service.to_owned(), ..Self::default() }
    }

    /// Adds a record. One that is a JSON object gets the members added to its own, another becomes a message.
    pub fn push(&mut self, record: &Record, members: &Members) {
        let members = &members.0;
        let line = match own_members(&record.text) {
            Some("") => format!("{{{members}}}"),
            Some(own) if members.is_empty() => format!("{{{own}}}"),
            Some(own) => format!("{{{members},{own}}}"),
            None => {
                let comma = if members.is_empty() { "" } else { "," };
                format!("{{{members}{comma}\"message\":{}}}", Value::from(record.text.as_str()))
            }
        };
        // An object that was written over several lines must not be taken for several.
        self.body.extend(line.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
        self.body.push(b'\n');
        self.records += 1;
        self.lines = self.lines.saturating_add(record.lines);
    }

    /// Whether no more should be added.
    pub fn is_full(&self) -> bool {
        self.body.len() >= BATCH_BYTES_MAX
    }
}

/// What stands between the braces of a JSON object; `None` where the text is no such.
fn own_members(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Some(inside.trim())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_record_is_one_line_of_json_that_says_where_it_stood() {
        let mut batch = Batch::of("app");
        let members = Members::of_file(Path::new("/var/log/a\"b.log"));
        for text in
            ["plain \"text\"\n\tat x", "{\"level\":30,\"n\":1.0}", "{}", "{\n  \"a\": 1\n}", "{\"a\":", "{x}", "[1]"]
        {
            batch.push(&Record { text: text.to_owned(), end: 1, lines: 1, is_cut: false }, &members);
        }
        let body = String::from_utf8(batch.body).unwrap();
        let rows: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(
            rows.iter().all(|row| row["log.file.path"] == "/var/log/a\"b.log" && row["log.file.name"] == "a\"b.log")
        );
        let messages: Vec<&Value> = rows.iter().map(|row| &row["message"]).collect();
        assert_eq!(
            messages,
            [
                "plain \"text\"\n\tat x".into(),
                Value::Null,
                Value::Null,
                Value::Null,
                "{\"a\":".into(),
                "{x}".into(),
                "[1]".into()
            ]
            .iter()
            .collect::<Vec<&Value>>()
        );
        assert_eq!((&rows[1]["level"], &rows[3]["a"], rows.len()), (&30.into(), &1.into(), 7));
        let mut bare = Batch::of("stdin");
        for text in ["a", "{\"b\":1}"] {
            bare.push(&Record { text: text.to_owned(), end: 1, lines: 1, is_cut: false }, &Members::default());
        }
        assert_eq!(bare.body, b"{\"message\":\"a\"}\n{\"b\":1}\n");
    }
}
