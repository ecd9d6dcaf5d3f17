//! Do Prometheus' protocols decode to what was sent? By cases, and against a plain telling of the same.

mod exposition;
mod messages;
mod mutate;
mod remote_write;
