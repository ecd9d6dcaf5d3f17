//! Which parts count? The catalog: one atomic commit for each flush, merge and removal.
