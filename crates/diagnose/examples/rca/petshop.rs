//! Not yet.
use std::path::Path;
pub async fn run(_: &Path, _: bool) {}
