//! Where is the file wrong, and what may have been meant? YAML to keys, with errors for a person.

use causeway_model::{Error, Result};
use serde::de::DeserializeOwned;
use serde_saphyr::{DuplicateKeyPolicy, Options};

/// Kinds of discovery that there are.
const DISCOVERIES: &str = "static_configs, file_sd_configs and http_sd_configs";

/// Reads a document. Snippets of it are in no error, as they may hold secrets.
pub(crate) fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T> {
    let options: Options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        // A label without a value is one with an empty value.
        null_as_string: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let place = error
            .location()
            .map_or_else(String::new, |location| format!("line {}, column {}: ", location.line(), location.column()));
        Error::invalid(format!("{place}{}", words(error)))
    })
}

fn words(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, .. } if field.ends_with("_sd_configs") => {
            format!("{field} is not supported: targets come from {DISCOVERIES}")
        }
        serde_saphyr::Error::SerdeUnknownField { field, .. } if field == "oauth2" => {
            "oauth2 is not supported: use authorization with credentials_file".to_owned()
        }
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let near = expected.iter().map(|known| (distance(field, known), *known)).min();
            let hint = near.filter(|(distance, _)| *distance * 3 <= field.len() + 2);
            let hint = hint.map_or_else(
                || format!("known are {}", expected.join(", ")),
                |(_, known)| format!("did you mean {known}?"),
            );
            format!("unknown key {field}: {hint}")
        }
        // What stands in the place of a secret must not be shown.
        serde_saphyr::Error::SerdeInvalidType { expected, .. } => format!("expected {expected}"),
        serde_saphyr::Error::SerdeInvalidValue { expected, .. } => format!("not a valid value, expected {expected}"),
        serde_saphyr::Error::SerdeMissingField { field, .. } => format!("{field} is missing"),
        other => {
            let text = other.to_string();
            // The place stands at the beginning already.
            text.rsplit_once(" at line ").map_or(text.clone(), |(words, _)| words.to_owned())
        }
    }
}

/// Single letters to change, add or remove until both are equal (Levenshtein 1966).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(64).enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (column, cell) in other.iter().zip(row.iter_mut().skip(1)) {
            let changed = diagonal + usize::from(*column != letter);
            diagonal = *cell;
            *cell = changed.min(left + 1).min(*cell + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
