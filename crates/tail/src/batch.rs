//! What is sent at once? Records of one service as lines of JSON, and how far each file is read when they are kept.

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

/// The attributes of a file's records, as members of a JSON object with a comma behind each.
#[derive(Debug, Clone, Default)]
pub struct Members(String);

impl Members {
    /// `log.file.path` and `log.file.name`.
    pub fn of_file(path: &std::path::Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self(format!(
            "\"log.file.path\":{},\"log.file.name\":{},",
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

    /// Adds a record as a message; the server takes one apart that is JSON itself.
    pub fn push(&mut self, record: &Record, members: &Members) {
        let Members(members) = members;
        self.body
            .extend_from_slice(format!("{{{members}\"message\":{}}}\n", Value::from(record.text.as_str())).as_bytes());
        self.records += 1;
        self.lines = self.lines.saturating_add(record.lines);
    }

    /// Whether no more should be added.
    pub fn is_full(&self) -> bool {
        self.body.len() >= BATCH_BYTES_MAX
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_record_is_one_line_of_json_that_says_where_it_stood() {
        let (mut batch, members) = (Batch::of("app"), Members::of_file(Path::new("/var/log/a\"b.log")));
        let texts = ["plain \"text\"\n\tat x", "{\"level\":30,\"n\":1.0}", "{\n  \"a\": 1\n}"];
        for text in texts {
            batch.push(&Record { text: text.to_owned(), end: 1, lines: 1, is_cut: false }, &members);
        }
        let rows: Vec<Value> =
            String::from_utf8(batch.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = texts
            .map(|text| json!({ "log.file.path": "/var/log/a\"b.log", "log.file.name": "a\"b.log", "message": text }));
        assert_eq!(rows, expected);
        let mut bare = Batch::of("stdin");
        bare.push(&Record { text: "a".to_owned(), end: 1, lines: 1, is_cut: false }, &Members::default());
        assert_eq!((bare.body.as_slice(), bare.records), (&b"{\"message\":\"a\"}\n"[..], 1));
    }
}
