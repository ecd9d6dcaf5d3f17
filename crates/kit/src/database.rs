//! How does a call to a database become a span and a duration? As the semantic conventions name both, whichever driver makes it.

use std::any::Any;
use std::borrow::Cow;

use opentelemetry::KeyValue;
use sqlx::postgres::PgConnectOptions;
use tracing::Instrument;

use crate::init::Kit;
use crate::metrics::Durations;
use crate::operation::Operation;

/// A database as telemetry names it, for drivers that have no pool here, such as a cache's.
#[derive(Debug, Clone)]
pub struct Database {
    kit: Kit,
    system: &'static str,
    place: Place,
    durations: Durations,
}

/// Where a database is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// `server.address`: a host, or the path of a socket.
    address: Option<String>,
    /// `server.port`.
    port: Option<u16>,
    /// `db.namespace`.
    namespace: Option<String>,
}

/// What is asked of a database.
#[derive(Debug, Default)]
pub(crate) struct Call<'a> {
    /// Name of the span, and `db.query.summary`.
    pub(crate) summary: &'a str,
    /// `db.operation.name`.
    pub(crate) operation: &'a str,
    /// `db.collection.name`.
    pub(crate) collection: Option<&'a str>,
    /// `db.query.text`, without values.
    pub(crate) text: Option<&'a str>,
    /// `db.client.connection.pool.name`.
    pub(crate) pool_name: Option<&'a str>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFault {
    /// `error.type`: a word of few values.
    pub error_type: Cow<'static, str>,
    /// `db.response.status_code`: the database's own, where it gave one.
    pub status_code: Option<String>,
}

impl Kit {
    /// A database that spans and metrics call `system` (`db.system.name`, such as `redis`).
    pub fn database(&self, system: &'static str) -> Database {
        let durations = self.durations("db.client.operation.duration", "Duration of database operations.");
        Database { kit: self.clone(), system, place: Place::default(), durations }
    }
}

impl Database {
    /// `server.address` and `server.port`.
    pub fn server(mut self, address: impl Into<String>, port: u16) -> Self {
        self.place.address = Some(address.into());
        self.place.port = Some(port);
        self
    }

    /// `db.namespace`: the name of a database, or its number.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.place.namespace = Some(namespace.into());
        self
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// One call as a client span of this name, such as `GET`.
    ///
    /// # Errors
    /// As the work's own.
    pub async fn traced<T, E>(
        &self,
        operation: &str,
        work: impl Future<Output = Result<T, E>>,
        fault: impl FnOnce(&E) -> Option<DatabaseFault>,
    ) -> Result<T, E> {
        let call = Call { summary: operation, operation, ..Call::default() };
        self.call(&call, work, fault).await
    }

    pub(crate) async fn call<T, E>(
        &self,
        call: &Call<'_>,
        work: impl Future<Output = Result<T, E>>,
        fault: impl FnOnce(&E) -> Option<DatabaseFault>,
    ) -> Result<T, E> {
        let Place { address, port, namespace } = &self.place;
        let span = tracing::info_span!(
            "statement",
            otel.name = call.summary,
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            error.type = tracing::field::Empty,
            db.system.name = self.system,
            db.namespace = namespace,
            db.query.summary = call.summary,
            db.query.text = call.text,
            db.operation.name = call.operation,
            db.collection.name = call.collection,
            db.client.connection.pool.name = call.pool_name,
            db.response.status_code = tracing::field::Empty,
            server.address = address,
            server.port = port.map(i64::from),
        );
        let operation = Operation::begin(&self.kit, &self.durations, &span, self.attributes(call));
        let result = work.instrument(span.clone()).await;
        let fault = result.as_ref().err().and_then(fault);
        if let Some(code) = fault.as_ref().and_then(|fault| fault.status_code.as_deref()) {
            span.record("db.response.status_code", code);
        }
        operation.end(fault.as_ref().map(|fault| &*fault.error_type));
        result
    }

    /// Of the duration: few values each.
    fn attributes(&self, call: &Call<'_>) -> Vec<KeyValue> {
        let Place { address, port, namespace } = &self.place;
        let mut attributes = vec![
            KeyValue::new("db.system.name", self.system),
            KeyValue::new("db.query.summary", call.summary.to_owned()),
        ];
        attributes.extend(address.clone().map(|address| KeyValue::new("server.address", address)));
        attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
        attributes.extend(namespace.clone().map(|namespace| KeyValue::new("db.namespace", namespace)));
        attributes
    }
}

/// Where a driver of sqlx connects to; nowhere in particular for a file, and for a driver that is not known here.
pub(crate) fn place(options: &dyn Any) -> Place {
    let Some(options) = options.downcast_ref::<PgConnectOptions>() else { return Place::default() };
    // As PostgreSQL's own clients: a host that is a path is the folder of a socket, and a database is called as its user unless told.
    let socket = options.get_socket().map(|socket| socket.to_string_lossy().into_owned());
    let host = || options.get_host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_socket = socket.is_some() || options.get_host().starts_with('/');
    let namespace = options.get_database().unwrap_or_else(|| options.get_username());
    Place {
        address: Some(socket.unwrap_or_else(host)),
        port: (!is_socket).then(|| options.get_port()),
        namespace: Some(namespace.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_without_the_password() {
        let place_of = |url: &str| {
            let place = place(&url.parse::<PgConnectOptions>().unwrap());
            assert!(!format!("{place:?}").contains("secret"));
            (place.address.unwrap(), place.port, place.namespace.unwrap())
        };
        let cases = [
            ("postgres://shop:secret@db.internal/orders", ("db.internal", Some(5432), "orders")),
            ("postgresql://shop:secret@[::1]:6432", ("::1", Some(6432), "shop")),
            ("postgres://shop:secret@%2Fvar%2Frun%2Fpostgresql/orders", ("/var/run/postgresql", None, "orders")),
        ];
        for (url, (address, port, namespace)) in cases {
            assert_eq!(place_of(url), (address.to_owned(), port, namespace.to_owned()), "{url}");
        }
        let sqlite: sqlx::sqlite::SqliteConnectOptions = "sqlite::memory:".parse().unwrap();
        assert_eq!(place(&sqlite), Place::default());
    }
}
