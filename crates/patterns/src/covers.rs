//! Is one pattern the past of another? A pattern becomes more general while lines are learnt; each text is a series of its own.

use crate::mask::WILDCARD;

/// Whether all lines of `special` would be lines of `general`: it is the same but for what stands in the place of some `<_>`. What stands there is
/// one word or more without a space between.
pub fn covers(general: &str, special: &str) -> bool {
    let (mut pattern, mut text) = (general.as_bytes(), special.as_bytes());
    let wildcard = WILDCARD.as_bytes();
    // Where to go on when what follows the last wildcard fits only later: behind it, and one byte further in the text.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(behind) = pattern.strip_prefix(wildcard) {
            let rest = match text.split_first() {
                Some((first, rest)) if *first != b' ' => rest,
                _ => return false,
            };
            (pattern, text) = (behind, rest);
            retry = Some((behind, rest));
            continue;
        }
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((wanted, behind)), Some((byte, rest))) if wanted == byte => (pattern, text) = (behind, rest),
            _ => {
                // A wildcard holds no space, so that an earlier one never has to give way.
                let Some((behind, from)) = retry else { return false };
                match from.split_first() {
                    Some((first, rest)) if *first != b' ' => {
                        (pattern, text) = (behind, rest);
                        retry = Some((behind, rest));
                    }
                    _ => return false,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_general_covers_the_special_and_not_the_other_way_round() {
        for (general, special, expected) in [
            ("user <_> came", "user bob came", true),
            ("user <_> came", "user <_> came", true),
            ("user bob came", "user <_> came", false),
            ("user <_> came", "user bob smith came", false),
            ("user <_> came", "user  came", false),
            ("GET <_>: <_> of <_>", "GET /a: <_> of 5", true),
            ("<_>", "word", true),
            ("<_>", "", false),
            ("a<_>b<_>c", "axbyc", true),
            ("a<_>b<_>c", "axbbbcc", true),
            ("a<_>b<_>c", "axb yc", false),
            ("x <_>", "x ", false),
            ("ö <_>", "ö ä", true),
        ] {
            assert_eq!(covers(general, special), expected, "{general} / {special}");
        }
    }

    #[test]
    fn many_wildcards_end() {
        assert!(!covers(&"<_>a".repeat(128), &("a".repeat(500) + "b")));
        assert!(covers(&"<_>a".repeat(128), &"a".repeat(500)));
    }
}
