//! Which version goes first? flagd's `sem_ver`: Semantic Versioning 2.0.0 (semver.org, rules 9 to 11), with a leading `v` and missing
//! minor or patch numbers forgiven.

use std::cmp::Ordering;

/// Characters of a version. 256: longer ones are no versions.
const VERSION_BYTES_MAX: usize = 256;

/// A version that was read. Build metadata has no place in its order and is not kept.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    core: [u64; 3],
    prerelease: Vec<&'a str>,
}

/// Whether `left operator right`; `None` where one is no version or the operator is unknown.
pub fn compare(left: &str, operator: &str, right: &str) -> Option<bool> {
    let (left, right) = (Version::parse(left)?, Version::parse(right)?);
    let order = left.order(&right);
    Some(match operator {
        "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "^" => left.core[0] == right.core[0],
        "~" => left.core[..2] == right.core[..2],
        _ => return None,
    })
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.len() > VERSION_BYTES_MAX {
            return None;
        }
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, prerelease) = text.split_once('-').map_or((text, None), |(text, rest)| (text, Some(rest)));
        let mut core = [0; 3];
        let mut places = core.iter_mut();
        for number in numbers.split('.') {
            *places.next()? = numeric(number)?;
        }
        let prerelease: Vec<&str> = prerelease.map_or_else(Vec::new, |prerelease| prerelease.split('.').collect());
        let plain = |identifier: &str| {
            !identifier.is_empty() && identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let no_leading_zero = |identifier: &str| !is_number(identifier) || numeric(identifier).is_some();
        let sound = prerelease.iter().all(|identifier| plain(identifier) && no_leading_zero(identifier))
            && build.is_none_or(|build| build.split('.').all(plain));
        sound.then_some(Self { core, prerelease })
    }

    fn order(&self, other: &Self) -> Ordering {
        let by_prerelease = || match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let pairs = self.prerelease.iter().zip(&other.prerelease);
                let unequal = pairs.map(|(left, right)| by_identifier(left, right)).find(|order| order.is_ne());
                unequal.unwrap_or_else(|| self.prerelease.len().cmp(&other.prerelease.len()))
            }
        };
        self.core.cmp(&other.core).then_with(by_prerelease)
    }
}

fn is_number(identifier: &str) -> bool {
    !identifier.is_empty() && identifier.bytes().all(|byte| byte.is_ascii_digit())
}

fn numeric(identifier: &str) -> Option<u64> {
    let sound = is_number(identifier) && (identifier == "0" || !identifier.starts_with('0'));
    sound.then(|| identifier.parse().ok()).flatten()
}

/// Rule 11.4: numbers by size and before words, words by ASCII.
fn by_identifier(left: &str, right: &str) -> Ordering {
    match (numeric(left), numeric(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}
