//! What every HTTP client of the node needs: a call with one deadline and a limit on its answer, a circuit breaker, secrets
//! that no text can carry, and texts of servers made safe for a log.
//!
//! Each adapter has a client of its own for its server and says what a failure means to it. This module knows no protocol
//! above HTTP, decides nothing, and never prints a secret or more than a line of what a server says.

mod access;
mod answer;
mod breaker;
mod client;
mod connects;
mod counted;
mod deadline;
mod error;
mod headers;
mod secret;
mod secret_url;
mod text;

pub use reqwest::Url;

pub use self::access::Access;
pub use self::answer::{Answer, RetryAfter};
pub use self::breaker::Breaker;
pub use self::client::{ClientSettings, DATE_RESOLUTION, DateObserver, Hook, HttpClient};
pub use self::deadline::Deadline;
pub use self::error::{CallError, HttpError};
pub use self::headers::{Headers, HeadersError};
pub use self::secret::Secret;
pub use self::secret_url::{SecretUrl, SecretUrlError};
pub use self::text::redacted;
