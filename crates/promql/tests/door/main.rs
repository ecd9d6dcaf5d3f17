//! Does PromQL do what it says? Through the crate's door only.

mod refusals;
