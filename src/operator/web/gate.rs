//! What every request goes through before it is looked at, and every answer before it leaves.
//!
//! The order matters: the name first, so that a foreign page learns nothing, not even which addresses there are.

use std::net::IpAddr;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;
use tower::Service as _;

use super::rules::{BEYOND, Names, Rules};
use super::token::Proof;

/// The longest body that a request may announce, in bytes. It is not read: nothing here takes one.
const BODY_BYTES: u64 = 4 << 10;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// On each answer. No header lets another origin read it, and none sets a cookie.
const HEADERS: [(header::HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(super) struct Gate {
    names: Names,
    router: Router,
}

impl Gate {
    pub(super) fn new(rules: Rules, listen: IpAddr, router: Router) -> Self {
        Self { names: Names::new(rules, listen), router }
    }

    pub(super) async fn answer(&self, request: Request, peer: IpAddr) -> Response {
        let mut response = match self.admit(&request, peer) {
            Ok(()) => self.router.clone().call(request).await.unwrap_or_else(|never| match never {}),
            Err(refusal) => *refusal,
        };
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn admit(&self, request: &Request, peer: IpAddr) -> Result<(), Box<Response>> {
        let reach = host(request).and_then(|host| self.names.reach(host));
        let Some(reach) = reach else {
            let text = "this node is not known under that name; http.hosts lists further ones";
            return Err(refused(StatusCode::MISDIRECTED_REQUEST, text));
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let text =
                "nothing is changed here; `sentinel halt`, `resume` and `settle` do that, on the node's own machine";
            let mut refusal = refused(StatusCode::METHOD_NOT_ALLOWED, text);
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Err(refusal);
        }
        // One whose length is not announced has no upper limit.
        if !request.body().is_end_stream() && request.body().size_hint().upper().is_none_or(|size| size > BODY_BYTES) {
            return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "a question has no body"));
        }
        if reach.needs_token {
            self.require_token(request.headers(), peer)?;
        }
        if !reach.everything && !BEYOND.contains(&request.uri().path()) {
            let text = format!("under this name there is nothing but {}", BEYOND.join(", "));
            return Err(refused(StatusCode::NOT_FOUND, &text));
        }
        Ok(())
    }

    fn require_token(&self, headers: &HeaderMap, peer: IpAddr) -> Result<(), Box<Response>> {
        let given = headers.get(header::AUTHORIZATION).map(|value| given(value.as_bytes()).unwrap_or_default());
        // Without a token nobody is let in.
        let proof = self.names.keeper.as_ref().map_or(Proof::Wrong, |keeper| keeper.judge(peer, given.as_deref()));
        match proof {
            Proof::Right => Ok(()),
            Proof::Wrong => {
                let mut refusal = refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
                // Programs send it as bearer token; a browser asks its user for it, as the password of any name.
                for scheme in ["Bearer", "Basic realm=\"sentinel\", charset=\"UTF-8\""] {
                    refusal.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
                }
                Err(refusal)
            }
            Proof::NotHeard => {
                let mut refusal = refused(StatusCode::TOO_MANY_REQUESTS, "five wrong tokens within a minute");
                refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
                Err(refusal)
            }
        }
    }
}

/// What is not found.
pub(super) async fn not_here() -> Response {
    *refused(StatusCode::NOT_FOUND, "there is no such page")
}

fn refused(code: StatusCode, text: &str) -> Box<Response> {
    Box::new((code, format!("{text}\n")).into_response())
}

/// The one name that is asked for; `None` when there is none, or not the same one everywhere.
fn host(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, further) = (hosts.next()?.to_str().ok()?, hosts.next());
    let is_same = |authority: &axum::http::uri::Authority| authority.as_str() == host;
    (further.is_none() && request.uri().authority().is_none_or(is_same)).then_some(host)
}

/// The token in an `Authorization` header: a bearer's, or the password of anybody.
fn given(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, value) = header.split_at_checked(header.iter().position(|byte| *byte == b' ')?)?;
    let value = value.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(value.to_vec());
    }
    let pair = scheme.eq_ignore_ascii_case(b"basic").then(|| BASE64.decode(value).ok())??;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}
