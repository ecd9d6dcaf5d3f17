//! Is a trace told as it lies in the store, with what belongs to it, and why something does not?

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int32Array, Int64Array, ListBuilder, NullArray, RecordBatch, StringArray,
    StringBuilder, StructBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields};
use causeway_model::{Error, Result};
use causeway_query::{Answer, Question, Report};
use futures::StreamExt;
use serde_json::json;

use super::doubles::{House, Reply, call, house_of, limits};
use crate::serve::Patience;

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
/// 2026-11-20T10:00:00Z.
const BEGIN: i64 = 1_795_168_800_000_000_000;

fn ids(ids: &[Option<u8>]) -> ArrayRef {
    let mut column = FixedSizeBinaryBuilder::new(8);
    for id in ids {
        match id {
            Some(id) => column.append_value([*id; 8]).unwrap(),
            None => column.append_null(),
        }
    }
    Arc::new(column.finish())
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Three spans, the last with an exception.
fn events() -> ArrayRef {
    let fields =
        Fields::from(vec![Field::new("name", DataType::Utf8, false), Field::new("attributes", DataType::Utf8, false)]);
    let builders =
        vec![Box::new(StringBuilder::new()) as Box<dyn arrow::array::ArrayBuilder>, Box::new(StringBuilder::new())];
    let item = Field::new("item", DataType::Struct(fields.clone()), false);
    let mut list = ListBuilder::new(StructBuilder::new(fields, builders)).with_field(item);
    list.append(true);
    list.append(true);
    for (place, text) in ["exception", r#"{"exception.type":"DeadlineExceeded"}"#].iter().enumerate() {
        list.values().field_builder::<StringBuilder>(place).unwrap().append_value(text);
    }
    list.values().append(true);
    list.append(true);
    Arc::new(list.finish())
}

/// `web` asks `cart`, whose clock is ten seconds behind, and which asks a database.
fn span_column(column: &str) -> ArrayRef {
    let ms = |values: [i64; 3]| values.map(|ms| ms * 1_000_000);
    match column {
        "span_id" => ids(&[Some(1), Some(2), Some(3)]),
        "parent_span_id" => ids(&[None, Some(1), Some(2)]),
        "time" => {
            let times = ms([0, -10_000, -9_990]).map(|offset| BEGIN + offset);
            Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC"))
        }
        "duration_ns" => numbers(&ms([100, 60, 40])),
        "name" => texts(&[Some("GET /"), Some("get"), Some("SELECT")]),
        "kind" => Arc::new(Int32Array::from(vec![3, 2, 3])),
        "status_code" => Arc::new(Int32Array::from(vec![0, 0, 2])),
        "service_name" => texts(&[Some("web"), Some("cart"), Some("cart")]),
        "events" => events(),
        "attr('db.system')" => texts(&[None, None, Some("postgresql")]),
        _ => Arc::new(NullArray::new(3)),
    }
}

fn answer(columns: Vec<(String, ArrayRef)>) -> Result<Answer> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let (schema, rows) = (batch.schema(), futures::stream::iter([Ok(batch)]).boxed());
    Ok(Answer { schema, rows, report: Arc::new(Report::default()) })
}

fn table(columns: [(&str, ArrayRef); 3]) -> Result<Answer> {
    answer(columns.map(|(name, column)| (name.to_owned(), column)).into())
}

