//! What does a rule answer for a subject? JsonLogic as jsonlogic.com's reference implementation works it out, pure and total: whatever
//! the rule and the context, it ends within a number of steps and never panics.

use std::borrow::Cow;
use std::cmp::Ordering;

use causeway_model::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use crate::coerce::{equal, holds, joined, number, order, same, text, value_of};
use crate::rule::{Operator, Rule};
use crate::{fractional, version};

/// Steps of one evaluation: a part of a rule or of a value that is worked out is one. 100,000: a few milliseconds; `reduce` over
/// `reduce` could else double its value with each item.
pub const STEPS_MAX: usize = 100_000;
/// Levels of nesting that a value may reach while it is worked out.
const VALUE_DEPTH_MAX: usize = 192;
/// Bytes of text that count as one step.
const STEP_BYTES: usize = 16;

/// Whom a flag is evaluated for: the evaluation context, with `$flagd` in it.
#[derive(Debug, Clone)]
pub struct Subject {
    data: Value,
    timestamp: i64,
    flag_key: String,
}

impl Subject {
    /// The subject of an evaluation context, at a time in seconds since 1970.
    pub fn new(context: Map<String, Value>, timestamp: i64) -> Self {
        Self { data: Value::Object(context), timestamp, flag_key: String::new() }
    }

    /// What `rule` answers for the flag `key`.
    ///
    /// # Errors
    /// `LimitExceeded` beyond [`STEPS_MAX`].
    pub fn ask(&mut self, key: &str, rule: &Rule) -> Result<Value> {
        key.clone_into(&mut self.flag_key);
        if let Value::Object(context) = &mut self.data {
            context.insert("$flagd".to_owned(), json!({ "flagKey": key, "timestamp": self.timestamp }));
        }
        let mut evaluation = Evaluation { subject: self, steps_left: STEPS_MAX };
        let answer = evaluation.value(rule, &self.data)?;
        evaluation.own(answer)
    }

    fn targeting_key(&self) -> Option<&str> {
        self.data.get("targetingKey")?.as_str()
    }
}

struct Evaluation<'s> {
    subject: &'s Subject,
    steps_left: usize,
}

type Values<'a> = Vec<Cow<'a, Value>>;

const NULL: Value = Value::Null;
const NULL_RULE: &Rule = &Rule::Literal(Value::Null);

