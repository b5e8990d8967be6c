//! Queries by their gRPC path: the same answers for `abci_query` and for gRPC. Those of the emissions module are next door.

use std::sync::Arc;

use prost::Message;

use super::crypto::is_address;
use super::emissions_query;
use super::proto::{
    AccountInfoReply, Any, AnyReply, BaseAccount, Block, Coin, CoinReply, FeemarketParams, FeemarketParamsReply,
    FeemarketState, FeemarketStateReply, GasInfo, GetTxReply, Header, LatestBlockReply, NodeInfo, NodeInfoReply,
    PublicKey, SimulateReply, SimulateRequest, Text, Timestamp, Truth, TwoTexts, Tx as TxMessage, TxRaw, TxResponse,
    VersionInfo,
};
use super::refusal::Status;
use super::state::{Account, State};
use super::truth::Included;
use super::world::World;

/// A query as it came.
pub(super) struct Query<'a> {
    pub(super) node: usize,
    pub(super) path: &'a str,
    pub(super) data: &'a [u8],
    /// `None` for the newest one.
    pub(super) height: Option<i64>,
    /// By how much the answered sequence is too small.
    pub(super) old_sequence: u64,
}

pub(super) fn read<M: Message + Default>(data: &[u8]) -> Result<M, Status> {
    M::decode(data).map_err(|error| Status::new(Status::INVALID_ARGUMENT, error.to_string()))
}

pub(super) fn unknown() -> Status {
    Status::new(Status::UNIMPLEMENTED, "unknown query path")
}

/// Answers a query with the bytes of its reply.
///
/// # Errors
/// With a gRPC status.
pub(super) fn answer(world: &mut World, query: &Query<'_>) -> Result<Vec<u8>, Status> {
    let Some(state) = world.state_of(query.node, query.height) else {
        let height = query.height.unwrap_or_default();
        let text = format!("failed to load state at height {height}; version does not exist");
        return Err(Status::new(Status::INVALID_ARGUMENT, text));
    };
    let (service, method) = query.path.trim_start_matches('/').split_once('/').ok_or_else(unknown)?;
    let is_node_service = matches!(service, "cosmos.tx.v1beta1.Service" | "cosmos.base.tendermint.v1beta1.Service");
    if is_node_service && !world.nodes[query.node].view.has_services {
        return Err(unknown());
    }
    match (service, method) {
        ("cosmos.auth.v1beta1.Query", "AccountInfo") => account_info(&state, query),
        ("cosmos.auth.v1beta1.Query", "Account") => any_account(&state, query),
        ("cosmos.bank.v1beta1.Query", "Balance") => balance(&state, query.data),
        ("cosmos.base.tendermint.v1beta1.Service", "GetNodeInfo") => Ok(node_info(&state)),
        ("cosmos.base.tendermint.v1beta1.Service", "GetLatestBlock") => Ok(latest_block(&state)),
        ("cosmos.base.tendermint.v1beta1.Service", "GetSyncing") => {
            Ok(Truth { is_true: world.nodes[query.node].view.catching_up }.encode_to_vec())
        }
        ("cosmos.tx.v1beta1.Service", "Simulate") => simulate(world, query),
        ("cosmos.tx.v1beta1.Service", "GetTx") => get_tx(world, query),
        ("feemarket.feemarket.v1.Query", _) => feemarket(&state, method, query.data),
        _ => {
            let own = format!("emissions.v{}.QueryService", state.emissions.number());
            if service == own { emissions_query::answer(&state, method, query.data) } else { Err(unknown()) }
        }
    }
}

fn account<'a>(state: &'a Arc<State>, address: &str) -> Result<&'a Account, Status> {
    if !is_address(address) {
        return Err(Status::new(Status::INVALID_ARGUMENT, format!("invalid address: {address}")));
    }
    state.accounts.get(address).ok_or_else(|| Status::not_found(format!("account {address} not found")))
}

fn base_account(state: &Arc<State>, query: &Query<'_>) -> Result<BaseAccount, Status> {
    let Text { text: address } = read(query.data)?;
    let account = account(state, &address)?;
    let public_key = account.public_key.as_ref().map(|key| Any {
        type_url: "/cosmos.crypto.secp256k1.PubKey".to_owned(),
        value: PublicKey { key: key.clone() }.encode_to_vec(),
    });
    let sequence = account.sequence.saturating_sub(query.old_sequence);
    Ok(BaseAccount { address, public_key, account_number: account.number, sequence })
}

fn account_info(state: &Arc<State>, query: &Query<'_>) -> Result<Vec<u8>, Status> {
    Ok(AccountInfoReply { info: Some(base_account(state, query)?) }.encode_to_vec())
}

fn any_account(state: &Arc<State>, query: &Query<'_>) -> Result<Vec<u8>, Status> {
    let value = base_account(state, query)?.encode_to_vec();
    let account = Some(Any { type_url: "/cosmos.auth.v1beta1.BaseAccount".to_owned(), value });
    Ok(AnyReply { account }.encode_to_vec())
}

