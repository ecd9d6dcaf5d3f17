//! Which files does a pattern name? `*` and `?` within a name, `[a-z]` and `[!a-z]` for one letter, `**` for any folders.

use std::path::{Path, PathBuf};

/// Folders below each other that `**` goes into. 16: logs lie less deep, and links can lead in circles.
const DEPTH_MAX: usize = 16;
/// Names that one look at a pattern reads. 100,000: such a folder takes a tenth of a second.
const NAMES_MAX: usize = 100_000;

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<String>,
}

impl Pattern {
    /// Reads a pattern; a relative one begins at `folder`.
    pub fn new(text: &str, folder: &Path) -> Self {
        let whole = folder.join(text);
        let whole = whole.to_string_lossy();
        let segments = whole.split('/').filter(|part| !matches!(*part, "" | "."));
        Self { segments: segments.map(str::to_owned).collect() }
    }

    /// The pattern as an absolute path.
    pub fn text(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// What it names, in the order of names. Folders that can't be read name nothing.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut walk = Walk { found: Vec::new(), names_left: NAMES_MAX };
        walk.below(PathBuf::from("/"), &self.segments, DEPTH_MAX);
        walk.found
    }
}

struct Walk {
    found: Vec<PathBuf>,
    names_left: usize,
}

impl Walk {
    /// Recursion ends with the segments of the pattern and `depth_left` folders of each `**`.
    fn below(&mut self, folder: PathBuf, segments: &[String], depth_left: usize) {
        let Some((segment, rest)) = segments.split_first() else { return };
        if segment == "**" {
            self.below(folder.clone(), rest, DEPTH_MAX);
            if depth_left == 0 {
                return;
            }
            for name in self.names(&folder) {
                let inner = folder.join(&name);
                if !name.starts_with('.') && inner.is_dir() {
                    self.below(inner, segments, depth_left - 1);
                }
            }
            return;
        }
        let names = if is_plain(segment) { vec![segment.clone()] } else { self.names(&folder) };
        for name in names {
            if !is_plain(segment) && !matches(segment, &name) {
                continue;
            }
            let path = folder.join(&name);
            match rest {
                [] => self.found.push(path),
                _ => self.below(path, rest, DEPTH_MAX),
            }
        }
    }

    fn names(&mut self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(self.names_left);
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        self.names_left = self.names_left.saturating_sub(names.len());
        names.sort_unstable();
        names
    }
}

fn is_plain(segment: &str) -> bool {
    !segment.contains(['*', '?', '['])
}

/// Whether a name fits one segment of a pattern. A name that begins with a dot has to be asked for.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Behind the last star, and how much of the name that star has taken.
    let mut star: Option<(usize, usize)> = None;
    while of < name.len() {
        let letter = name.get(of).copied().unwrap_or_default();
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, of));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(pattern.get(at..).unwrap_or_default(), letter),
            Some(plain) => (*plain == letter).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => (at, of) = (at + step, of + 1),
            (None, Some((behind, taken))) => {
                star = Some((behind, taken + 1));
                (at, of) = (behind, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|letter| *letter == '*')
}

/// The length of the class at the start of a pattern, if the letter is in it. A bracket that is never closed stands for itself.
fn class(pattern: &[char], letter: char) -> Option<usize> {
    let Some(end) = pattern.iter().skip(2).position(|each| *each == ']').map(|at| at + 2) else {
        return (letter == '[').then_some(1);
    };
    let inside = pattern.get(1..end).unwrap_or_default();
    let (is_not, mut inside) = match inside {
        ['!' | '^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut is_in = false;
    while let [first, rest @ ..] = inside {
        if let ['-', last, behind @ ..] = rest {
            is_in |= (*first..=*last).contains(&letter);
            inside = behind;
        } else {
            is_in |= *first == letter;
            inside = rest;
        }
    }
    (is_in != is_not).then_some(end + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, fits) in [
            ("*.log", "app.log", true),
            ("*.log", ".log", false),
            (".*", ".log", true),
            ("*", "", true),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyyb", false),
            ("app.log*", "app.log.1", true),
            ("app-?.log", "app-7.log", true),
            ("app-?.log", "app-.log", false),
            ("app-[0-9].log", "app-7.log", true),
            ("app-[!0-9].log", "app-7.log", false),
            ("app-[abc-].log", "app--.log", true),
            ("a[", "a[", true),
            ("a[]b]", "a]", true),
            ("ä*", "äöü", true),
            ("******************************a", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn folders_are_walked() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/x.log", "a/b/y.log", "a/b/c/z.log", "a/.h/h.log", "w.txt"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/b/again")).unwrap();
        let found = |pattern: &str| -> Vec<String> {
            let files = Pattern::new(pattern, folder.path()).files();
            let relative = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
            files.iter().map(relative).filter(|path| !path.contains("again")).collect()
        };
        assert_eq!(found("a/*.log"), ["a/x.log"]);
        assert_eq!(found("**/*.log"), ["a/x.log", "a/b/y.log", "a/b/c/z.log"]);
        assert_eq!(found("a/*/?.log"), ["a/b/y.log"]);
        assert_eq!(found("./nowhere.log"), ["nowhere.log"]);
        assert!(found("none/*.log").is_empty());
    }
}
