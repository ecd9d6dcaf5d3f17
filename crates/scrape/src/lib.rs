//! What do the targets say? Finds what is to be scraped, scrapes it in time and hands over the samples: Prometheus' scraping with
//! Prometheus' configuration. `docs/guides/scraping.md` is the guide.

mod absorb;
mod cache;
mod classic;
pub mod config;
mod discovery;
mod fetch;
mod histogram;
mod labeling;
mod names;
mod paths;
mod pool;
pub mod relabel;
mod schedule;
mod scrape_loop;
mod scraper;
mod status;
mod target;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use config::Config;
pub use names::NameScheme;
pub use scraper::{Scraper, Settings};
pub use status::{ActiveTarget, DroppedTarget, Health, ScrapeCounts, Targets};
pub use target::Target;
