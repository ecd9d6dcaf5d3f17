//! Which parts become one?
