//! Which status does an error become? The one table, for HTTP and gRPC alike.
//!
//! OTLP (specification 1.11, "Failures") lets senders repeat after HTTP 429, 502, 503, 504 and after gRPC CANCELLED,
//! DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS, and after RESOURCE_EXHAUSTED only beside a RetryInfo. So what must not be
//! repeated has none of these: too large is not OUT_OF_RANGE, damage is not DATA_LOSS.

use std::time::Duration;

use causeway_model::ErrorKind;
use http::StatusCode;

/// When to try again after the disk refused: long enough for an operator or a retention run to make room.
pub const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Numbers of google.rpc.Code that are used here.
pub mod code {
    /// The caller withdrew.
    pub const CANCELLED: i32 = 1;
    /// The request itself is wrong.
    pub const INVALID_ARGUMENT: i32 = 3;
    /// It took too long.
    pub const DEADLINE_EXCEEDED: i32 = 4;
    /// It does not exist.
    pub const NOT_FOUND: i32 = 5;
    /// A limit was reached.
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    /// It is not supported.
    pub const UNIMPLEMENTED: i32 = 12;
    /// A defect.
    pub const INTERNAL: i32 = 13;
    /// Not now.
    pub const UNAVAILABLE: i32 = 14;
}

/// What an error kind becomes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Status of an HTTP answer.
    pub http: StatusCode,
    /// Status of a gRPC answer (google.rpc.Code).
    pub grpc: i32,
    /// The kind's name in JSON bodies.
    pub word: &'static str,
    /// When to repeat; `None` where the request must not be repeated, or at the caller's own pace.
    pub retry_after: Option<Duration>,
}

/// The table.
pub fn verdict(kind: ErrorKind) -> Verdict {
    let row = |http, grpc, word| Verdict { http, grpc, word, retry_after: None };
    match kind {
        ErrorKind::Invalid => row(StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT, "invalid"),
        ErrorKind::NotFound => row(StatusCode::NOT_FOUND, code::NOT_FOUND, "not_found"),
        ErrorKind::TooLarge => row(StatusCode::PAYLOAD_TOO_LARGE, code::RESOURCE_EXHAUSTED, "too_large"),
        ErrorKind::Unsupported => row(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::UNIMPLEMENTED, "unsupported"),
        ErrorKind::Overloaded { retry_after } => Verdict {
            retry_after: Some(retry_after),
            ..row(StatusCode::TOO_MANY_REQUESTS, code::RESOURCE_EXHAUSTED, "overloaded")
        },
        ErrorKind::Unavailable => Verdict {
            retry_after: Some(UNAVAILABLE_RETRY_AFTER),
            ..row(StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE, "unavailable")
        },
        ErrorKind::Timeout => row(StatusCode::GATEWAY_TIMEOUT, code::DEADLINE_EXCEEDED, "timeout"),
        ErrorKind::LimitExceeded => row(StatusCode::UNPROCESSABLE_ENTITY, code::RESOURCE_EXHAUSTED, "limit_exceeded"),
        ErrorKind::Cancelled => {
            // 499 has no name in the registry; nginx's meaning, "client closed request", is the common one.
            let closed = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
            row(closed, code::CANCELLED, "cancelled")
        }
        ErrorKind::Corrupt => row(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "corrupt"),
        ErrorKind::Internal => row(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "internal"),
    }
}

/// `Retry-After` in whole seconds, at least one: 0 would invite a storm.
pub fn retry_after_seconds(retry_after: Duration) -> u64 {
    retry_after.as_secs().saturating_add(u64::from(retry_after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_repeated_has_a_retryable_code() {
        let repeatable = [
            ErrorKind::Overloaded { retry_after: Duration::from_millis(1) },
            ErrorKind::Unavailable,
            ErrorKind::Timeout,
        ];
        let final_kinds = [
            ErrorKind::Invalid,
            ErrorKind::NotFound,
            ErrorKind::TooLarge,
            ErrorKind::Unsupported,
            ErrorKind::LimitExceeded,
            ErrorKind::Corrupt,
            ErrorKind::Internal,
        ];
        let http_retryable = |kind| [429, 502, 503, 504].contains(&verdict(kind).http.as_u16());
        let grpc_retryable = |kind| match verdict(kind) {
            Verdict { grpc: code::RESOURCE_EXHAUSTED, retry_after, .. } => retry_after.is_some(),
            Verdict { grpc, .. } => [1, 4, 10, 11, 14, 15].contains(&grpc),
        };
        for kind in repeatable {
            assert!(http_retryable(kind) && grpc_retryable(kind), "{kind:?}");
        }
        for kind in final_kinds {
            assert!(!http_retryable(kind) && !grpc_retryable(kind), "{kind:?}");
        }
    }

    #[test]
    fn a_retry_is_never_asked_for_at_once() {
        assert_eq!(retry_after_seconds(Duration::ZERO), 1);
        assert_eq!(retry_after_seconds(Duration::from_millis(1001)), 2);
    }
}