/// What a store with that trace says; `web` writes logs without trace ids, nobody exemplars.
fn store(question: &Question) -> Result<Answer> {
    let sql = &question.sql;
    let is_it = sql.contains(&format!("trace_id = '{ID}'"));
    if sql.contains("FROM spans") {
        let columns = sql.trim_start_matches("SELECT ").split(" FROM ").next().unwrap().split(", ");
        let rows = if is_it { 3 } else { 0 };
        let column = |(place, name): (usize, &str)| (format!("{place}"), span_column(name).slice(0, rows));
        return answer(columns.enumerate().map(column).collect());
    }
    if sql.contains("GROUP BY 1, 2") {
        let rows = if is_it && sql.contains("FROM logs") { 2 } else { 0 };
        let services = texts(&[Some("cart"), Some("cart")]).slice(0, rows);
        let spans = ids(&[Some(3), None]).slice(0, rows);
        return table([("service", services), ("span_id", spans), ("records", numbers(&[4, 1]).slice(0, rows))]);
    }
    if sql.contains("FROM logs") {
        assert!(sql.contains("service_name IN ('web')"), "only whoever has none is asked about: {sql}");
        assert!(sql.contains("time >= '2026-11-20T09:59:00Z'"), "{sql}");
        return table([("service_name", texts(&[Some("web")])), ("records", numbers(&[7])), ("traced", numbers(&[0]))]);
    }
    if sql.contains("FROM exemplars") {
        let columns = [("records", numbers(&[0])), ("traced", numbers(&[0]))];
        return answer(columns.map(|(name, column)| (name.to_owned(), column)).into());
    }
    Err(Error::invalid(format!("not asked in this test: {sql}")))
}

async fn house() -> House {
    house_of(Box::new(|question| store(&question)), limits(), Patience::default(), 100).await
}

async fn get(house: &House, id: &str) -> Reply {
    call(&house.address, "GET", &format!("/api/v1/traces/{id}"), &[], b"").await
}

#[tokio::test]
async fn a_trace_is_told_with_what_belongs_to_it_and_why_something_does_not() {
    let reply = get(&house().await, &ID.to_ascii_uppercase()).await;
    let told = reply.json();
    assert_eq!(
        (reply.status, told["trace_id"].as_str(), told["duration_ns"].as_i64()),
        (200, Some(ID), Some(100_000_000))
    );
    assert_eq!(
        (told["start"].clone(), told["services"].clone()),
        (json!("2026-11-20T10:00:00Z"), json!(["cart", "web"]))
    );
    let spans = told["spans"].as_array().unwrap();
    let of = |field: &str| spans.iter().map(|span| span[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("span_id"), ["0101010101010101", "0202020202020202", "0303030303030303"]);
    assert_eq!(of("offset_ns"), [0, 20_000_000, 30_000_000], "moved into the middle, ten seconds");
    assert_eq!(of("self_ns"), [40_000_000, 20_000_000, 40_000_000]);
    assert_eq!(of("critical"), [true, true, true]);
    assert_eq!(of("logs"), [0, 0, 4]);
    assert_eq!(
        (spans[2]["error"].clone(), spans[2]["parent_span_id"].clone()),
        (json!("DeadlineExceeded"), json!("0202020202020202"))
    );
    let patterns: Vec<&str> =
        told["findings"].as_array().unwrap().iter().map(|it| it["pattern"].as_str().unwrap()).collect();
    assert_eq!(patterns, ["timeout", "error_origin"]);
    assert_eq!(spans[2]["findings"], json!([0, 1]));
    assert_eq!(told["logs"]["count"], 5, "one of them without a span");
    assert_eq!(told["logs"]["reasons"][0]["reason"], "no_trace_ids");
    assert_eq!(told["logs"]["reasons"][0]["service"], "web");
    assert_eq!(
        (told["exemplars"]["count"].clone(), told["exemplars"]["reasons"][0]["reason"].clone()),
        (json!(0), json!("none_sent"))
    );
    assert_eq!(told["how"]["queries"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn what_is_no_trace_is_told_from_what_is_not_here() {
    let house = house().await;
    for wrong in ["x", "0af7651916cd43dd8448eb211c80319c0", "%27%20OR%20true"] {
        assert_eq!(get(&house, wrong).await.status, 400, "{wrong}");
    }
    let reply = get(&house, "abc").await;
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(reply.status, 404);
    assert!(message.contains("00000000000000000000000000000abc") && message.contains("expired"), "{message}");
}
