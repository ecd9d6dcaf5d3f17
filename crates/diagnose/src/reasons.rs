//! Why is there nothing? By how many records there were around that time, and how many of these carry an id of the kind at all.

use causeway_trace::Why;

use crate::types::Window;

/// How far around what was found records of others are looked for. 1 min: long enough that whoever writes any has written some.
const AROUND_NS: i64 = 60_000_000_000;

/// Why records are missing, from how many there were around the time, and how many of these name any `id` ("trace", "span", "request").
pub(crate) fn why(what: &str, service: &str, id: &str, around: u64, naming: u64) -> Why {
    let of = if service.is_empty() { String::new() } else { format!(" of {service}") };
    let (reason, statement) = match (around, naming) {
        (0, _) => (
            "none_sent".to_owned(),
            format!("no {what}{of} are here from that time: none were sent, or they have expired"),
        ),
        (around, 0) => (format!("no_{id}_ids"), format!("the {around} {what}{of} from that time carry no {id} ids")),
        (_, naming) => {
            ("none_here".to_owned(), format!("the {naming} {what}{of} from that time that name a {id} name others"))
        }
    };
    Why { service: service.to_owned(), reason, statement }
}

/// The condition on a time and what lies around it.
pub(crate) fn around(window: Window) -> String {
    Window::new(window.start.0.saturating_sub(AROUND_NS), window.end.0.saturating_add(AROUND_NS)).condition()
}
