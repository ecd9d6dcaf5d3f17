//! Do filters ever miss what they hold?
