//! What is a flag? flagd's definition (flagd.dev/schema/v0/flags.json): state, variants, default variant, targeting, metadata; and what
//! comes out when it is evaluated, in OpenFeature's words.

use std::collections::BTreeMap;

use causeway_model::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::coerce::text;
use crate::evaluate::Subject;
use crate::rule::Rule;

/// Bytes of a file of flags. 4 MiB: thousands of flags with long rules.
pub const SET_BYTES_MAX: usize = 4 << 20;
/// Flags in a set. 10,000: a client that evaluates all of them still gets its answer within a second.
pub const FLAGS_MAX: usize = 10_000;
/// Bytes of a flag's key. 256: keys are words that people type.
pub const KEY_BYTES_MAX: usize = 256;

/// All flags of a file. A flag whose definition makes no sense is there, with the reason, and evaluates to an error.
#[derive(Debug, Clone, Default)]
pub struct FlagSet {
    flags: BTreeMap<String, std::result::Result<Flag, String>>,
    metadata: Map<String, Value>,
}

/// One flag.
#[derive(Debug, Clone)]
struct Flag {
    enabled: bool,
    variants: Map<String, Value>,
    default_variant: Option<String>,
    targeting: Option<Rule>,
    metadata: Map<String, Value>,
}

/// Why a value was chosen (OpenFeature, "Resolution reason").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// There is no targeting.
    Static,
    /// Targeting chose the variant.
    TargetingMatch,
    /// Targeting chose none.
    Default,
    /// The flag is switched off.
    Disabled,
}

/// Why there is no value (OpenFeature, "Error code").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// No flag has this key.
    FlagNotFound,
    /// The definition makes no sense.
    ParseError,
    /// The rule could not be worked out.
    General,
}

/// What a flag evaluates to. Without a variant the caller's own default counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The variant's name and value.
    pub variant: Option<(String, Value)>,
    /// Why.
    pub reason: Reason,
    /// Of the set and of the flag, which goes first.
    pub metadata: Map<String, Value>,
}

/// Why a flag evaluates to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub details: String,
}

impl FlagSet {
    /// Reads flagd's JSON.
    ///
    /// # Errors
    /// `Invalid` when it is not an object with `flags`, `TooLarge` beyond the limits. Single flags that make no sense are no
    /// error: [`Self::problems`].
    pub fn parse(json: &str) -> Result<Self> {
        if json.len() > SET_BYTES_MAX {
            return Err(Error::new(ErrorKind::TooLarge, format!("the flags have more than {SET_BYTES_MAX} bytes")));
        }
        let document = serde_json::from_str(json).map_err(|error| Error::invalid(format!("not JSON: {error}")))?;
        Self::of(&document)
    }

