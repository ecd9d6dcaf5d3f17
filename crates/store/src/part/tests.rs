//! Do parts keep what they were given?
