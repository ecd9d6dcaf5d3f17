//! Does OTLP over gRPC speak to a stock client (tonic's), with the codes of the specification?

use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use causeway_model::{ErrorKind, Signal};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message as _;
use tokio::net::TcpStream;

use super::doubles::{House, house, logs, one_good_span_of_two};
use crate::otlp::rpc::{ExportResponse, RetryInfo, Status};

const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub fn framed(compressed: bool, message: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(u8::from(compressed));
    body.put_u32(message.len() as u32);
    body.extend_from_slice(message);
    body.freeze()
}

pub struct Reply {
    pub http: u16,
    pub code: Option<i32>,
    pub message: String,
    details: Option<Status>,
    pub body: Bytes,
}

/// One call over HTTP/2 with prior knowledge.
pub async fn call(house: &House, path: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
    let stream = TcpStream::connect(&house.address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let mut request = ::http::Request::post(format!("http://{}{path}", house.address)).header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let find = |name: &str| {
        let value = head.headers.get(name).or(trailers.get(name))?;
        Some(value.to_str().unwrap().to_owned())
    };
    let details = find("grpc-status-details-bin")
        .map(|text| Status::decode(&*base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).unwrap()).unwrap());
    Reply {
        http: head.status.as_u16(),
        code: find("grpc-status").map(|code| code.parse().unwrap()),
        message: find("grpc-message").unwrap_or_default(),
        details,
        body: collected.to_bytes(),
    }
}

pub const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test]
async fn messages_are_kept_plain_and_compressed() {
    let house = house().await;
    let body = logs(5);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let cases = [
        ("identity", framed(false, &body)),
        ("gzip", framed(true, &gzip.finish().unwrap())),
        ("zstd", framed(true, &zstd::encode_all(&*body, 1).unwrap())),
        // A client that has an encoding may still send this message plain.
        ("gzip", framed(false, &body)),
    ];
    for (encoding, message) in cases {
        let headers = [GRPC, ("grpc-encoding", encoding), ("user-agent", "grpc-go/1.66.0")];
        let reply = call(&house, LOGS, &headers, message).await;
        assert_eq!((reply.http, reply.code), (200, Some(0)), "{encoding}: {}", reply.message);
        assert_eq!(ExportLogsServiceResponse::decode(&reply.body[5..]).unwrap(), ExportLogsServiceResponse::default());
        let delivery = house.cellar.kept.lock().pop().unwrap();
        assert_eq!((delivery.ledger[0].signal, delivery.ledger[0].stored), (Signal::Logs, 5));
        assert_eq!(delivery.sender, "otlp-grpc grpc-go/1.66.0 127.0.0.1");
    }
    let reply = call(&house, TRACES, &[GRPC], framed(false, &one_good_span_of_two())).await;
    let partial = ExportResponse::decode(&reply.body[5..]).unwrap().partial_success.unwrap();
    assert_eq!((reply.code, partial.rejected), (Some(0), 1));
}

