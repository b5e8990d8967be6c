//! `[pipeline.model]` and `[pipeline.venue]`: which model a pipeline asks, and where its orders go.
//!
//! What a gateway's dialect cannot do is refused by the rules in `account`.

use std::net::IpAddr;
use std::path::PathBuf;

use rust_decimal::Decimal;
use sentinel_actors::domain::decision::TradePolicy;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::risk::RiskLimits;

use super::account::{AccountMode, judge};
use super::reader::{Section, WhenAbsent};
use crate::venues::gateway::dialect::{DIALECTS, Dialect};

/// `[pipeline.model]`.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelConfig {
    /// `kind = "onnx"`: a file, run in the process.
    Onnx { path: PathBuf },
    /// `kind = "mlflow"`: a model server.
    Hub(HubConfig),
}

/// A model server that speaks MLflow's scoring protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct HubConfig {
    /// Whether it is asked by https.
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub payload: HubPayload,
    pub access: HubAccess,
    /// A file with headers for every question, `Name: value` on each line.
    pub headers: Option<PathBuf>,
}

/// How a row is laid out in a request. A property of the model's signature, so it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubPayload {
    /// `dataframe_split` with a column per feature.
    Columns,
    /// `dataframe_records`: an object per row, a key per feature.
    Records,
    /// `inputs`: a list of numbers per row, without names.
    Tensor,
    /// Two columns, each with one cell: `X_tabular` holds the newest row, `X_sequential` the last 60 rows, oldest first.
    TwoBlocks,
    /// The same with the newest row as the only one of a list: for a model that wants both blocks nested.
    TwoBlocksNested,
    /// `inputs` with two named tensors, `X_tabular` and `X_sequential`, which hold the same two blocks of each row.
    TwoTensors,
}

impl HubPayload {
    /// As the configuration names them.
    const NAMED: [(&str, Self); 6] = [
        ("columns", Self::Columns),
        ("records", Self::Records),
        ("tensor", Self::Tensor),
        ("two_blocks", Self::TwoBlocks),
        ("two_blocks_nested", Self::TwoBlocksNested),
        ("two_tensors", Self::TwoTensors),
    ];

    /// What is wrong with it when sequences are computed, or are not. `columns` has always been taken with both.
    fn problem(self, sequence: bool) -> Option<&'static str> {
        match (self, sequence) {
            (Self::TwoBlocks | Self::TwoBlocksNested | Self::TwoTensors, false) => {
                Some("needs features.sequence = true: the second block is the sequence")
            }
            (Self::Records | Self::Tensor, true) => Some(
                "sends no sequence: set features.sequence = false, or choose \"two_blocks\" or \"two_tensors\" when the model \
                 takes a sequence",
            ),
            _ => None,
        }
    }
}

/// How the node authenticates to a model server. Secrets are in files of their own.
#[derive(Debug, Clone, PartialEq)]
pub enum HubAccess {
    Open,
    /// By the token in a file.
    Bearer(PathBuf),
    /// By a name and the password in a file.
    Basic {
        user: String,
        password: PathBuf,
    },
}

/// `[pipeline.venue]`: where orders go when the pipeline is live. A dry run's orders always go to the local paper book.
#[derive(Debug, Clone, PartialEq)]
pub enum VenueConfig {
    /// `kind = "paper"`: nowhere but the local paper book.
    Paper,
    /// `kind = "gateway"`: a trade gateway over ZeroMQ.
    Gateway(GatewayConfig),
}

/// A trade gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayConfig {
    pub host: String,
    pub port: u16,
    pub dialect: &'static Dialect,
    /// The account's name, part of every intent key.
    pub account: String,
    /// The number that every order of this pipeline carries.
    pub magic: u32,
    /// Weaker evidence of an order without a reply leaves it to the operator.
    pub least_evidence: Grade,
    /// It is a paper gateway, so a replay may trade on it.
    pub replay: bool,
    /// Whether positions are derived from confirmed orders: on a netting account without stops and targets. Otherwise the
    /// gateway reports them, or they are untracked.
    pub derives_positions: bool,
    /// What the account does with an opposite order: it opens a position of its own.
    pub is_hedging: bool,
    /// Nothing is opened at a wider one. The section of the limits says it.
    pub max_spread: Option<Decimal>,
}

impl GatewayConfig {
    /// The host in one spelling for comparisons; this machine has one name.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match address(&self.host) {
            _ if is_here(&self.host) => "127.0.0.1".to_owned(),
            Some(address) => address.to_string(),
            None => self.host.trim_end_matches('.').to_ascii_lowercase(),
        }
    }
}

pub(super) fn model(mut s: Section<'_, '_>, sequence: Option<bool>) -> Option<ModelConfig> {
    let is_hub = s.choice("kind", WhenAbsent::Default("onnx"), &[("onnx", false), ("mlflow", true)])?;
    let model = if is_hub { hub(&mut s, sequence) } else { s.file("path").map(|path| ModelConfig::Onnx { path }) };
    s.finish();
    model
}

