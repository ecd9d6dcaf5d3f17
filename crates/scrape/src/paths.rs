//! Which files does a path with a `*` name? In its last part, once, as in Prometheus' configuration.

use std::path::{Path, PathBuf};

use causeway_model::{Error, Result};

/// Files that one pattern may name; more are a mistake.
const FILES_MAX: usize = 10_000;

/// Checks a pattern and the ending of its files.
pub(crate) fn check_pattern(pattern: &str, endings: &[&str]) -> Result<()> {
    let (directory, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let known =
        name.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending.to_ascii_lowercase().as_str()));
    if !known || directory.contains('*') || name.matches('*').count() > 1 {
        let endings = endings.join(", ");
        return Err(Error::invalid(format!(
            "path name {pattern:?} is not valid: the file must end in one of {endings}, and only its name may have one *"
        )));
    }
    Ok(())
}

/// The files that there are, sorted. A directory that does not exist has none.
pub(crate) fn matching_files(pattern: &Path) -> Result<Vec<PathBuf>> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        return Ok(if pattern.is_file() { vec![pattern.to_path_buf()] } else { Vec::new() });
    };
    let directory = pattern.parent().unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let fits = name.strip_prefix(before).is_some_and(|rest| rest.ends_with(after));
        if fits && !name.starts_with('.') && entry.path().is_file() {
            files.push(entry.path());
        }
        if files.len() > FILES_MAX {
            return Err(Error::invalid(format!("{} names more than {FILES_MAX} files", pattern.display())));
        }
    }
    files.sort();
    Ok(files)
}