    /// The same from JSON that was read.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of(document: &Value) -> Result<Self> {
        let flags = document.get("flags").and_then(Value::as_object);
        let flags = flags.ok_or_else(|| Error::invalid("flags must be a JSON object with an object `flags`"))?;
        if flags.len() > FLAGS_MAX {
            return Err(Error::new(ErrorKind::TooLarge, format!("there are more than {FLAGS_MAX} flags")));
        }
        let evaluators = object(document, "$evaluators")?;
        let metadata = metadata(document)?;
        let read = |(key, flag): (&String, &Value)| {
            (key.clone(), Flag::read(key, flag, &evaluators).map_err(|error| error.message))
        };
        Ok(Self { flags: flags.iter().map(read).collect(), metadata })
    }

    /// The flags that make no sense, each with the reason.
    pub fn problems(&self) -> Vec<String> {
        let problem = |(key, flag): (&String, &std::result::Result<Flag, String>)| {
            flag.as_ref().err().map(|reason| format!("flag `{key}`: {reason}"))
        };
        self.flags.iter().filter_map(problem).collect()
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.flags.keys().map(String::as_str)
    }

    /// Metadata of the whole set.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// Evaluates one flag.
    ///
    /// # Errors
    /// See [`ErrorCode`].
    pub fn evaluate(&self, key: &str, subject: &mut Subject) -> std::result::Result<Evaluated, Failure> {
        let fail = |code, details: String| Failure { code, details };
        let flag = self.flags.get(key);
        let flag = flag.ok_or_else(|| fail(ErrorCode::FlagNotFound, "there is no flag with this key".to_owned()))?;
        let flag = flag.as_ref().map_err(|reason| fail(ErrorCode::ParseError, reason.clone()))?;
        let mut metadata = self.metadata.clone();
        metadata.extend(flag.metadata.clone());
        let evaluated = |variant, reason| Ok(Evaluated { variant, reason, metadata });
        if !flag.enabled {
            return evaluated(None, Reason::Disabled);
        }
        let Some(targeting) = &flag.targeting else {
            let reason = if flag.default_variant.is_some() { Reason::Static } else { Reason::Default };
            return evaluated(flag.default(), reason);
        };
        let chosen = subject.ask(key, targeting).map_err(|error| fail(ErrorCode::General, error.message))?;
        if chosen.is_null() {
            return evaluated(flag.default(), Reason::Default);
        }
        let name = text(&chosen);
        match flag.variants.get(&name) {
            Some(value) => evaluated(Some((name, value.clone())), Reason::TargetingMatch),
            None => Err(fail(ErrorCode::ParseError, "its targeting chose a variant that it does not have".to_owned())),
        }
    }
}

impl Flag {
    fn read(key: &str, json: &Value, evaluators: &Map<String, Value>) -> Result<Self> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
        }
        let enabled = match json.get("state").and_then(Value::as_str) {
            Some("ENABLED") => true,
            Some("DISABLED") => false,
            _ => return Err(Error::invalid("`state` must be \"ENABLED\" or \"DISABLED\"")),
        };
        let variants = object(json, "variants")?;
        if variants.is_empty() {
            return Err(Error::invalid("`variants` must have at least one variant"));
        }
        let kinds: std::collections::BTreeSet<u8> = variants.values().map(kind).collect();
        if kinds.len() > 1 || kinds.contains(&0) {
            return Err(Error::invalid("all variants must be of one type: boolean, number, string or object"));
        }
        let default_variant = match json.get("defaultVariant") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if name.is_empty() => None,
            Some(Value::String(name)) if variants.contains_key(name) => Some(name.clone()),
            Some(_) => return Err(Error::invalid("`defaultVariant` must name one of the variants, or be null")),
        };
        let targeting = match json.get("targeting") {
            None | Some(Value::Null) => None,
            Some(Value::Object(rule)) if rule.is_empty() => None,
            Some(rule @ Value::Object(_)) => {
                Some(Rule::parse(rule, evaluators).map_err(|error| error.context("targeting"))?)
            }
            Some(_) => return Err(Error::invalid("`targeting` must be an object")),
        };
        Ok(Self { enabled, variants, default_variant, targeting, metadata: metadata(json)? })
    }

    fn default(&self) -> Option<(String, Value)> {
        let name = self.default_variant.as_ref()?;
        Some((name.clone(), self.variants.get(name)?.clone()))
    }
}

/// flagd's four types of flags; 0 for anything else.
fn kind(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Object(_) => 4,
        Value::Null | Value::Array(_) => 0,
    }
}

/// The object of this name; empty where there is none.
fn object(json: &Value, name: &str) -> Result<Map<String, Value>> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(_) => Err(Error::invalid(format!("`{name}` must be an object"))),
    }
}

fn metadata(json: &Value) -> Result<Map<String, Value>> {
    let metadata = object(json, "metadata")?;
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    if !metadata.values().all(plain) {
        return Err(Error::invalid("values of `metadata` must be strings, numbers or booleans"));
    }
    Ok(metadata)
}