impl Evaluation<'_> {
    fn spend(&mut self, steps: usize) -> Result<()> {
        let left = self.steps_left.checked_sub(steps);
        let exhausted = || Error::new(ErrorKind::LimitExceeded, format!("the rule takes more than {STEPS_MAX} steps"));
        self.steps_left = left.ok_or_else(exhausted)?;
        Ok(())
    }

    fn value<'a>(&mut self, rule: &'a Rule, data: &'a Value) -> Result<Cow<'a, Value>> {
        self.spend(1)?;
        match rule {
            Rule::Literal(value) => Ok(Cow::Borrowed(value)),
            Rule::List(items) => {
                let values = self.values(items, data)?;
                let owned = values.into_iter().map(|value| self.own(value)).collect::<Result<_>>()?;
                Ok(Cow::Owned(Value::Array(owned)))
            }
            Rule::Call(operator, arguments) => self.call(*operator, arguments, data),
        }
    }

    fn values<'a>(&mut self, rules: &'a [Rule], data: &'a Value) -> Result<Values<'a>> {
        rules.iter().map(|rule| self.value(rule, data)).collect()
    }

    /// A value of its own; what is copied counts.
    fn own(&mut self, value: Cow<'_, Value>) -> Result<Value> {
        if let Cow::Borrowed(borrowed) = value {
            self.weigh(borrowed, 0)?;
        }
        Ok(value.into_owned())
    }

    fn weigh(&mut self, value: &Value, depth: usize) -> Result<()> {
        if depth > VALUE_DEPTH_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, "the rule nests values too deeply"));
        }
        self.spend(1)?;
        match value {
            Value::String(text) => self.spend(text.len() / STEP_BYTES),
            Value::Array(items) => items.iter().try_for_each(|item| self.weigh(item, depth + 1)),
            Value::Object(entries) => entries.iter().try_for_each(|(key, value)| {
                self.spend(key.len() / STEP_BYTES)?;
                self.weigh(value, depth + 1)
            }),
            _ => Ok(()),
        }
    }

    fn call<'a>(&mut self, operator: Operator, arguments: &'a [Rule], data: &'a Value) -> Result<Cow<'a, Value>> {
        use Operator as O;
        match operator {
            O::If => return self.first_that_applies(arguments, data),
            O::And | O::Or => return self.junction(operator == O::Or, arguments, data),
            O::Map | O::Filter | O::All | O::None | O::Some => {
                return self.each(operator, arguments, data).map(Cow::Owned);
            }
            O::Reduce => return self.reduce(arguments, data).map(Cow::Owned),
            _ => {}
        }
        let values = self.values(arguments, data)?;
        match operator {
            O::Var => Ok(self.variable(values, data)),
            O::Missing => Ok(Cow::Owned(self.missing(&keys(&values), data)?.into())),
            O::MissingSome => self.missing_some(&values, data).map(Cow::Owned),
            O::Merge => self.merge(values).map(Cow::Owned),
            O::Fractional => self.fractional(values).map(Cow::Owned),
            _ => {
                // Comparing, converting and printing take as long as what they look at.
                values.iter().try_for_each(|value| self.weigh(value, 0))?;
                Ok(Cow::Owned(of_texts(operator, &values).unwrap_or_else(|| of_numbers(operator, &values))))
            }
        }
    }

    fn first_that_applies<'a>(&mut self, arguments: &'a [Rule], data: &'a Value) -> Result<Cow<'a, Value>> {
        let mut pairs = arguments.chunks_exact(2);
        for pair in &mut pairs {
            if let [condition, then] = pair
                && holds(&*self.value(condition, data)?)
            {
                return self.value(then, data);
            }
        }
        pairs.remainder().first().map_or(Ok(Cow::Owned(NULL)), |otherwise| self.value(otherwise, data))
    }

    /// `or` ends at the first that holds, `and` at the first that does not.
    fn junction<'a>(&mut self, ends_at: bool, arguments: &'a [Rule], data: &'a Value) -> Result<Cow<'a, Value>> {
        let mut last = Cow::Owned(NULL);
        for argument in arguments {
            last = self.value(argument, data)?;
            if holds(&last) == ends_at {
                break;
            }
        }
        Ok(last)
    }

    fn each(&mut self, operator: Operator, arguments: &[Rule], data: &Value) -> Result<Value> {
        let list = self.value(arguments.first().unwrap_or(NULL_RULE), data)?;
        let rule = arguments.get(1).unwrap_or(NULL_RULE);
        let items = list.as_array().map_or(&[][..], Vec::as_slice);
        let mut out = Vec::new();
        for item in items {
            let answer = self.value(rule, item)?;
            match operator {
                Operator::Map => out.push(self.own(answer)?),
                Operator::Filter if holds(&answer) => out.push(self.own(Cow::Borrowed(item))?),
                Operator::All if !holds(&answer) => return Ok(false.into()),
                Operator::None if holds(&answer) => return Ok(false.into()),
                Operator::Some if holds(&answer) => return Ok(true.into()),
                _ => {}
            }
        }
        Ok(match operator {
            Operator::All => Value::Bool(!items.is_empty()),
            Operator::None => Value::Bool(true),
            Operator::Some => Value::Bool(false),
            _ => Value::Array(out),
        })
    }

    fn reduce(&mut self, arguments: &[Rule], data: &Value) -> Result<Value> {
        let list = self.value(arguments.first().unwrap_or(NULL_RULE), data)?;
        let rule = arguments.get(1).unwrap_or(NULL_RULE);
        let initial = self.value(arguments.get(2).unwrap_or(NULL_RULE), data)?;
        let mut accumulator = self.own(initial)?;
        for item in list.as_array().into_iter().flatten() {
            let mut scope = Map::new();
            scope.insert("current".to_owned(), self.own(Cow::Borrowed(item))?);
            scope.insert("accumulator".to_owned(), accumulator);
            let scope = Value::Object(scope);
            let answer = self.value(rule, &scope)?;
            accumulator = self.own(answer)?;
        }
        Ok(accumulator)
    }

    fn variable<'a>(&self, values: Values<'a>, data: &'a Value) -> Cow<'a, Value> {
        let mut values = values.into_iter();
        match lookup(data, &values.next().unwrap_or(Cow::Owned(NULL))) {
            Some(found) => Cow::Borrowed(found),
            None => values.next().unwrap_or(Cow::Owned(NULL)),
        }
    }

    fn missing(&mut self, keys: &[&Value], data: &Value) -> Result<Vec<Value>> {
        let absent = |key: &&&Value| lookup(data, key).is_none_or(|value| value.is_null() || value == "");
        keys.iter().filter(absent).map(|key| self.own(Cow::Borrowed(key))).collect()
    }

    fn missing_some(&mut self, values: &[Cow<'_, Value>], data: &Value) -> Result<Value> {
        let keys: Vec<&Value> = argument(values, 1).as_array().map_or_else(Vec::new, |keys| keys.iter().collect());
        let missing = self.missing(&keys, data)?;
        let enough = (keys.len() - missing.len()) as f64 >= number(argument(values, 0));
        Ok(Value::Array(if enough { Vec::new() } else { missing }))
    }

    fn merge(&mut self, values: Values<'_>) -> Result<Value> {
        let mut out = Vec::new();
        for value in values {
            match self.own(value)? {
                Value::Array(items) => out.extend(items),
                one => out.push(one),
            }
        }
        Ok(Value::Array(out))
    }

    /// flagd: an explicit text to bucket by goes first; without one, or where it is missing, flag key and targeting key together.
    fn fractional(&mut self, values: Values<'_>) -> Result<Value> {
        let values = values.into_iter().map(|value| self.own(value)).collect::<Result<Vec<_>>>()?;
        let (by, shares) = match values.as_slice() {
            [Value::String(by), shares @ ..] => (Some(by.clone()), shares),
            [Value::Null, shares @ ..] | shares => (None, shares),
        };
        let implied = || Some(format!("{}{}", self.subject.flag_key, self.subject.targeting_key()?));
        Ok(by.or_else(implied).map_or(NULL, |by| fractional::choose(&by, shares)))
    }
}

