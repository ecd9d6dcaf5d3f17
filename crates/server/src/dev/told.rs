//! What of the rows that come again is new? Each look goes back a little, as rows arrive late; a row that was told already is not told again.

use std::collections::BTreeMap;

/// What the last look brought.
#[derive(Debug, Default)]
pub struct Told {
    /// How often each row was there: two records may be the same in all they say.
    rows: BTreeMap<String, usize>,
}

impl Told {
    /// The rows that the look before did not bring, in the order given. `key` is all that tells one row from another.
    pub fn fresh<T>(&mut self, rows: Vec<T>, key: impl Fn(&T) -> String) -> Vec<T> {
        let mut now: BTreeMap<String, usize> = BTreeMap::new();
        let mut fresh = Vec::new();
        for row in rows {
            let key = key(&row);
            let known = self.rows.get(&key).copied().unwrap_or_default();
            let seen = now.entry(key).or_default();
            *seen += 1;
            if *seen > known {
                fresh.push(row);
            }
        }
        // What has left the window does not come back: windows only move forward.
        self.rows = now;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_looks_tell_each_row_once_and_equal_rows_as_often_as_they_are() {
        let mut told = Told::default();
        let mut look = |rows: &[&'static str]| told.fresh(rows.to_vec(), |row| (*row).to_owned());
        assert_eq!(look(&["a", "b"]), ["a", "b"]);
        assert_eq!(look(&["a", "late", "b", "c"]), ["late", "c"]);
        assert_eq!(look(&["c", "c", "d"]), ["c", "d"]);
        assert_eq!(look(&["c", "c", "d"]), [""; 0]);
        assert_eq!(look(&[]), [""; 0]);
        assert_eq!(look(&["e"]), ["e"]);
    }
}
