//! How did a gRPC call end? HTTP says 200 to failures too; the status proper stands in a header of its own.

use axum::body::Body;
use axum::http::{HeaderName, Response};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Names of google.rpc.Code in the order of their numbers, and whether the server is at fault (semantic conventions for gRPC,
/// `rpc.response.status_code`).
const CODES: [(&str, bool); 17] = [
    ("OK", false),
    ("CANCELLED", false),
    ("UNKNOWN", true),
    ("INVALID_ARGUMENT", false),
    ("DEADLINE_EXCEEDED", true),
    ("NOT_FOUND", false),
    ("ALREADY_EXISTS", false),
    ("PERMISSION_DENIED", false),
    ("RESOURCE_EXHAUSTED", false),
    ("FAILED_PRECONDITION", false),
    ("ABORTED", false),
    ("OUT_OF_RANGE", false),
    ("UNIMPLEMENTED", true),
    ("INTERNAL", true),
    ("UNAVAILABLE", true),
    ("DATA_LOSS", true),
    ("UNAUTHENTICATED", false),
];

/// The status of a call that failed, and whether the server is at fault. A failure carries it in the head; success only says so after the
/// body, in the trailers.
pub(crate) fn failure(response: &Response<Body>) -> Option<(&'static str, bool)> {
    let number: usize = response.headers().get(GRPC_STATUS)?.to_str().ok()?.parse().ok()?;
    (number > 0).then(|| CODES.get(number).copied().unwrap_or(("UNKNOWN", true)))
}
