//! Does compare find what was put in?
