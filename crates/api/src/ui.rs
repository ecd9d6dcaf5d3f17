//! Where are the screens? Built into the program from ui/dist; each URL that is a screen answers with the one page.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_model::hex;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{Embed, EmbeddedFile};

use crate::{Desk, operator};

/// What `make build` laid there; next to nothing where it was never run.
#[derive(Embed)]
#[folder = "../../ui/dist"]
struct Dist;

/// The URLs of screens. The page itself reads the rest of the URL.
const SCREENS: &[&str] =
    &["/services", "/errors", "/traces", "/traces/{id}", "/logs", "/compare", "/investigate", "/flags", "/sql"];

/// What a page may do. Telemetry is written by strangers and shown here, so nothing inline, nothing from elsewhere, no
/// evaluated text, no strings parsed as HTML, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types 'none'";

/// Names of assets carry a hash of their bytes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

const NOT_BUILT: &str = "The screens are not built into this program: `make build` builds them.\n\n";

/// Routes of the screens and of what they load.
pub fn routes() -> Router<Arc<Desk>> {
    let routes = Router::new().route("/", get(front)).route("/assets/{*path}", get(asset));
    SCREENS.iter().fold(routes, |routes, screen| routes.route(screen, get(screen_page)))
}

/// People get the page, tools the text that says how to use the rest.
async fn front(request: Request) -> Response {
    let wants_page = request.headers().get(header::ACCEPT).is_some_and(|accept| contains(accept, "text/html"));
    if wants_page { page(request.headers()) } else { operator::usage().await }
}

async fn screen_page(request: Request) -> Response {
    page(request.headers())
}

fn page(headers: &HeaderMap) -> Response {
    match file("index.html", headers, "no-cache") {
        Some(response) => response,
        None => (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT.to_owned() + operator::USAGE).into_response(),
    }
}

async fn asset(Path(path): Path<String>, request: Request) -> Response {
    match file(&format!("assets/{path}"), request.headers(), IMMUTABLE) {
        Some(response) => response,
        None => operator::not_found().await,
    }
}

/// A file with its headers; the twin that the build compressed where the client takes it, nothing where it has it already.
fn file(path: &str, asked: &HeaderMap, caching: &'static str) -> Option<Response> {
    let gzip = asked.get(header::ACCEPT_ENCODING).is_some_and(|accept| contains(accept, "gzip"));
    let twin = if gzip { Dist::get(&format!("{path}.gz")) } else { None };
    let encoded = twin.is_some();
    let EmbeddedFile { data, metadata } = match twin {
        Some(twin) => twin,
        None => Dist::get(path)?,
    };
    let etag = format!("\"{}\"", hex(metadata.sha256_hash().get(..16).unwrap_or_default()));
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|tags| contains(tags, &etag));
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { body(data) };
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, content_type(path));
    set(header::CACHE_CONTROL, caching);
    set(header::VARY, "accept, accept-encoding");
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // URLs hold queries and ids, which are nobody else's business.
    set(header::REFERRER_POLICY, "no-referrer");
    set(http::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(http::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if encoded {
        set(header::CONTENT_ENCODING, "gzip");
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    Some(response)
}

fn body(data: Cow<'static, [u8]>) -> Response {
    match data {
        Cow::Borrowed(bytes) => bytes::Bytes::from_static(bytes).into_response(),
        Cow::Owned(bytes) => bytes.into_response(),
    }
}

fn contains(value: &HeaderValue, word: &str) -> bool {
    value.to_str().is_ok_and(|value| value.contains(word))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