fn hub(s: &mut Section<'_, '_>, sequence: Option<bool>) -> Option<ModelConfig> {
    use WhenAbsent::{Default, Optional};
    let tls = s.boolean("tls", Default("false"));
    let host = host(s);
    let port = port(s, "5001");
    let payload = s.choice("payload", Default("columns"), &HubPayload::NAMED);
    if let (Some(payload), Some(sequence)) = (payload, sequence)
        && let Some(problem) = payload.problem(sequence)
    {
        s.report("payload", problem);
    }
    let bearer = s.optional_file("bearer_file");
    let user = s.parsed_by("user", Optional, "a name", |text| {
        if text.is_empty() || text.contains(':') { Err(format!("'{text}' is not a name")) } else { Ok(text.to_owned()) }
    });
    let password = s.optional_file("password_file");
    let headers = s.optional_file("headers_file");
    let access = match (bearer, user, password) {
        (None, None, None) => HubAccess::Open,
        (Some(file), None, None) => HubAccess::Bearer(file),
        (None, Some(user), Some(password)) => HubAccess::Basic { user, password },
        _ => {
            s.report("user", "is for bearer_file alone, or user and password_file together, or none of the three");
            return None;
        }
    };
    Some(ModelConfig::Hub(HubConfig { tls: tls?, host: host?, port: port?, payload: payload?, access, headers }))
}

pub(super) fn venue(
    mut s: Section<'_, '_>,
    symbol: Option<&str>,
    policy: Option<&TradePolicy>,
    risk: Option<&RiskLimits>,
    is_replay: bool,
    live: bool,
) -> Option<VenueConfig> {
    let is_gateway = s.choice("kind", WhenAbsent::Default("paper"), &[("paper", false), ("gateway", true)])?;
    let venue = if is_gateway { gateway(&mut s, symbol, policy, risk) } else { Some(VenueConfig::Paper) };
    if live {
        match &venue {
            Some(VenueConfig::Gateway(gateway)) if is_replay && !gateway.replay => {
                let what = "recorded bars would trade on this gateway; write replay = true when it is one on paper";
                s.report("replay", what);
            }
            Some(VenueConfig::Paper) => s.report(
                "kind",
                "'paper' cannot be live; --live needs kind = \"gateway\", or mode = \"dry_run\" in this pipeline",
            ),
            Some(VenueConfig::Gateway(_)) | None => {}
        }
    }
    s.finish();
    venue
}

/// Of ZeroMQ's own encryption.
const NO_CURVE: &str = "is not offered: the ZeroMQ that is built into this program has been built without CURVE; bind the gateway to \
                        127.0.0.1 or to the address of a tunnel, and reach it through SSH or WireGuard: docs/gateway.md#beyond-this-machine";

fn gateway(
    s: &mut Section<'_, '_>,
    symbol: Option<&str>,
    policy: Option<&TradePolicy>,
    risk: Option<&RiskLimits>,
) -> Option<VenueConfig> {
    use WhenAbsent::{Default, Required};
    let host = host(s);
    let port = port(s, "5555");
    s.never("curve", NO_CURVE);
    let dialects = DIALECTS.each_ref().map(|dialect| (dialect.name, dialect));
    let dialect = s.choice("dialect", Default(dialects[0].0), &dialects);
    let account = s.name("account", Required);
    let modes = [("netting", AccountMode::Netting), ("hedging", AccountMode::Hedging)];
    let mode = s.choice("account_mode", Required, &modes);
    let magic = s.count("magic", Required, 0..=2_147_483_647);
    let replay = s.boolean("replay", Default("false"));
    let grades = [Grade::Id, Grade::MagicAndComment, Grade::PositionDelta].map(|grade| (grade.code(), grade));
    let least_evidence = s.choice("least_evidence", Default(Grade::Id.code()), &grades);
    if let (Some(dialect), Some(grade)) = (dialect, least_evidence)
        && grade != Grade::Id
        && !dialect.evidence.contains(&grade)
    {
        let what = format!(
            "{} never finds an order by the evidence '{grade}'; leave the key out: an order without a usable reply is held for you then",
            dialect.name
        );
        s.report("least_evidence", what);
    }
    let (dialect, mode, policy, risk) = (dialect?, mode?, policy?, risk?);
    let judgement = judge(dialect, mode, symbol.unwrap_or_default(), policy, risk);
    for (key, problem) in judgement.problems {
        s.report(key, problem);
    }
    Some(VenueConfig::Gateway(GatewayConfig {
        host: host?,
        port: port?,
        dialect,
        account: account?,
        magic: magic?,
        replay: replay?,
        least_evidence: least_evidence?,
        derives_positions: judgement.derives_positions,
        is_hedging: mode == AccountMode::Hedging,
        max_spread: None,
    }))
}

fn host(s: &mut Section<'_, '_>) -> Option<String> {
    s.parsed_by("host", WhenAbsent::Default("127.0.0.1"), "a host name or an address", |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if (1..=253).contains(&text.len()) && text.chars().all(plain) {
            Ok(text.to_owned())
        } else {
            Err(format!("'{text}' is no host"))
        }
    })
}

fn port(s: &mut Section<'_, '_>, default: &str) -> Option<u16> {
    s.count("port", WhenAbsent::Default(default), 1..=65_535).and_then(|port| u16::try_from(port).ok())
}

/// Whether it is this machine.
pub(super) fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// The address that a host is; one of IPv4 that is written as one of IPv6 is one of IPv4.
fn address(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
