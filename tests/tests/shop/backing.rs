//! Does the shop break in the same ways over a real PostgreSQL and a real Redis, share them with other runs, and live without its cache?

use std::process::Command;
use std::time::Duration;

use causeway_tests::Program;
use causeway_tests::servers::{self, Server};
use rustix::process::Signal;
use tokio::time::timeout;

use super::{CHECKOUTS, Demo, Left, RUN_MAX, SETTINGS, checkout_ms, demo, errors, number};

/// What a client of a server answers.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Schemas of runs, and keys of any.
fn left_behind(postgres: &Server, redis: &Server) -> (String, String) {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'causeway%'";
    let schemas = said("psql", &["--no-psqlrc", "-At", "-c", schemas, &postgres.postgres_url()]);
    (schemas, said("redis-cli", &["-p", &redis.port().to_string(), "DBSIZE"]))
}

#[tokio::test]
async fn checkout_slow_is_the_same_over_postgresql_and_redis() {
    let (Some(postgres), Some(redis)) = (servers::postgres(), servers::redis()) else { return };
    let (database, cache) = (postgres.postgres_url(), redis.redis_url());
    let left = Left::by("checkout-slow", 2.0, &["--seed", "3", "--database", &database, "--cache", &cache]).await;
    let [before, after] = left.before_and_after(CHECKOUTS).await;
    assert!(number(&before, "n") > 50.0 && number(&before, "p95_ms") < 1500.0, "{before:?}");
    assert!((3500.0..9000.0).contains(&number(&after, "p95_ms")), "{after:?}");
    assert!(number(&after, "errors") > number(&before, "errors") && number(&after, "errors") < 0.25, "{after:?}");
    left.payment_waits().await;
    let asked = "SELECT service_name, attr('db.system.name') AS system, min(attr('server.port')) AS port, \
                 max(attr('server.port')) AS same FROM spans \
                 WHERE attr('db.system.name') IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2";
    let asked = left.program.sql(asked).await;
    let port = |server: &Server| server.port().to_string();
    let expected = [
        ("cart", "postgresql", port(&postgres)),
        ("cart", "redis", port(&redis)),
        ("inventory", "postgresql", port(&postgres)),
        ("payment", "postgresql", port(&postgres)),
    ];
    assert_eq!(asked.len(), expected.len(), "{asked:?}");
    for (row, (service, system, port)) in asked.iter().zip(expected) {
        assert_eq!((row["service_name"].as_str(), row["system"].as_str()), (Some(service), Some(system)), "{asked:?}");
        assert_eq!((row["port"].as_str(), row["same"].as_str()), (Some(&*port), Some(&*port)), "{asked:?}");
    }
    let failed = "SELECT count(*) FROM spans WHERE attr('db.system.name') IS NOT NULL AND status_code = 2";
    assert_eq!(left.program.number(failed).await, 0);
    let hits = "SELECT count(*) FROM spans WHERE service_name = 'cart' AND attr('cache.hit') = 'true'";
    assert!(left.program.number(hits).await > 50);
    assert_eq!(left_behind(&postgres, &redis), ("0".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn runs_share_the_servers_without_meeting_and_leave_nothing() {
    let (Some(postgres), Some(redis)) = (servers::postgres(), servers::redis()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let (url, database, cache) = (format!("http://{}", program.listen), postgres.postgres_url(), redis.redis_url());
    let arguments = ["--url", &url, "--no-incident", "--database", &database, "--cache", &cache];
    let mut first = Demo::open(&arguments).await;
    let mut second = Demo::open(&arguments).await;
    let [one, other] = [first.pulses(6).await, second.pulses(6).await];
    assert!(errors(&one) + errors(&other) <= 2.0, "{one:?} {other:?}");
    assert_eq!(left_behind(&postgres, &redis).0, "2");
    // A user of the one has the name of a user of the other, and another cart.
    assert_ne!(left_behind(&postgres, &redis).1, "0");
    second.end_by(Signal::INT).await;
    assert_eq!(left_behind(&postgres, &redis).0, "1");
    // Whoever was killed could not clean up; the next one does, and only after those that live no more.
    first.end_by(Signal::KILL).await;
    let third = Demo::open(&arguments).await;
    assert_eq!(left_behind(&postgres, &redis).0, "1");
    third.end_by(Signal::INT).await;
    assert_eq!(left_behind(&postgres, &redis).0, "0");
}

#[tokio::test]
async fn a_cache_that_stands_still_costs_misses_and_no_more() {
    let Some(redis) = servers::redis() else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let (url, cache) = (format!("http://{}", program.listen), redis.redis_url());
    let mut demo = Demo::open(&["--url", &url, "--no-incident", "--cache", &cache]).await;
    let with = demo.pulses(14).await.split_off(4);
    redis.pause();
    let without = demo.pulses(14).await.split_off(2);
    assert!(errors(&without) <= errors(&with) + 3.0, "{without:?} instead of {with:?}");
    let [before, after] = [&with, &without].map(|pulses| checkout_ms(pulses));
    assert!(after < before * 1.5 + 200.0, "checkout p95 with the cache and without: {before} and {after} ms");
    let timeouts = "SELECT count(*) AS n, max(duration_ns) / 1e6 AS longest_ms FROM spans WHERE attr('db.system.name') = 'redis' \
                    AND attr('error.type') = 'timeout'";
    let timeouts = program.sql(timeouts).await.remove(0);
    assert!(number(&timeouts, "n") > 0.0 && number(&timeouts, "longest_ms") < 1000.0, "{timeouts:?}");
    let unavailable = "SELECT CAST(max(m.value) AS BIGINT) FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
                       WHERE s.name = 'cache.requests' AND attr(s, 'cache.result') = 'unavailable'";
    assert!(program.number(unavailable).await > 10);
    redis.resume();
    demo.end_by(Signal::INT).await;
    assert_eq!(said("redis-cli", &["-p", &redis.port().to_string(), "DBSIZE"]), "0");
}

#[tokio::test]
async fn servers_that_are_away_are_named_with_what_to_do_and_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), SETTINGS).await;
    let url = format!("http://{}", program.listen);
    // Nobody listens on the discard port.
    let cases = [
        ("--database", "postgres://shop:secret@127.0.0.1:9/shop", "PostgreSQL can't be used at 127.0.0.1:9"),
        ("--cache", "redis://:secret@127.0.0.1:9", "Redis can't be used at 127.0.0.1:9"),
        ("--database", "mysql://shop:secret@127.0.0.1/shop", "postgres://USER:PASSWORD@HOST:PORT/DATABASE is meant"),
        ("--cache", "memcached://secret", "redis://HOST:PORT is meant"),
    ];
    for (option, value, expected) in cases {
        let mut command = demo(&["--url", &url, option, value]);
        let output = timeout(RUN_MAX.min(Duration::from_secs(60)), command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{option} {value}: {said}");
        assert!(!said.contains("secret"), "{said}");
        assert!(said.contains("is meant") || said.contains("docker compose up"), "{said}");
    }
}
