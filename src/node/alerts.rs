//! Who is told by this node: the routes of the configuration with their secrets.

use std::sync::Arc;

use sentinel_actors::error_chain::chain;
use tracing::warn;

use crate::config::{AlertsConfig, DeadManConfig, KeyPlace, RouteConfig, RouteKind};
use crate::exit::{self, ExitError};
use crate::http::{Secret, SecretUrl, SecretUrlError};
use crate::operator::alerts::counters::AlertCounters;
use crate::operator::alerts::courier::{AlertSettings, DeadManCheck, Place, Route};
use crate::operator::alerts::service::Alerts;
use crate::operator::live_node::LiveNode;

/// Why a secret of a route cannot be used. No text holds it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("alerts: {of}: {} cannot be read", file.display())]
    File { of: String, file: std::path::PathBuf, source: std::io::Error },
    #[error("alerts: {of} is empty")]
    Empty { of: String },
    #[error("alerts: {of} cannot be used")]
    Address { of: String, source: SecretUrlError },
    #[error("alerts: {of}: there is none")]
    Missing { of: String },
}

impl ExitError for SecretError {
    fn exit_code(&self) -> u8 {
        exit::CONFIG
    }
}

/// The routes and the check, ready to be used; or all that is wrong with their secrets.
///
/// # Errors
/// When a secret cannot be read, or is no address.
pub fn alert_settings(config: &AlertsConfig) -> Result<AlertSettings, Vec<SecretError>> {
    let mut problems = Vec::new();
    let mut settings = AlertSettings::default();
    for of in &config.routes {
        match route(of) {
            Ok(route) => settings.routes.push(route),
            Err(problem) => problems.push(problem),
        }
    }
    match config.dead_man.as_ref().map(dead_man).transpose() {
        Ok(check) => settings.dead_man = check,
        Err(problem) => problems.push(problem),
    }
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

fn route(config: &RouteConfig) -> Result<Route, SecretError> {
    let of = |what: &str| format!("the {what} of route {}", config.name);
    let place = match &config.kind {
        RouteKind::Webhook { url, secret: key } => {
            let of_url = of("address");
            let url = SecretUrl::parse(&secret(url.as_ref(), &of_url)?);
            let url = url.map_err(|source| SecretError::Address { of: of_url, source })?;
            let key = key.as_ref().map(|key| secret(Some(key), &of("secret"))).transpose()?;
            Place::Webhook { url, secret: key }
        }
        RouteKind::Telegram { token, chat, api } => {
            let of_token = of("token");
            let token = secret(token.as_ref(), &of_token)?;
            let url = SecretUrl::around(&format!("{api}/bot"), &token, "/sendMessage");
            let url = url.map_err(|source| SecretError::Address { of: of_token, source })?;
            Place::Telegram { url, chat: chat.clone() }
        }
    };
    Ok(Route { name: config.name.clone(), place })
}

fn dead_man(config: &DeadManConfig) -> Result<DeadManCheck, SecretError> {
    let of = "the address of the dead-man check".to_owned();
    let url = SecretUrl::parse(&secret(config.url.as_ref(), &of)?);
    let url = url.map_err(|source| SecretError::Address { of, source })?;
    Ok(DeadManCheck { url, every: config.every })
}

fn secret(place: Option<&KeyPlace>, of: &str) -> Result<Secret, SecretError> {
    let of = of.to_owned();
    match place {
        None => Err(SecretError::Missing { of }),
        Some(KeyPlace::Environment(secret)) => Ok(secret.clone()),
        Some(KeyPlace::File(file)) => match std::fs::read_to_string(file) {
            Err(source) => Err(SecretError::File { of, file: file.clone(), source }),
            Ok(text) if text.trim().is_empty() => Err(SecretError::Empty { of }),
            Ok(text) => Ok(Secret::new(text.trim().to_owned())),
        },
    }
}

/// For the metrics: every route from the start.
pub(super) fn counters(config: &AlertsConfig) -> Arc<AlertCounters> {
    Arc::new(AlertCounters::new(config.routes.iter().map(|route| route.name.clone())))
}

/// A node that can tell nobody works all the same, and says so.
pub(super) fn start(settings: AlertSettings, node: LiveNode) -> Option<Alerts> {
    Alerts::start(settings, node).unwrap_or_else(|error| {
        warn!(event = "alerts_not_started", error = %chain(&error), "nobody is told what needs a person");
        None
    })
}
