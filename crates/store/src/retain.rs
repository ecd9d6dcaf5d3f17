//! What is too old or too much?
