//! Which web pages may use this server through the browsers that show them? Any page can make its reader's browser ask loopback:
//! under a name of its own that it points there (DNS rebinding, told by `Host`), or across origins (told by `Origin`).

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::serve::Peer;
use crate::{Desk, sql};

/// How long a browser may remember that a page is allowed. 2 h: no browser remembers longer.
const PREFLIGHT_SECONDS: &str = "7200";
/// Headers of an answer that an allowed page may read: OFREP's clients need the tag to ask again cheaply.
const EXPOSED_HEADERS: &str = "etag, retry-after";

/// Who may, beside the pages that the server's own address serves.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    /// Names in `Host` under which loopback may be asked, beside `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
    /// Origins, such as `https://app.example.com`, whose pages may send and ask.
    pub allowed_origins: Vec<String>,
}

/// What a path gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Health and numbers, which monitors fetch under any name; and telemetry in by gRPC, whose content type browsers ask about first.
    Open,
    /// Telemetry in. Browsers ask before a page sends it across origins, unless its content type is one of a form's: it is
    /// the answer to that question that holds them off. Pages of this machine may, as only its own programs can serve them.
    Sending,
    /// Flags evaluated, by pages of this machine too.
    Evaluating,
    /// All the rest.
    Asking,
}

fn reach_of(path: &str) -> Reach {
    match path {
        "/healthz" | "/readyz" | "/metrics" => Reach::Open,
        path if ["/opentelemetry.", "/jaeger.api_v2.", "/prometheus/-/"].iter().any(|it| path.starts_with(it)) => {
            Reach::Open
        }
        "/prometheus/api/v1/write" | "/loki/api/v1/push" => Reach::Sending,
        "/api/v1/logs/lines" | "/elasticsearch" | "/_bulk" | "/api/v2/spans" => Reach::Sending,
        path if path.starts_with("/v1/") => Reach::Sending,
        path if path.starts_with("/elasticsearch/") || path.starts_with("/services/collector") => Reach::Sending,
        path if path.starts_with("/ofrep/") => Reach::Evaluating,
        _ => Reach::Asking,
    }
}

impl Pages {
    /// Why a request is refused.
    fn refusal(&self, request: &Request) -> Option<String> {
        let reach = reach_of(request.uri().path());
        if reach == Reach::Open {
            return None;
        }
        let host = host_of(request);
        let by_loopback =
            request.extensions().get::<Peer>().is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
        if reach != Reach::Sending && by_loopback && !host.as_ref().is_none_or(|host| self.host_is_allowed(host)) {
            let name = host.as_ref().map_or("", |host| host.host());
            return Some(format!("the name {name:?} is not one of this server's; name it in allowed_hosts"));
        }
        let origin = origin_of(request.headers())?;
        let own = host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, own)| host.as_str() == own));
        let asked_before = request.method() != Method::OPTIONS && !is_of_a_form(request.headers());
        if own || self.origin_is_allowed(origin, reach) || (reach == Reach::Sending && asked_before) {
            return None;
        }
        Some(format!("pages of {origin:?} may not use this server; name the origin in allowed_origins"))
    }

    fn host_is_allowed(&self, host: &Authority) -> bool {
        let name = host.host();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        // Nobody can point an address or localhost elsewhere.
        address
            || name.eq_ignore_ascii_case("localhost")
            || self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    fn origin_is_allowed(&self, origin: &str, reach: Reach) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
            || (reach != Reach::Asking && is_of_this_machine(origin))
    }
}

fn is_of_this_machine(origin: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.and_then(|authority| authority.parse::<Authority>().ok()).is_some_and(|authority| {
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// Whether browsers send such a body across origins without asking (Fetch standard, "CORS-safelisted request-header").
fn is_of_a_form(headers: &HeaderMap) -> bool {
    let named = headers.get(header::CONTENT_TYPE).map_or("", |named| named.to_str().unwrap_or_default());
    let essence = named.split(';').next().unwrap_or_default().trim();
    let of_forms = ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
    of_forms.iter().any(|form| form.eq_ignore_ascii_case(essence))
}

fn origin_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("?"))
}

/// The name that the request was sent to; `None` where it names none, which browsers never do.
fn host_of(request: &Request) -> Option<Authority> {
    let named = request.headers().get(header::HOST);
    // What can't be read is no name of ours.
    let unreadable = || Authority::from_static("unreadable");
    match named {
        Some(host) => Some(host.to_str().ok().and_then(|host| host.parse().ok()).unwrap_or_else(unreadable)),
        None => request.uri().authority().cloned(),
    }
}

/// Refuses what no page may do, and tells browsers what pages may.
pub async fn check(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    if let Some(why) = desk.pages.refusal(&request) {
        return sql::refused(StatusCode::FORBIDDEN, "forbidden", &why);
    }
    let reach = reach_of(request.uri().path());
    let allowed = origin_of(request.headers()).filter(|origin| desk.pages.origin_is_allowed(origin, reach));
    let Some(origin) = allowed.and_then(|origin| HeaderValue::from_str(origin).ok()) else {
        return next.run(request).await;
    };
    let asks_first = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks_first && request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else {
        next.run(request).await
    };
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}

/// The answer to a browser that asks what an allowed page may send.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = (StatusCode::NO_CONTENT, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}
