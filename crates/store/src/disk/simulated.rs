//! A disk from a seed.
