//! Does an id lead to all that names it, and is it said why nothing does?

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use causeway_model::{Error, Result};
use causeway_query::{Answer, Question, Report};
use futures::StreamExt;
use serde_json::{Value, json};

use super::doubles::{call, house_of, limits};
use crate::serve::Patience;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// 2026-11-20T10:00:00Z.
const BEGIN: i64 = 1_795_168_800_000_000_000;

fn answer(columns: Vec<(&str, ArrayRef)>) -> Result<Answer> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let (schema, rows) = (batch.schema(), futures::stream::iter([Ok(batch)]).boxed());
    Ok(Answer { schema, rows, report: Arc::new(Report::default()) })
}

fn number(value: Option<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

/// Three spans of one trace with the request r-1, of which one failed; two logs with that request and without the trace.
fn store(question: &Question) -> Result<Answer> {
    let sql = &question.sql;
    let names = |id: &str| sql.contains(&format!("= '{id}'"));
    let (spans, by_trace) = (sql.contains(" FROM spans "), sql.contains("trace_id = '"));
    let known = if by_trace { names(TRACE) } else { names("r-1") };
    if sql.starts_with("SELECT DISTINCT") {
        let found = if sql.contains("hex(trace_id)") { TRACE } else { r#"["r-1"]"# };
        let found = (known && spans).then_some(found);
        return answer(vec![("id", Arc::new(StringArray::from_iter_values(found)))]);
    }
    if sql.contains(" AS naming ") {
        assert!(sql.contains("time >= '2026-11-20T09:59:00Z'"), "around what was found: {sql}");
        let (records, naming) = if sql.contains(" FROM logs ") { (5, 0) } else { (0, 0) };
        return answer(vec![("records", number(Some(records))), ("naming", number(Some(naming)))]);
    }
    let (records, errors) = match (known, spans, by_trace) {
        (true, true, _) => (3, 1),
        (true, false, false) => (2, 2),
        _ => (0, 0),
    };
    if !sql.starts_with("SELECT count(*) AS records, ") {
        return Err(Error::invalid(format!("not asked in this test: {sql}")));
    }
    let time = |ns: i64| number((records > 0).then_some(BEGIN + ns));
    answer(vec![
        ("records", number(Some(records))),
        ("errors", number((records > 0).then_some(errors))),
        ("first", time(0)),
        ("last", time(2_000_000_000)),
    ])
}

async fn asked(query: &str) -> (u16, Value) {
    let house = house_of(Box::new(|question| store(&question)), limits(), Patience::default(), 100).await;
    let reply = call(&house.address, "GET", &format!("/api/v1/correlate?{query}"), &[], b"").await;
    (reply.status, reply.json())
}

/// What, by what, how many, how many errors, and the reason why there are none.
fn pivots(told: &Value) -> Vec<Value> {
    let one = |pivot: &Value| {
        json!([pivot["what"], pivot["by"], pivot["count"], pivot["errors"], pivot["reasons"][0]["reason"]])
    };
    told["pivots"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn a_trace_leads_to_its_request_and_back() {
    let (status, told) = asked(&format!("trace_id={}", TRACE.to_ascii_uppercase())).await;
    assert_eq!((status, &told["id"], &told["request_ids"]), (200, &json!(TRACE), &json!(["r-1"])), "{told}");
    let by_trace = [
        json!(["spans", "trace_id", 3, 1, null]),
        json!(["logs", "trace_id", 0, 0, "no_trace_ids"]),
        json!(["exemplars", "trace_id", 0, 0, "none_sent"]),
    ];
    let by_request = [json!(["spans", "request_id", 3, 1, null]), json!(["logs", "request_id", 2, 2, null])];
    assert_eq!(pivots(&told), [by_trace.as_slice(), &by_request].concat());
    assert_eq!((&told["start"], &told["end"]), (&json!("2026-11-20T10:00:00Z"), &json!("2026-11-20T10:00:02Z")));
    let first = &told["pivots"][0];
    assert_eq!(first["sql"], format!("SELECT * FROM spans WHERE trace_id = '{TRACE}' ORDER BY time"));
    assert_eq!(first["traceql"], format!("{{ trace:id = \"{TRACE}\" }}"));
    assert_eq!(first["link"], format!("/traces/{TRACE}"));
    assert_eq!(told["pivots"][1]["logql"], format!("{{service_name=~\".+\"}} | trace_id=\"{TRACE}\""));
    let logs = &told["pivots"][4];
    let logql = logs["logql"].as_str().unwrap();
    assert!(logql.contains(r#"x_request_id="r-1" or http_request_header_x_request_id="[\"r-1\"]""#), "{logql}");
    let link = logs["link"].as_str().unwrap();
    assert!(link.starts_with("/logs?from=2026-11-20T09:59:59Z&to=2026-11-20T10:00:03"), "{link}");
    assert!(link.contains("where=attr%28%27request_id%27%29%20%3D%20%27r-1%27%20OR%20"), "{link}");
    let (_, back) = asked("request_id=r-1").await;
    assert_eq!((&back["by"], &back["trace_ids"]), (&json!("request_id"), &json!([TRACE])));
    assert_eq!(pivots(&back), [by_request.as_slice(), &by_trace].concat());
    // What it offers can be asked.
    for pivot in told["pivots"].as_array().unwrap() {
        if let Some(query) = pivot["logql"].as_str() {
            causeway_logql::parse(query).unwrap();
        }
        if let Some(query) = pivot["traceql"].as_str() {
            causeway_traceql::parse(query).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_not_here_is_said_to_be_unknown() {
    let (status, told) = asked("request_id=r-2").await;
    assert_eq!((status, &told["start"], &told["trace_ids"]), (200, &Value::Null, &json!([])));
    let nothing = |what: &str| json!([what, "request_id", 0, 0, "unknown_id"]);
    assert_eq!(pivots(&told), [nothing("spans"), nothing("logs")]);
    let (_, told) = asked("span_id=1").await;
    assert_eq!(told["id"], "0000000000000001");
    for wrong in ["", "trace_id=xyz", "span_id=00112233445566778", "trace_id=1&span_id=1"] {
        let (status, told) = asked(wrong).await;
        assert_eq!((status, &told["error"]["kind"]), (400, &json!("invalid")), "{wrong}");
    }
}
