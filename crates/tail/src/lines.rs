//! Where do lines end? Takes lines out of bytes that come in pieces, holds at most one line.

/// Bytes of one line, and of one record of several. 256 KiB: a stack trace with all its causes has some 20. What is longer is cut.
pub const RECORD_BYTES_MAX: usize = 256 << 10;

/// Takes lines out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Bytes of the line so far, those beyond the limit among them.
    bytes: usize,
    is_cut: bool,
}

/// One line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What it says, as far as the limit allows.
    pub text: &'a [u8],
    /// Bytes that it took in its source, end and what was cut off included.
    pub bytes: usize,
    /// Whether something was cut off.
    pub is_cut: bool,
}

impl Lines {
    /// Takes bytes in and gives out each line that ends in them.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.hold(line);
            bytes = rest.get(1..).unwrap_or_default();
            self.bytes += 1;
            self.give(each);
        }
        self.hold(bytes);
    }

    /// Gives out a line that has not ended, if there is one.
    pub fn finish(&mut self, each: &mut impl FnMut(Line<'_>)) {
        if self.bytes > 0 {
            self.give(each);
        }
    }

    /// Bytes of the line that has not ended.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Zeros before a line are a hole: a file that is emptied under a writer who goes on at the old place begins with one.
    fn hold(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        let hole = if self.held.is_empty() { bytes.iter().take_while(|byte| **byte == 0).count() } else { 0 };
        let bytes = bytes.get(hole..).unwrap_or_default();
        let room = RECORD_BYTES_MAX.saturating_sub(self.held.len());
        self.is_cut |= bytes.len() > room;
        self.held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn give(&mut self, each: &mut impl FnMut(Line<'_>)) {
        let text = self.held.strip_suffix(b"\r").unwrap_or(&self.held);
        each(Line { text, bytes: self.bytes, is_cut: self.is_cut });
        self.held.clear();
        self.held.shrink_to(RECORD_BYTES_MAX / 64);
        (self.bytes, self.is_cut) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<(String, usize, bool)> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut keep =
            |line: Line<'_>| found.push((String::from_utf8_lossy(line.text).into_owned(), line.bytes, line.is_cut));
        for piece in pieces {
            lines.feed(piece, &mut keep);
        }
        lines.finish(&mut keep);
        found
    }

    #[test]
    fn lines_are_told_with_the_bytes_they_took() {
        let line = |text: &str, bytes| (text.to_owned(), bytes, false);
        let expected = [line("a", 2), line("", 1), line("bc", 4), line("d", 1)];
        assert_eq!(split(&[b"a\n\nbc\r\nd"]), expected);
        assert_eq!(split(&[b"a", b"\n\nb", b"c\r", b"\nd"]), expected);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_and_all_its_bytes_counted() {
        let long = vec![b'x'; RECORD_BYTES_MAX + 5];
        let found = split(&[&long, b"\ny\n"]);
        let told: Vec<_> = found.iter().map(|(text, bytes, is_cut)| (text.len(), *bytes, *is_cut)).collect();
        assert_eq!(told, [(RECORD_BYTES_MAX, RECORD_BYTES_MAX + 6, true), (1, 2, false)]);
        let ends_there = split(&[&vec![b'x'; RECORD_BYTES_MAX + 1]]);
        assert!(ends_there.iter().all(|(text, _, is_cut)| text.len() == RECORD_BYTES_MAX && *is_cut));
    }

    #[test]
    fn a_hole_before_a_line_is_passed_over_and_counted() {
        let hole = vec![0u8; RECORD_BYTES_MAX];
        let found = split(&[&hole, b"\0first\n", b"\0\0", b"second\0\n"]);
        let line = |text: &str, bytes| (text.to_owned(), bytes, false);
        assert_eq!(found, [line("first", RECORD_BYTES_MAX + 7), line("second\0", 10)]);
    }
}
