//! What stands out of a trace? By the names of the conventions, old and new, which fill the same fields.

use causeway_trace::{says_refused, says_timeout, status_says_timeout, waits_for_pool};

use crate::script::{Script, findings};

fn lines(head: &str, count: usize, line: impl Fn(usize) -> String) -> String {
    std::iter::once(head.to_owned()).chain((0..count).map(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn one_statement_many_times_under_one_parent_is_an_n_plus_one() {
    let query = |n: usize| {
        let (from, to) = (10 + n * 10, 15 + n * 10);
        format!(
            "  shop | SELECT | client | {from}..{to} | system=postgresql, statement=SELECT * FROM item WHERE id IN ({n}, 'x''{n}')"
        )
    };
    let text = lines("shop | GET /cart | server | 0..200", 6, query);
    assert_eq!(
        findings(&text),
        [
            "NPlusOne | shop | SELECT (SELECT * FROM item WHERE id IN (0, 'x''0')) | 6 | called 6 times by GET /cart: one call could \
          ask for all"
        ]
    );
    let script = Script::new(&text);
    let found = &script.understood().findings[0];
    assert_eq!((found.duration_ns, found.span_ids.len()), (30_000_000, 6));
    assert_eq!(found.span_ids[0], "0000000000000002");
    assert!(findings(&lines("shop | GET /cart | server | 0..200", 4, query)).is_empty(), "four are not many");
}

#[test]
fn wrappers_do_not_hide_an_n_plus_one_and_the_same_under_many_callers_is_told_once() {
    let wrapped = |n: usize| {
        let (from, to) = (10 + n * 10, 15 + n * 10);
        format!("  shop | load | internal | {from}..{to}\n    shop | q | client | {from}..{to} | statement=SELECT {n}")
    };
    let once = lines("shop | GET /cart | server | 0..200", 5, wrapped);
    assert_eq!(
        findings(&once),
        ["NPlusOne | shop | q (SELECT 0) | 5 | called 5 times by GET /cart: one call could ask for all"]
    );
    let twice = format!("{once}\n{}", lines("shop | GET /cart | server | 200..400", 7, wrapped));
    let said = findings(&twice);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("| 12 | called 7 times by GET /cart, and under 2 such callers 12 times in all"),
        "{said:?}"
    );
}

#[test]
fn different_statements_and_calls_that_fan_out_a_little_are_none() {
    let different =
        |n: usize| format!("  shop | q | client | {n}..{n} | statement=SELECT {} FROM t", ["a", "b", "c", "d", "e"][n]);
    assert!(findings(&lines("shop | GET | server | 0..200", 5, different)).is_empty());
    let calls = |n: usize| format!("  shop | GET | client | {n}..{n} | target=cart");
    assert!(findings(&lines("shop | GET | server | 0..200", 9, calls)).is_empty());
    assert_eq!(findings(&lines("shop | GET | server | 0..200", 10, calls)).len(), 1);
}

#[test]
fn a_call_made_anew_after_a_failure_is_a_retry() {
    let text = "web | GET / | server | 0..100
           web | GET | client | 10..20 | target=cart, error, said=reset
           web | GET | client | 25..40 | target=cart, error, said=reset
           web | GET | client | 50..60 | target=cart
           web | GET | client | 50..60 | target=other";
    let said = findings(text);
    assert_eq!(said[0], "Retry | web | GET (cart) | 3 | 3 attempts in 50.0 ms, 2 of them failed, the last succeeded");
    assert_eq!(
        said[1],
        "ErrorOrigin | web | GET (cart) | 2 | 2 errors begin here: reset; what lies above it did not fail"
    );
    assert_eq!(said.len(), 2);
    let beside = "web | GET / | server | 0..100
           web | GET | client | 10..40 | target=cart, error
           web | GET | client | 11..60 | target=cart";
    assert!(findings(beside).iter().all(|it| !it.starts_with("Retry")), "at the same time is no retry");
}

#[test]
fn a_sender_that_counts_its_repetitions_is_believed() {
    let text = "web | GET / | server | 0..100
           web | GET | client | 10..20 | target=cart, resend=2";
    assert_eq!(findings(text), ["Retry | web | GET (cart) | 1 | sent again, as the sender says: repetition 2"]);
}

#[test]
fn who_gave_up_is_told_from_who_heard_of_it() {
    let text = "web | GET / | server | 0..5010 | error, timeout, said=timeout
           web | POST | client | 2..5003 | error, timeout, target=pay
             pay | POST /pay | server | 10..9000";
    let said = findings(text);
    assert_eq!(
        said[0],
        "Timeout | web | POST (pay) | 1 | gave up after 5.00 s, at a deadline of 5.00 s; pay went on for 4.00 s"
    );
    assert_eq!(
        said[1],
        "ErrorOrigin | web | POST (pay) | 1 | the error begins here; it passed through 1 spans up to the root"
    );
    assert_eq!(said.len(), 2);
    let odd = "web | POST | client | 0..777 | error, timeout";
    assert_eq!(findings(odd)[0], "Timeout | web | POST | 1 | gave up after 777 ms");
}

#[test]
fn an_error_has_a_begin_and_a_way() {
    let text = "web | GET / | server | 0..100 | error
           web | call | client | 10..90 | error
             cart | get | server | 12..88 | error
               cart | query | client | 20..30 | error, type=PoolError
           web | fallback | internal | 91..92";
    assert_eq!(
        findings(text),
        [
            "ErrorOrigin | cart | query | 1 | the error begins here: PoolError; it passed through 3 spans in web up to the root"
        ]
    );
    let handled = "web | GET / | server | 0..100
           web | call | client | 10..90 | error
             cart | get | server | 12..88 | error, said=nope";
    assert_eq!(
        findings(handled),
        [
            "ErrorOrigin | cart | get | 1 | the error begins here: nope; it passed through 1 spans in web and ended there"
        ]
    );
    let refused = "web | call | client | 10..11 | error, refused, said=CallNotPermitted";
    assert_eq!(findings(refused), ["Refused | web | call | 1 | the call was not made: CallNotPermitted"]);
}

#[test]
fn a_wait_for_a_connection_is_told_where_it_weighs() {
    let text = "shop | GET | server | 0..100
           shop | HikariDataSource.getConnection | internal | 5..65
           shop | acquire | client | 65..85 | pool=orders
           shop | pg-pool.connect | internal | 90..91";
    assert_eq!(
        findings(text),
        [
            "PoolWait | shop | HikariDataSource.getConnection | 1 | waited up to 60.0 ms for a connection",
            "PoolWait | shop | acquire | 1 | waited up to 20.0 ms for a connection of orders",
        ]
    );
}

#[test]
fn words_and_codes_of_the_conventions_are_known() {
    assert!(says_timeout("context DEADLINE exceeded") && says_timeout("java.net.SocketTimeoutException"));
    assert!(says_refused("CircuitBreaker open") && !says_refused("connection reset"));
    assert!(status_says_timeout(Some("504"), None) && status_says_timeout(None, Some("4")));
    assert!(status_says_timeout(None, Some("DEADLINE_EXCEEDED")) && !status_says_timeout(Some("500"), Some("2")));
    assert!(waits_for_pool("x", true, false) && !waits_for_pool("x", true, true));
}