fn argument<'a>(values: &'a [Cow<'_, Value>], at: usize) -> &'a Value {
    values.get(at).map_or(&NULL, |value| &**value)
}

/// `missing` takes its keys one by one or as one list.
fn keys<'a>(values: &'a [Cow<'_, Value>]) -> Vec<&'a Value> {
    match values.first().and_then(|first| first.as_array()) {
        Some(list) => list.iter().collect(),
        None => values.iter().map(|value| &**value).collect(),
    }
}

/// The value at a dotted path; an empty path is all of it.
fn lookup<'a>(data: &'a Value, key: &Value) -> Option<&'a Value> {
    let path = match key {
        Value::Null => return Some(data),
        Value::String(path) if path.is_empty() => return Some(data),
        Value::String(path) => Cow::Borrowed(path.as_str()),
        Value::Number(_) => Cow::Owned(text(key)),
        _ => return None,
    };
    path.split('.').try_fold(data, |data, step| match data {
        Value::Object(entries) => entries.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// JavaScript's `substr` with jsonlogic's negative length (counted from the end), in characters.
fn substring(text: &str, start: Option<f64>, length: Option<f64>) -> String {
    let count = text.chars().count();
    // From the end where negative; NaN is 0.
    let place = |number: f64| match number {
        number if number < 0.0 => count.saturating_sub(number.abs() as usize),
        number => number as usize,
    };
    let start = place(start.unwrap_or(0.0)).min(count);
    let end = match length {
        None => count,
        Some(length) if length < 0.0 => place(length),
        Some(length) => start.saturating_add(length as usize),
    };
    text.chars().take(end).skip(start).collect()
}

/// Operators on texts; `None` for any other.
fn of_texts(operator: Operator, values: &[Cow<'_, Value>]) -> Option<Value> {
    use Operator as O;
    let (first, second) = (argument(values, 0), argument(values, 1));
    let strings: Option<Vec<&str>> = values.iter().map(|value| value.as_str()).collect();
    Some(match (operator, strings.as_deref()) {
        (O::Cat, _) => values.iter().map(|value| joined(value)).collect::<String>().into(),
        (O::Substring, _) => {
            let bound = |at: usize| values.get(at).map(|value| number(value));
            substring(&text(first), bound(1), bound(2)).into()
        }
        (O::In, _) => match second {
            Value::Array(items) => items.iter().any(|item| same(first, item)).into(),
            Value::String(whole) => whole.contains(&text(first)).into(),
            _ => false.into(),
        },
        (O::SemanticVersion, _) => match values {
            [left, operator, right] => {
                version::compare(&text(left), &text(operator), &text(right)).map_or(NULL, Value::Bool)
            }
            _ => NULL,
        },
        (O::Lower, Some([text])) => text.to_ascii_lowercase().into(),
        (O::Upper, Some([text])) => text.to_ascii_uppercase().into(),
        (O::StartsWith, Some([text, start])) => text.starts_with(start).into(),
        (O::EndsWith, Some([text, end])) => text.ends_with(end).into(),
        // flagd: what can't be compared is null.
        (O::Lower | O::Upper | O::StartsWith | O::EndsWith, _) => NULL,
        _ => return None,
    })
}

/// Operators on numbers, truth and order; null for any other.
fn of_numbers(operator: Operator, values: &[Cow<'_, Value>]) -> Value {
    use Operator as O;
    let (first, second) = (argument(values, 0), argument(values, 1));
    let numbers = || values.iter().map(|value| number(value));
    let extreme = |goes_first: fn(&f64, &f64) -> bool| {
        let chosen =
            numbers().reduce(|left, right| if left.is_nan() || goes_first(&left, &right) { left } else { right });
        chosen.map_or(NULL, value_of)
    };
    let ordered = |holds: fn(Ordering) -> bool| {
        let pair = |left: &Value, right: &Value| order(left, right).is_some_and(holds);
        Value::Bool(pair(first, second) && values.get(2).is_none_or(|third| pair(second, third)))
    };
    match operator {
        O::Equal => equal(first, second).into(),
        O::Unequal => (!equal(first, second)).into(),
        O::Same => same(first, second).into(),
        O::NotSame => (!same(first, second)).into(),
        O::Not => (!holds(first)).into(),
        O::Holds => holds(first).into(),
        O::Greater => ordered(Ordering::is_gt),
        O::GreaterOrEqual => ordered(Ordering::is_ge),
        O::Less => ordered(Ordering::is_lt),
        O::LessOrEqual => ordered(Ordering::is_le),
        O::Max => extreme(f64::gt),
        O::Min => extreme(f64::lt),
        O::Add => value_of(numbers().sum()),
        O::Multiply => value_of(numbers().product()),
        O::Subtract if values.len() == 1 => value_of(-number(first)),
        O::Subtract => value_of(number(first) - number(second)),
        O::Divide => value_of(number(first) / number(second)),
        O::Modulo => value_of(number(first) % number(second)),
        _ => NULL,
    }
}
