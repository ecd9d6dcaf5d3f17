//! What does a client of Prometheus' API learn of a failure? A word, a status and a message, as Prometheus gives them
//! (web/api/v1/api.go); its clients tell failures apart by these and not by our own.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use causeway_model::{Error, ErrorKind};
use causeway_promql::quote;
use http::{StatusCode, header};

use crate::errors::{retry_after_seconds, verdict};

/// Prometheus' `errorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The request itself is wrong.
    BadData,
    /// The query has no value, or takes more than it may.
    Execution,
    /// The query took too long.
    Timeout,
    /// Its client went away.
    Canceled,
    /// A defect, or damage.
    Internal,
    /// It does not exist.
    NotFound,
    /// Not now.
    Unavailable,
}

impl ErrorType {
    pub fn word(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
        }
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Canceled => verdict(ErrorKind::Cancelled).http,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Prometheus' word for it.
    pub error_type: ErrorType,
    /// Why, for a person; in Prometheus' words where it has some.
    pub message: String,
    /// When to ask again.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that won't pass by itself.
    pub fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into(), retry_after: None }
    }

    /// The request itself is wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorType::BadData, message)
    }

    /// One parameter is wrong.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {}: {why}", quote(name)))
    }

    /// The request could not be read.
    pub fn unreadable(error: Error) -> Self {
        Self { error_type: ErrorType::BadData, ..Self::from(error) }
    }
}

/// The same in the words of our own API.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.error_type {
            ErrorType::BadData => ErrorKind::Invalid,
            ErrorType::Execution => ErrorKind::LimitExceeded,
            ErrorType::Timeout => ErrorKind::Timeout,
            ErrorType::Canceled => ErrorKind::Cancelled,
            ErrorType::Internal => ErrorKind::Internal,
            ErrorType::NotFound => ErrorKind::NotFound,
            ErrorType::Unavailable => match failure.retry_after {
                Some(retry_after) => ErrorKind::Overloaded { retry_after },
                None => ErrorKind::Unavailable,
            },
        };
        Self::new(kind, failure.message)
    }
}

/// What went wrong while a query was evaluated or series were looked up.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let error_type = match error.kind {
            ErrorKind::Invalid | ErrorKind::LimitExceeded | ErrorKind::TooLarge | ErrorKind::Unsupported => {
                ErrorType::Execution
            }
            ErrorKind::NotFound => ErrorType::NotFound,
            ErrorKind::Overloaded { .. } | ErrorKind::Unavailable => ErrorType::Unavailable,
            ErrorKind::Timeout => ErrorType::Timeout,
            ErrorKind::Cancelled => ErrorType::Canceled,
            ErrorKind::Corrupt | ErrorKind::Internal => ErrorType::Internal,
        };
        Self { error_type, message: error.message, retry_after: verdict(error.kind).retry_after }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "status": "error",
            "errorType": self.error_type.word(),
            "error": self.message,
        });
        let mut response = (self.error_type.status(), axum::Json(body)).into_response();
        if let Some(delay) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds(delay).into());
        }
        response
    }
}
