//! On whose behalf is this request? W3C Baggage that the user's app sends and each service passes on and tells on its span.

use causeway_kit as kit;
use http::{HeaderMap, Method};

use super::Common;
use crate::wire::Role;

/// The header.
const BAGGAGE: &str = "baggage";
/// Longest baggage that is passed on; four short values.
const BAGGAGE_BYTES_MAX: usize = 512;

/// A request to be sent, or why it can't be.
type Asked = Result<kit::RequestBuilder, kit::Failure>;

/// Who asks.
pub(super) struct Visitor {
    pub(super) user: String,
    pub(super) region: String,
    baggage: String,
}

impl Visitor {
    /// Reads the headers of a request and tells on its span who asks.
    pub(super) fn of(headers: &HeaderMap, common: &Common) -> Self {
        let baggage = headers.get(BAGGAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let baggage = if baggage.len() <= BAGGAGE_BYTES_MAX { baggage.to_owned() } else { String::new() };
        let mut visitor = Self { user: String::new(), region: String::new(), baggage: String::new() };
        for (key, value) in baggage.split(',').filter_map(|pair| pair.split_once('=')) {
            for name in ["app_key", "region_key", "tenant_key", "user_key"] {
                let attribute = common.names.of(name);
                if key == attribute {
                    kit::set_attribute(attribute, value.to_owned());
                    match name {
                        "region_key" => value.clone_into(&mut visitor.region),
                        "user_key" => value.clone_into(&mut visitor.user),
                        _ => {}
                    }
                }
            }
        }
        visitor.baggage = baggage;
        visitor
    }

    /// A request to another service on the same behalf.
    pub(super) fn post(&self, common: &Common, role: Role, route: &str, id: &str) -> Asked {
        self.request(Method::POST, common, role, route, id)
    }

    /// The same with GET.
    pub(super) fn get(&self, common: &Common, role: Role, route: &str, id: &str) -> Asked {
        self.request(Method::GET, common, role, route, id)
    }

    fn request(&self, method: Method, common: &Common, role: Role, route: &str, id: &str) -> Asked {
        let client = common.peers.of(role, &self.region)?;
        let request = client.request(method, common.names.path(route, id)).route(common.names.of(route));
        Ok(request.header(BAGGAGE, &self.baggage))
    }
}