#[tokio::test]
async fn failures_have_their_codes_and_only_pressure_a_retry_info() {
    let house = house().await;
    let too_large = framed(false, &vec![0; (1 << 20) + 1]);
    let cases = [
        (vec![GRPC], framed(false, &[0xff; 9]), 3),
        (vec![GRPC], Bytes::from_static(&[0, 0, 0, 0, 9, 1]), 3),
        (vec![GRPC], framed(true, &[1]), 3),
        (vec![GRPC, ("grpc-encoding", "snappy")], framed(true, &[1]), 12),
        (vec![GRPC, ("grpc-encoding", "gzip")], framed(true, &[1]), 3),
        (vec![GRPC], too_large, 8),
    ];
    for (headers, body, code) in cases {
        let reply = call(&house, LOGS, &headers, body).await;
        assert_eq!((reply.http, reply.code), (200, Some(code)), "{headers:?}: {}", reply.message);
        assert!(reply.details.is_none(), "nothing invites to repeat");
    }
    let reply = call(&house, "/opentelemetry.proto.collector.logs.v1.LogsService/Import", &[GRPC], Bytes::new()).await;
    assert_eq!(reply.http, 404, "on the door of everything an unknown path is HTTP's");
    assert_eq!(call(&house, LOGS, &[("content-type", "text/plain")], Bytes::new()).await.http, 415);
    for (kind, code) in
        [(ErrorKind::Overloaded { retry_after: Duration::from_secs(7) }, 8), (ErrorKind::Unavailable, 14)]
    {
        *house.cellar.fail.lock() = Some(kind);
        let reply = call(&house, LOGS, &[GRPC], framed(false, &logs(1))).await;
        assert_eq!((reply.code, reply.message.as_str()), (Some(code), "told to fail %E2%80%93 100%25"));
        let details = reply.details.unwrap();
        assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        let delay = RetryInfo::decode(&*details.details[0].value).unwrap().retry_delay.unwrap();
        assert_eq!(delay.seconds, if code == 8 { 7 } else { 5 });
    }
}

/// A `PostSpansRequest` of one good span and one without ids, of the process `orders`.
fn jaeger_spans() -> Vec<u8> {
    let mut good = vec![0x0a, 16];
    good.extend([1; 16]);
    good.extend([0x12, 8]);
    good.extend([2; 8]);
    let mut batch = vec![0x0a, good.len() as u8];
    batch.extend(good);
    batch.extend([0x0a, 0]);
    batch.extend([0x12, 8, 0x0a, 6]);
    batch.extend(b"orders");
    [&[0x0a, batch.len() as u8], batch.as_slice()].concat()
}

#[tokio::test]
async fn jaegers_spans_are_kept() {
    const POST_SPANS: &str = "/jaeger.api_v2.CollectorService/PostSpans";
    let house = house().await;
    let headers = [GRPC, ("user-agent", "grpc-go/1.66.0")];
    let reply = call(&house, POST_SPANS, &headers, framed(false, &jaeger_spans())).await;
    assert_eq!((reply.http, reply.code), (200, Some(0)), "{}", reply.message);
    assert_eq!(&reply.body[..], [0; 5], "the answer has no field");
    let delivery = house.cellar.kept.lock().pop().unwrap();
    let [entry] = &delivery.ledger[..] else { panic!("one entry") };
    assert_eq!((entry.signal, entry.received, entry.stored), (Signal::Spans, 2, 1));
    assert_eq!(entry.dropped, [("invalid_trace_id".to_owned(), 1)]);
    assert_eq!(delivery.sender, "jaeger-grpc grpc-go/1.66.0 127.0.0.1");
    assert_eq!(call(&house, POST_SPANS, &[GRPC], framed(false, &[0x0a, 9])).await.code, Some(3));
    *house.cellar.fail.lock() = Some(ErrorKind::Unavailable);
    assert_eq!(call(&house, POST_SPANS, &[GRPC], framed(false, &jaeger_spans())).await.code, Some(14));
}

/// Messages as bytes, both ways.
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(&mut self, bytes: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        let mut message = vec![0; bytes.remaining()];
        bytes.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// tonic's own client, so that the hand-made server is held to another's reading of the protocol.
#[tokio::test]
async fn a_stock_client_is_served() {
    let house = house().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", house.address)).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    let path = ::http::uri::PathAndQuery::from_static(LOGS);
    for fail in [None, Some(ErrorKind::Unavailable)] {
        *house.cellar.fail.lock() = fail;
        client.ready().await.unwrap();
        let answer = client.unary(tonic::Request::new(logs(2)), path.clone(), Raw).await;
        match fail {
            None => assert!(answer.unwrap().into_inner().is_empty(), "success says nothing"),
            Some(_) => {
                let status = answer.unwrap_err();
                assert_eq!((status.code(), status.message()), (tonic::Code::Unavailable, "told to fail – 100%"));
            }
        }
    }
    assert_eq!(house.cellar.kept.lock().len(), 1);
}
