//! Are pages of others kept out, and those let in that were named?

use causeway_model::Error;

use super::doubles::{House, Reply, call, house_of, limits};
use crate::serve::Patience;
use crate::{DeskLimits, Pages};

const OTHERS: &str = "https://app.example.com";

async fn house(pages: Pages) -> House {
    let limits = DeskLimits { pages, ..limits() };
    house_of(Box::new(|_| Err(Error::invalid("asked"))), limits, Patience::default(), 100).await
}

async fn ask(house: &House, headers: &[(&str, &str)]) -> Reply {
    call(&house.address, "POST", "/api/v1/sql", headers, br#"{"query":"SELECT 1"}"#).await
}

fn named() -> Pages {
    Pages { allowed_hosts: vec!["causeway.internal".into()], allowed_origins: vec![OTHERS.into()] }
}

#[tokio::test]
async fn on_loopback_only_its_own_names_are_answered() {
    let house = house(named()).await;
    for host in ["localhost", "LOCALHOST:4300", "127.0.0.1:1", "[::1]:4300", "10.0.0.7", "causeway.internal:4300"] {
        assert_eq!(ask(&house, &[("host", host)]).await.status, 400, "{host}: the question is what is wrong");
    }
    for host in ["evil.example:4300", "localhost.evil.example", "x", "", "a b"] {
        let reply = ask(&house, &[("host", host)]).await;
        assert_eq!((reply.status, reply.json()["error"]["kind"].clone()), (403, "forbidden".into()), "{host}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("allowed_hosts"));
        for path in ["/", "/prometheus/api/v1/query?query=up", "/prometheus/api/v1/labels"] {
            assert_eq!(call(&house.address, "GET", path, &[("host", host)], b"").await.status, 403, "{path}");
        }
        // A page can write what gRPC writes, by HTTP/1 too, and read the answer.
        let grpc = [("host", host), ("content-type", "application/grpc")];
        let asked = call(&house.address, "POST", "/tempopb.StreamingQuerier/Search", &grpc, &[0; 5]).await;
        assert_eq!(asked.status, 403);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/prometheus/-/healthy"] {
        assert_eq!(call(&house.address, "GET", path, &[("host", "prober")], b"").await.status, 200, "{path}");
    }
    let sent = [("host", "collector"), ("content-type", "application/json")];
    assert_eq!(call(&house.address, "POST", "/v1/logs", &sent, b"{}").await.status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_may_not_ask() {
    let house = house(named()).await;
    let local = ("host", "localhost:4300");
    assert_eq!(ask(&house, &[local, ("origin", "http://localhost:4300")]).await.status, 400);
    for origin in ["http://localhost:3000", "https://evil.example", "null", "http://localhost:4300.evil.example"] {
        let reply = ask(&house, &[local, ("origin", origin)]).await;
        assert_eq!(reply.status, 403, "{origin}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("allowed_origins"));
        assert!(!reply.head.contains("access-control"), "{}", reply.head);
    }
    let reply = ask(&house, &[local, ("origin", OTHERS)]).await;
    assert_eq!(reply.status, 400);
    assert!(reply.head.contains(&format!("access-control-allow-origin: {OTHERS}")), "{}", reply.head);
}

#[tokio::test]
async fn browsers_are_told_which_pages_may_send() {
    let house = house(named()).await;
    let preflight = async |path: &str, origin: &str| {
        let wanted = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,traceparent"),
        ];
        call(&house.address, "OPTIONS", path, &wanted, b"").await
    };
    for path in ["/v1/traces", "/api/v1/sql"] {
        let reply = preflight(path, OTHERS).await;
        assert_eq!(reply.status, 204, "{path}");
        for header in
            ["allow-methods: get, post", "allow-headers: content-type,traceparent", "allow-origin: https://app"]
        {
            assert!(reply.head.contains(&format!("access-control-{header}")), "{}", reply.head);
        }
        let reply = preflight(path, "https://evil.example").await;
        assert_eq!(reply.status, 403, "{path}");
        assert!(!reply.head.contains("access-control"), "{}", reply.head);
    }
    let json = ("content-type", "application/json");
    let reply = call(&house.address, "POST", "/v1/logs", &[json, ("origin", OTHERS)], b"{}").await;
    assert!(reply.status == 200 && reply.head.contains("access-control-allow-origin"), "{}", reply.head);
    let reply = call(&house.address, "POST", "/v1/logs", &[json, ("origin", "http://other")], b"{}").await;
    assert!(
        reply.status == 200 && !reply.head.contains("access-control"),
        "a sender that is no browser is not held up"
    );
}
