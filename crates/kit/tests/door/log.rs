//! Is each event one line that any reader of JSON understands, whatever is in it?

use std::fmt;

use causeway_kit as kit;
use opentelemetry_proto::tonic::common::v1::any_value;

use crate::receiver::{Lines, Receiver, attribute};

#[derive(Debug)]
struct Outer(std::io::Error);

impl fmt::Display for Outer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the order was not kept")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn events_are_lines_and_records() {
    let (receiver, lines) = (Receiver::start().await, Lines::default());
    let mut settings = receiver.settings("orders");
    settings.log_output = Box::new(lines.clone());
    settings.log_filter = "info,door::log=debug".to_owned();
    let kit = kit::init_scoped(settings).unwrap();
    let hostile = "</script>\n{\"level\":\"x\"}\u{0}\u{2028}";
    kit.run(async {
        tracing::warn!(event = hostile, user.name = hostile, "{hostile}");
        tracing::info!(
            event = "kinds",
            text = "a",
            truth = true,
            whole = -3,
            part = 0.5,
            none = f64::NAN,
            large = u64::MAX,
            "kinds"
        );
        tracing::info!(event = "clash", time = "mine", level = 7, service = "other", "clash");
        let error = Outer(std::io::Error::other("disk is full"));
        tracing::error!(event = "failed", error = kit::error(&error), "failed");
        tracing::error!(event = "display", error = %error, "display");
        tracing::debug!(event = "debugged", "this target is let through");
        tracing::debug!(target: "other", event = "hidden", "this one is not");
        tracing::info!(event = "long", text = "ü".repeat(20_000), "long");
        tracing::info!("without a name");
    })
    .await;
    kit.flush().await;

    let line = lines.event(hostile);
    assert_eq!((&line["message"], &line["user.name"]), (&hostile.into(), &hostile.into()));
    let kinds = lines.event("kinds");
    assert_eq!(
        (&kinds["text"], &kinds["truth"], &kinds["whole"], &kinds["part"]),
        (&"a".into(), &true.into(), &(-3).into(), &0.5.into())
    );
    assert_eq!((&kinds["none"], &kinds["large"]), (&"NaN".into(), &i64::MAX.into()));
    let clash = lines.event("clash");
    assert_eq!((&clash["service"], &clash["level"]), (&"orders".into(), &"INFO".into()));
    assert_eq!(
        (&clash["field.service"], &clash["field.level"], &clash["field.time"]),
        (&"other".into(), &7.into(), &"mine".into())
    );
    let failed = lines.event("failed");
    assert_eq!(failed["error"], serde_json::json!({"message": "the order was not kept", "causes": ["disk is full"]}));
    assert_eq!(lines.event("display")["error"]["message"], "the order was not kept");
    assert_eq!(lines.event("debugged")["level"], "DEBUG");
    let long = lines.event("long")["text"].as_str().unwrap().len();
    assert!((16_000..=16_400).contains(&long), "{long}");
    let all = lines.all();
    assert!(all.iter().all(|line| line["event"] != "hidden") && all.len() == 8, "{}", all.len());
    assert!(all[7].get("event").is_none() && all[7]["trace_id"].is_null());

    let record = receiver.log("failed");
    assert_eq!(attribute(&record.attributes, "exception.message"), "the order was not kept");
    assert_eq!(
        attribute(&record.attributes, "exception.stacktrace"),
        "the order was not kept\ncaused by: disk is full"
    );
    assert_eq!((record.severity_number, receiver.logs().len()), (17, 8));
    assert_eq!(attribute(&receiver.log(hostile).attributes, "user.name"), hostile);
}

#[tokio::test]
async fn lines_for_people_are_one_line_each_whatever_is_in_them() {
    let (receiver, lines) = (Receiver::start().await, Lines::default());
    let mut settings = receiver.settings("orders");
    settings.log_output = Box::new(lines.clone());
    settings.log_format = kit::LogFormat::Text;
    let kit = kit::init_scoped(settings).unwrap();
    kit.run(async {
        let error = Outer(std::io::Error::other("disk is full"));
        tracing::error!(event = "failed", order.id = 7, part = 0.5, error = kit::error(&error), "not kept");
        tracing::warn!(user.name = "a b\u{1b}[2J\nERROR", "{}", "fine\u{1b}[2J\nERROR forged");
    })
    .await;
    let text = lines.text();
    let expected = [
        r#"ERROR door::log: not kept order.id=7 part=0.5 error="the order was not kept: disk is full""#,
        r#" WARN door::log: fine\u{1b}[2J\nERROR forged user.name="a b\u{1b}[2J\nERROR""#,
    ];
    let found: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert_eq!(found, expected);
    kit.flush().await;
    assert_eq!(
        receiver.log("failed").body.unwrap().value.unwrap(),
        any_value::Value::StringValue("not kept".to_owned())
    );
}
