//! What do programs expose that are scraped? Targets whose answers depend only on how often they were asked, so that whoever scrapes
//! them gets counters that start anew, series that come late, and ends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// For one request of a scraper that hangs.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// What a target says.
pub enum Answer {
    /// In Prometheus' text format.
    Text(String),
    /// In OpenMetrics' format.
    OpenMetrics(String),
    /// It has trouble.
    Trouble,
    /// It ends, and nobody listens there any more.
    Gone,
}

/// A target that runs; it ends with this value.
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    scrapes: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the request's head, and answers.
async fn serve(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 1 << 16 {
        head.push(stream.read_u8().await?);
    }
    let (status, kind, body) = match answer {
        Answer::Text(body) => ("200 OK", "text/plain; version=0.0.4", body.as_str()),
        Answer::OpenMetrics(body) => {
            ("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", body.as_str())
        }
        Answer::Trouble | Answer::Gone => ("500 Internal Server Error", "text/plain", "trouble\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

impl Target {
    /// Starts one that answers its first request with `answer(0)`.
    pub async fn start(answer: impl Fn(u64) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, scrapes) = watch::channel(0);
        let task = tokio::spawn(async move {
            for scrape in 0.. {
                let said = answer(scrape);
                if matches!(said, Answer::Gone) {
                    drop(listener);
                    return std::future::pending().await;
                }
                let Ok((mut stream, _)) = listener.accept().await else { continue };
                let _served = timeout(REQUEST_MAX, serve(&mut stream, &said)).await;
                count.send_replace(scrape + 1);
            }
        });
        Self { address, scrapes, task }
    }

    /// Waits until it was asked so often.
    pub async fn scraped(&self, times: u64) {
        let mut scrapes = self.scrapes.clone();
        let wait = timeout(super::PATIENCE, scrapes.wait_for(|count| *count >= times));
        wait.await.unwrap_or_else(|_| panic!("{} was not scraped {times} times", self.address)).unwrap();
    }
}

/// A number between 0 and 1 that looks like chance.
fn noise(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// A counter after so many steps of about `step`; it begins far from zero, see [`shop`].
fn counted(seed: u64, scrape: u64, step: u64) -> u64 {
    let steps = (0..scrape).map(|at| (noise(seed * 1_000 + at) * 2.0 * step as f64) as u64);
    10_000 + steps.sum::<u64>()
}

/// The latest scrape at which all that happens in a [`shop`] has happened.
pub const SCRAPES: u64 = 46;
/// When the counters of shop 2 start anew.
const RESET: u64 = 21;
/// When what begins at zero begins to count.
const BORN: u64 = 4;
/// When the late series come.
const LATE: u64 = 17;

fn counters(shop: u64, scrape: u64) -> String {
    let mut body = "# HELP shop_requests_total Requests.\n# TYPE shop_requests_total counter\n".to_owned();
    let since_start = if shop == 2 && scrape >= RESET { scrape - RESET } else { scrape };
    for (number, (method, code)) in
        [("GET", "200"), ("GET", "404"), ("POST", "200"), ("POST", "500")].into_iter().enumerate()
    {
        let seed = shop * 10 + number as u64;
        let start = if since_start < scrape { 0 } else { 7_000 * shop };
        let value = counted(seed, since_start, 7 * (number as u64 + 1)) + start;
        body += &format!("shop_requests_total{{method=\"{method}\",code=\"{code}\"}} {value}\n");
    }
    body += "# TYPE shop_born_total counter\n";
    body += &format!("shop_born_total {}\n", if scrape < BORN { 0 } else { counted(shop + 70, scrape, 5) });
    if scrape >= LATE {
        body += "# TYPE shop_late_total counter\n";
        body += &format!("shop_late_total{{kind=\"late\"}} {}\n", counted(shop + 80, scrape, 11));
    }
    body
}

fn gauges(shop: u64, scrape: u64) -> String {
    let mut body =
        "# HELP shop_temperature_celsius How warm it is.\n# TYPE shop_temperature_celsius gauge\n".to_owned();
    for (number, room) in ["kitchen", "store", "office"].into_iter().enumerate() {
        let value = 20.0 + 8.0 * (noise(shop * 7_919 + number as u64 * 104_729 + scrape) - 0.5) - number as f64 * 15.0;
        body += &format!("shop_temperature_celsius{{room=\"{room}\"}} {value}\n");
    }
    let sometimes = match scrape % 7 {
        2 => "NaN".to_owned(),
        4 => "+Inf".to_owned(),
        5 => "-Inf".to_owned(),
        _ => noise(shop + scrape).to_string(),
    };
    body += "# TYPE shop_unruly gauge\n";
    body += &format!("shop_unruly {sometimes}\nshop_untyped {}\n", scrape * shop);
    body += "shop_odd{path=\"/a\\\\b\\\"c\\nd\",animal=\"žluťoučký 🐎\",empty=\"\"} ";
    body += &format!("{}\n", scrape + shop);
    body += &format!("shop_odd{{path=\"/{{}} = ~ |.*\",animal=\"\"}} {}\n", scrape * 2 + shop);
    if scrape % 10 < 6 {
        // Comes and goes: each time it goes, its end is marked.
        body += &format!("shop_now_and_then{{shop=\"{shop}\"}} {}\n", 3 * scrape + shop);
    }
    body
}

fn distributions(shop: u64, scrape: u64) -> String {
    let mut body = "# TYPE shop_latency_seconds histogram\n".to_owned();
    for (number, route) in ["/", "/cart"].into_iter().enumerate() {
        let (mut below, seed) = (0, shop * 100 + number as u64 * 10);
        for (bucket, le) in ["0.1", "0.5", "1", "2.5", "+Inf"].into_iter().enumerate() {
            below += counted(seed + bucket as u64, scrape, 9 - bucket as u64);
            body += &format!("shop_latency_seconds_bucket{{route=\"{route}\",le=\"{le}\"}} {below}\n");
        }
        body += &format!("shop_latency_seconds_sum{{route=\"{route}\"}} {}\n", below as f64 * 0.37);
        body += &format!("shop_latency_seconds_count{{route=\"{route}\"}} {below}\n");
    }
    body += "# TYPE shop_size_bytes summary\n";
    for quantile in ["0.5", "0.9", "0.99"] {
        let value = noise(shop * 31 + scrape) * quantile.parse::<f64>().unwrap() * 1e6;
        body += &format!("shop_size_bytes{{quantile=\"{quantile}\"}} {value}\n");
    }
    let count = counted(shop + 90, scrape, 4);
    body + &format!("shop_size_bytes_sum {}\nshop_size_bytes_count {count}\n", count as f64 * 0.5e6)
}

/// What a shop of this number exposes at a scrape.
///
/// Counters stand at zero or far from it: where a counter would have been zero shortly before its first sample in a range, Prometheus
/// extrapolates otherwise from version 3 on.
pub fn shop(number: u64, scrape: u64) -> String {
    counters(number, scrape) + &gauges(number, scrape) + &distributions(number, scrape)
}
