//! What is everything called? By default in a shop's words; from a seed in words that nobody knows, and with another order of calls.
//!
//! What debugs this shop must not know it: on a renamed one it has to find the same.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::wire::Role;

/// Names that end up in telemetry, and the order in which the checkout calls others.
#[derive(Debug, Clone)]
pub struct Names {
    words: BTreeMap<&'static str, &'static str>,
    steps: [Role; 3],
}

/// Keys in this table stand in braces in scenarios; values are the plain shop's names. In routes `{id}` is what varies.
const PLAIN: &[(&str, &str)] = &[
    ("web", "web"),
    ("checkout", "checkout"),
    ("cart", "cart"),
    ("payment", "payment"),
    ("inventory", "inventory"),
    ("fraud", "fraudscore"),
    ("fraud_host", "api.fraudscore.example"),
    ("home", "/"),
    ("product", "/products/{id}"),
    ("cart_page", "/cart"),
    ("checkout_page", "/checkout"),
    ("summary", "/summaries/{id}"),
    ("orders", "/orders"),
    ("carts", "/carts/{id}"),
    ("closing", "/carts/{id}/closing"),
    ("availability", "/availability"),
    ("reservations", "/reservations"),
    ("payments", "/payments"),
    ("score", "/v1/score"),
    ("tenant_key", "tenant.id"),
    ("user_key", "user.id"),
    ("region_key", "cloud.region"),
    ("app_key", "app.version"),
    ("carts_table", "carts"),
    ("movements_table", "movements"),
    ("reservations_table", "reservations"),
    ("payments_table", "payments"),
    ("flag", "payment-fraud-fallback"),
    ("flag_express", "checkout-express-button"),
    ("flag_search", "web-new-search"),
];

const SYLLABLES: [&str; 24] = [
    "ba", "do", "ki", "lu", "me", "no", "pa", "ri", "so", "tu", "va", "wo", "xe", "yo", "zi", "fer", "gal", "hin",
    "jor", "kul", "lam", "mir", "nev", "pol",
];

impl Names {
    /// The plain names, or others from a seed. Lives as long as the process: there is one shop in it.
    pub fn new(renamed: Option<u64>) -> &'static Self {
        let mut words: BTreeMap<&str, &str> = PLAIN.iter().copied().collect();
        let mut steps = [Role::Cart, Role::Inventory, Role::Payment];
        if let Some(seed) = renamed {
            let dice = Dice::new(seed, "names");
            let mut taken = Vec::new();
            for (key, plain) in PLAIN {
                words.insert(key, leaked(other(plain, &dice, &mut taken)));
            }
            for at in (1..steps.len()).rev() {
                steps.swap(at, dice.below(at + 1));
            }
        }
        Box::leak(Box::new(Self { words, steps }))
    }

    /// What a key of the table is called here.
    pub(crate) fn of(&self, key: &str) -> &'static str {
        self.words.get(key).copied().unwrap_or_default()
    }

    /// What a service is called here.
    pub fn service(&self, role: Role) -> &'static str {
        self.of(match role {
            Role::Fraud => "fraud",
            Role::Inventory => "inventory",
            Role::Cart => "cart",
            Role::Payment => "payment",
            Role::Checkout => "checkout",
            Role::Web => "web",
        })
    }

    /// Whom the checkout calls, in this order.
    pub(crate) fn steps(&self) -> [Role; 3] {
        self.steps
    }

    /// A route with a value where it varies.
    pub(crate) fn path(&self, key: &str, id: &str) -> String {
        self.of(key).replace("{id}", id)
    }

    /// A text with names in place of keys in braces.
    pub fn fill(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (key, name)| text.replace(&format!("{{{key}}}"), name))
    }

    /// All names by key.
    pub fn table(&self) -> &BTreeMap<&'static str, &'static str> {
        &self.words
    }
}

/// Text that lives as long as the process, for names that attributes and routers borrow forever.
pub(crate) fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Each word replaced; punctuation, `{id}` and the reserved end `.example` stay.
fn other(plain: &str, dice: &Dice, taken: &mut Vec<String>) -> String {
    let mut name = String::new();
    let mut rest = plain;
    while let Some(letter) = rest.chars().next() {
        let word = rest.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(rest.len());
        let kept = ["id}", "example"].into_iter().find(|kept| rest.starts_with(kept));
        let taking = kept.map_or(word.max(letter.len_utf8()), str::len);
        match kept {
            None if word > 0 => name.push_str(&fresh(dice, taken)),
            _ => name.push_str(rest.get(..taking).unwrap_or_default()),
        }
        rest = rest.get(taking..).unwrap_or_default();
    }
    name
}

fn fresh(dice: &Dice, taken: &mut Vec<String>) -> String {
    let mut word = String::new();
    while word.is_empty() || taken.contains(&word) {
        word.push_str(SYLLABLES[dice.below(SYLLABLES.len())]);
        if word.len() < 4 {
            word.push_str(SYLLABLES[dice.below(SYLLABLES.len())]);
        }
    }
    taken.push(word.clone());
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_have_no_word_of_the_shop_and_are_distinct() {
        for seed in 0..20 {
            let (plain, renamed) = (Names::new(None), Names::new(Some(seed)));
            let mut seen: Vec<&str> = Vec::new();
            for (key, name) in renamed.table() {
                assert!(!seen.contains(name), "{name} twice");
                seen.push(name);
                for word in plain.of(key).split(|letter: char| !letter.is_ascii_lowercase()) {
                    let kept = word.is_empty() || ["id", "example", "v"].contains(&word);
                    assert!(kept || !name.contains(word), "{key}: {name} says {word}");
                }
                assert_eq!(plain.of(key).contains("{id}"), name.contains("{id}"), "{key}: {name}");
            }
        }
    }

    #[test]
    fn a_seed_repeats_and_the_order_of_calls_varies() {
        assert_eq!(Names::new(Some(3)).table(), Names::new(Some(3)).table());
        let orders: Vec<[Role; 3]> = (0..20).map(|seed| Names::new(Some(seed)).steps()).collect();
        assert!(orders.iter().any(|order| *order != orders[0]));
    }

    #[test]
    fn texts_are_filled() {
        let text = r#"{"entity": "{payment}", "to": "{fraud_host}"}"#;
        assert_eq!(Names::new(None).fill(text), r#"{"entity": "payment", "to": "api.fraudscore.example"}"#);
    }
}
