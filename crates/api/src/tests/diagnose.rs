//! Are questions of the debugging loop read strictly, and do their failures speak the API's dialect?

use causeway_model::{Error, ErrorKind};

use super::doubles::{House, Reply, call, house_of, limits};
use crate::serve::Patience;

async fn house() -> House {
    let ask = |_| Err(Error::new(ErrorKind::Timeout, "told to be slow"));
    house_of(Box::new(ask), limits(), Patience::default(), 100).await
}

async fn post(house: &House, method: &str, body: &str) -> Reply {
    call(&house.address, "POST", &format!("/api/v1/diagnose/{method}"), &[], body.as_bytes()).await
}

const SYMPTOM: &str = r#"{"start":"2026-11-20T09:00:00Z","end":"2026-11-20T10:00:00Z"}"#;

#[tokio::test]
async fn a_question_that_is_wrong_is_refused_with_the_reason() {
    let house = house().await;
    let wrong = [
        ("triage", "{}", "start"),
        ("triage", r#"{"start":"yesterday","end":"2026-11-20T10:00:00Z"}"#, "yesterday"),
        ("where", r#"{"start":"2026-11-20T09:00:00Z","end":"2026-11-20T10:00:00Z","sevice":"x"}"#, "sevice"),
        ("suspects", r#"{"start":"2026-11-20T10:00:00Z","end":"2026-11-20T09:00:00Z"}"#, "not after"),
        ("compare", SYMPTOM, "unknown field"),
    ];
    for (method, body, reason) in wrong {
        let reply = post(&house, method, body).await;
        let json = reply.json();
        assert_eq!((reply.status, json["error"]["kind"].as_str()), (400, Some("invalid")), "{method} {body}");
        assert!(json["error"]["message"].as_str().unwrap().contains(reason), "{json}");
    }
    let late = format!(r#"{{"symptom":{SYMPTOM},"mitigated_at":"2026-11-20T11:00:00Z"}}"#);
    assert_eq!(post(&house, "validate", &late).await.status, 400);
}

#[tokio::test]
async fn what_the_store_says_is_passed_on() {
    let house = house().await;
    for method in ["triage", "where", "suspects"] {
        let reply = post(&house, method, SYMPTOM).await;
        assert_eq!((reply.status, reply.json()["error"]["kind"].as_str()), (504, Some("timeout")), "{method}");
    }
    assert_eq!(call(&house.address, "GET", "/api/v1/diagnose/triage", &[], b"").await.status, 405);
}
