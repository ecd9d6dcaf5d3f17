//! What is acknowledged but not yet in a part?
