//! How is a question answered? DataFusion lives only here: SQL is rewritten, planned over the store's snapshot, run on
//! threads of its own and handed back as a stream that limits guard.
//!
//! text -> [`sql`] (one statement, only questions) -> [`rewrite`] (`attr('k')` becomes a column) -> [`engine`] (plan, run,
//! guard) over [`tables`] whose leaves ([`scan_exec`]) skip by [`pruning`].

mod coerce;
mod docs;
mod engine;
mod expansion;
mod functions;
mod group_exec;
mod guard;
mod limits;
mod needle;
mod numbered;
mod pruning;
mod rewrite;
mod row_filter;
mod scan_exec;
mod sketch;
mod sql;
mod tables;
#[cfg(test)]
mod tests;

pub use docs::tables_markdown;
pub use engine::Engine;
pub use limits::EngineOptions;
