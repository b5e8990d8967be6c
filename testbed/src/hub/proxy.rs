//! A proxy in front of the hub that asks for headers, because MLflow itself asks for none.

use hyper::HeaderMap;

use super::answer::Answer;

/// Which headers a request must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Name and value of each.
    pub required: Vec<(String, String)>,
}

impl Proxy {
    /// A page of the proxy when a header is missing, is there twice, or has another value. The hub does not learn of it.
    pub(super) fn refuse(&self, headers: &HeaderMap) -> Option<Answer> {
        let has = |name: &str, value: &str| headers.get_all(name).iter().eq([value]);
        let (name, _) = self.required.iter().find(|(name, value)| !has(name, value))?;
        let is_login = name.eq_ignore_ascii_case("authorization");
        let (status, title) = if is_login { (401, "401 Authorization Required") } else { (403, "403 Forbidden") };
        let page = format!("<html>\r\n<head><title>{title}</title></head>\r\n<body></body>\r\n</html>\r\n");
        Some(Answer::new(status, "text/html", page))
    }
}
