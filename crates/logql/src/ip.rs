//! Which addresses does `ip("…")` mean? One, a range from one to another, or a network.

use std::net::IpAddr;

use causeway_model::{Error, Result};

/// Addresses from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange {
    first: IpAddr,
    last: IpAddr,
}

impl IpRange {
    /// Reads `192.0.2.1`, `192.0.2.1-192.0.2.9` or `192.0.2.0/24`, and the same of IPv6.
    ///
    /// # Errors
    /// `Invalid` when it is none of these.
    pub fn new(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| Error::invalid(format!("ip: invalid pattern: {text:?}")))
    }

    fn read(text: &str) -> Option<Self> {
        if let Some((first, last)) = text.split_once('-') {
            let range = Self { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? };
            return Some(range).filter(|range| range.first.is_ipv4() == range.last.is_ipv4());
        }
        let Some((address, length)) = text.split_once('/') else {
            let address = text.parse().ok()?;
            return Some(Self { first: address, last: address });
        };
        let length: u32 = length.parse().ok()?;
        match address.parse().ok()? {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(length).filter(|_| length <= 32).or((length == 32).then_some(0))?;
                let bits = u32::from(address);
                Some(Self { first: IpAddr::V4((bits & !host).into()), last: IpAddr::V4((bits | host).into()) })
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(length).filter(|_| length <= 128).or((length == 128).then_some(0))?;
                let bits = u128::from(address);
                Some(Self { first: IpAddr::V6((bits & !host).into()), last: IpAddr::V6((bits | host).into()) })
            }
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }

    /// Whether one of them stands in a text.
    pub fn is_in(&self, text: &str) -> bool {
        let of_address = |character: char| character.is_ascii_hexdigit() || character == '.' || character == ':';
        let words = text.split(|character| !of_address(character));
        words.filter(|word| word.len() > 2).any(|word| {
            // A port or the end of a sentence may stand behind.
            let candidates =
                [Some(word), word.strip_suffix(['.', ':']), word.rsplit_once(':').map(|(address, _)| address)];
            candidates.into_iter().flatten().any(|word| word.parse().is_ok_and(|address| self.contains(address)))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_networks_and_ranges() {
        for (range, text, expected) in [
            ("192.168.1.0/24", "src 192.168.1.10 ok", true),
            ("192.168.1.0/24", "src 192.168.2.10 ok", false),
            ("10.0.0.1-10.0.0.9", "from 10.0.0.9:443.", true),
            ("10.0.0.1", "10.0.0.10", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("2001:db8::/32", "peer=2001:db8::17 up", true),
            ("::1/128", "::1", true),
            ("192.168.1.0/24", "no ip here", false),
        ] {
            assert_eq!(IpRange::new(range).unwrap().is_in(text), expected, "{range} in {text}");
        }
        for wrong in ["", "notanip", "1.2.3.4/33", "::/129", "1.2.3.4-::1", "1.2.3.4/x"] {
            assert!(IpRange::new(wrong).unwrap_err().message.contains("ip: invalid pattern"), "{wrong}");
        }
    }
}
