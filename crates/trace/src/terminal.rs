//! What may a terminal show of a text that anyone could have sent?

/// A text as a terminal may show it, so many characters of it: control characters could move the cursor or recolour the terminal, and
/// those that turn the direction of writing could make a line say something else.
pub fn harmless(text: &str, chars_max: usize) -> String {
    let turns =
        |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = text.chars().map(|letter| if letter.is_control() || turns(letter) { '·' } else { letter });
    let mut out: String = plain.take(chars_max).collect();
    if text.chars().nth(chars_max).is_some() {
        out.push('…');
    }
    out
}
