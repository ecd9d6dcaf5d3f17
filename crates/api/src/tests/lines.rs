//! Who is let go, and who may stay? Slow heads, idle and unread connections, too many, and the order to stop.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::doubles::{House, Reply, house_of, limits, patience};
use crate::serve::Patience;
use causeway_model::Error;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

async fn impatient(patience: Patience, connections_max: usize) -> House {
    house_of(Box::new(|_| Err(Error::invalid("no"))), limits(), patience, connections_max).await
}

async fn connect(house: &House) -> TcpStream {
    TcpStream::connect(&house.address).await.unwrap()
}

/// Whether the server has closed without another byte.
async fn closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 64]).await, Ok(1..))
}

async fn answered(stream: &mut TcpStream) -> u16 {
    stream.write_all(REQUEST).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"ok\n") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed too early");
    }
    Reply::parse(&bytes).status
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up_even_when_it_drips() {
    // Were the idle time-out the one that strikes, this test would not end.
    let house = impatient(Patience { idle_max: Duration::from_secs(3600), ..patience() }, 10).await;
    let mut stalled = connect(&house).await;
    stalled.write_all(b"POST /v1/logs HTTP/1.1\r\nhost").await.unwrap();
    assert!(closed(&mut stalled).await);
    let mut dripping = connect(&house).await;
    let mut drops = REQUEST[..10].iter().cycle();
    let mut answer = [0; 1];
    loop {
        let wait = tokio::time::timeout(Duration::from_millis(20), dripping.read(&mut answer)).await;
        if wait.is_ok() || dripping.write_all(&[*drops.next().unwrap()]).await.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn a_kept_connection_outlives_the_time_for_a_head() {
    let hour = Duration::from_secs(3600);
    let house = impatient(Patience { head_max: Duration::from_millis(1), idle_max: hour, ..patience() }, 10).await;
    let mut kept = connect(&house).await;
    for _ in 0..3 {
        assert_eq!(answered(&mut kept).await, 200);
        let wait = tokio::time::timeout(Duration::from_millis(50), kept.read(&mut [0; 1])).await;
        assert!(wait.is_err(), "the connection is still open");
    }
}

#[tokio::test]
async fn an_idle_connection_ends_after_a_while_whether_it_was_used_or_not() {
    let house = impatient(Patience { head_max: Duration::from_secs(3600), ..patience() }, 10).await;
    let mut used = connect(&house).await;
    assert_eq!(answered(&mut used).await, 200);
    assert!(closed(&mut used).await);
    assert!(closed(&mut connect(&house).await).await);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_counted() {
    let house = impatient(Patience::default(), 2).await;
    let (mut one, mut two) = (connect(&house).await, connect(&house).await);
    assert_eq!((answered(&mut one).await, answered(&mut two).await), (200, 200));
    assert!(closed(&mut connect(&house).await).await);
    let text = crate::metrics_text(&house.connections.metrics());
    assert!(
        text.contains("causeway_connections 2\n") && text.contains("causeway_connections_refused_total 1\n"),
        "{text}"
    );
    assert_eq!(answered(&mut one).await, 200);
}

#[tokio::test]
async fn the_order_to_stop_ends_idle_connections_and_waits_for_the_rest() {
    let house = impatient(Patience::default(), 10).await;
    let mut idle = connect(&house).await;
    assert_eq!(answered(&mut idle).await, 200);
    let mut busy = connect(&house).await;
    let head = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    busy.write_all(head).await.unwrap();
    let mut interim = [0; 64];
    let length = busy.read(&mut interim).await.unwrap();
    assert!(interim[..length].starts_with(b"HTTP/1.1 100"), "the request is under way");
    house.stop.cancel();
    assert!(closed(&mut idle).await);
    busy.write_all(&[0x0a, 0]).await.unwrap();
    let mut bytes = Vec::new();
    busy.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(Reply::parse(&bytes).status, 200);
    assert!(house.connections.drained().await);
    assert!(TcpStream::connect(&house.address).await.is_err());
}
