//! What do senders and disks do to it, and does it hold? The real program, seen from outside.

mod hostile;
mod kills;
