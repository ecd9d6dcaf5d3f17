//! What does a caller learn of a failure, and what does the log? A status, a sentence and the request's id; the log has the causes too.

use std::borrow::Cow;
use std::error::Error;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::client::ClientError;

/// `error.type` of a response, for the server layer.
#[derive(Debug, Clone)]
pub(crate) struct ErrorType(pub(crate) Cow<'static, str>);

/// Why a request could not be answered as wished. Handlers return it with `?`.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    message: Cow<'static, str>,
    error_type: Option<Cow<'static, str>>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// The message is for the caller: no secret, no inner workings.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), error_type: None, source: None }
    }

    /// The error behind it: for the log, not for the caller.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// `error.type` on span and metric: a word of few values. The status unless told.
    pub fn error_type(mut self, error_type: impl Into<Cow<'static, str>>) -> Self {
        self.error_type = Some(error_type.into());
        self
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The response; the log is written on the way, as `request.failed`.
    pub(crate) fn respond(self, request_id: Option<&str>) -> Response<Body> {
        let status = self.status.as_u16();
        let word = self.error_type.clone().unwrap_or_else(|| status.to_string().into());
        let error: &(dyn Error + 'static) = &self;
        if self.status.is_server_error() {
            tracing::error!(event = "request.failed", http.response.status_code = status, error.type = &*word, error, "{}", self.message);
        } else {
            tracing::info!(event = "request.refused", http.response.status_code = status, error.type = &*word, error, "{}", self.message);
        }
        let body = serde_json::json!({"error": {"kind": word, "message": self.message, "request_id": request_id}});
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.extensions_mut().insert(ErrorType(word));
        response
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (status, word) = (error.status(), error.word());
        Self::new(status, "a service that this one needs did not answer").error_type(word).because(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let unexpected = "the database did not answer as expected";
        let (status, word, message) = match &error {
            sqlx::Error::PoolTimedOut => (StatusCode::SERVICE_UNAVAILABLE, "pool_timeout", "the database is busy"),
            sqlx::Error::RowNotFound => (StatusCode::NOT_FOUND, "row_not_found", "there is no such record"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "database", unexpected),
        };
        Self::new(status, message).error_type(word).because(error)
    }
}