fn balance(state: &State, data: &[u8]) -> Result<Vec<u8>, Status> {
    let TwoTexts { first: address, second: denom } = read(data)?;
    if !is_address(&address) {
        return Err(Status::new(Status::INVALID_ARGUMENT, format!("invalid address: {address}")));
    }
    let balance = state.accounts.get(&address).filter(|_| denom == "uallo").map_or(0, |account| account.balance);
    Ok(CoinReply { coin: Some(Coin { denom, amount: balance.to_string() }) }.encode_to_vec())
}

fn node_info(state: &State) -> Vec<u8> {
    let version = VersionInfo {
        name: "allora".to_owned(),
        app_name: "allorad".to_owned(),
        version: state.emissions.program().to_owned(),
    };
    NodeInfoReply {
        default_node_info: Some(NodeInfo { network: state.chain_id.clone() }),
        application_version: Some(version),
    }
    .encode_to_vec()
}

fn latest_block(state: &State) -> Vec<u8> {
    let nanos = i32::try_from(state.time_ms.rem_euclid(1_000) * 1_000_000).unwrap_or_default();
    let time = Some(Timestamp { seconds: state.time_ms.div_euclid(1_000), nanos });
    let header = Header { chain_id: state.chain_id.clone(), height: state.height, time };
    LatestBlockReply { sdk_block: Some(Block { header: Some(header) }) }.encode_to_vec()
}

fn simulate(world: &World, query: &Query<'_>) -> Result<Vec<u8>, Status> {
    let SimulateRequest { tx_bytes } = read(query.data)?;
    if tx_bytes.is_empty() {
        return Err(Status::new(Status::INVALID_ARGUMENT, "empty txBytes is not allowed"));
    }
    match world.simulate(query.node, &tx_bytes) {
        Ok((gas_wanted, gas_used)) => {
            Ok(SimulateReply { gas_info: Some(GasInfo { gas_wanted, gas_used }) }.encode_to_vec())
        }
        Err((refusal, used)) => Err(Status::new(Status::UNKNOWN, format!("{} with gas used: '{used}'", refusal.log))),
    }
}

fn get_tx(world: &mut World, query: &Query<'_>) -> Result<Vec<u8>, Status> {
    let Text { text: hash } = read(query.data)?;
    if !world.nodes[query.node].view.has_tx_index {
        return Err(Status::new(Status::UNKNOWN, "transaction indexing is disabled"));
    }
    let Some(included) = find(world, query.node, &hash.to_ascii_uppercase()) else {
        return Err(Status::not_found(format!("tx not found: {hash}")));
    };
    let raw = TxRaw::decode(&included.bytes[..]).unwrap_or_default();
    let tx = TxMessage {
        body: Message::decode(&raw.body_bytes[..]).ok(),
        auth_info: Message::decode(&raw.auth_info_bytes[..]).ok(),
        signatures: raw.signatures,
    };
    Ok(GetTxReply { tx: Some(tx), tx_response: Some(response(&included)) }.encode_to_vec())
}

/// A transaction by its hash, when the node has its block and its index is far enough; each time it is not, the index comes
/// nearer.
pub(super) fn find(world: &mut World, node: usize, hash: &str) -> Option<Included> {
    let height = world.height_of(node);
    let included = world.included.iter().rev().find(|tx| tx.hash == hash && tx.height <= height)?.clone();
    let node = &mut world.nodes[node];
    let asked = node.asked.entry(hash.to_owned()).or_default();
    *asked += 1;
    (*asked > node.view.index_lag).then_some(included)
}

pub(super) fn response(included: &Included) -> TxResponse {
    let refusal = included.refusal.clone();
    let signed = |gas: u64| i64::try_from(gas).unwrap_or(i64::MAX);
    TxResponse {
        height: included.height,
        txhash: included.hash.clone(),
        codespace: refusal.as_ref().map(|refusal| refusal.codespace.clone()).unwrap_or_default(),
        code: refusal.as_ref().map_or(0, |refusal| refusal.code),
        raw_log: refusal.map(|refusal| refusal.log).unwrap_or_default(),
        gas_wanted: signed(included.gas_wanted),
        gas_used: signed(included.gas_used),
        timestamp: time_text(included.time_ms),
        events: included.events.iter().map(super::event::Event::proto).collect(),
    }
}

/// RFC 3339.
pub(super) fn time_text(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).unwrap_or_default().to_string()
}

fn feemarket(state: &State, method: &str, data: &[u8]) -> Result<Vec<u8>, Status> {
    let price = state.rules.gas_price.to_string();
    match method {
        "GasPrice" => {
            let Text { text: denom } = read(data)?;
            if denom != "uallo" {
                return Err(Status::new(Status::UNKNOWN, format!("error resolving denom {denom}")));
            }
            Ok(CoinReply { coin: Some(Coin { denom, amount: price }) }.encode_to_vec())
        }
        "Params" => {
            let params = FeemarketParams { min_base_gas_price: price, fee_denom: "uallo".to_owned(), enabled: true };
            Ok(FeemarketParamsReply { params: Some(params) }.encode_to_vec())
        }
        "State" => Ok(FeemarketStateReply { state: Some(FeemarketState { base_gas_price: price }) }.encode_to_vec()),
        _ => Err(unknown()),
    }
}
