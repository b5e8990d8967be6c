//! CometBFT's JSON-RPC (version 0.38) as far as a worker needs it: what a method answers, without any socket.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE, HEXUPPER};
use serde_json::{Value, json};

use super::event::Event;
use super::fault::Fault;
use super::query::{self, Query, find, time_text};
use super::refusal::{Refusal, Status};
use super::truth::{Broadcast, Included, Reception};
use super::world::{Block, World};

/// A call as it came, by POST or by a query string.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Value,
    /// Bytes in a query string are hex behind `0x`, and texts are in quotes.
    pub(super) is_uri: bool,
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcError {
    code: i32,
    message: &'static str,
    data: String,
}

pub(super) type Answer = Result<Value, RpcError>;

impl RpcError {
    pub(super) fn internal(data: impl Into<String>) -> Self {
        Self { code: -32_603, message: "Internal error", data: data.into() }
    }

    fn params(data: impl Into<String>) -> Self {
        Self { code: -32_602, message: "Invalid params", data: data.into() }
    }

    fn method() -> Self {
        Self { code: -32_601, message: "Method not found", data: String::new() }
    }

    pub(super) fn parse(data: impl Into<String>) -> Self {
        Self { code: -32_700, message: "Parse error. Invalid JSON", data: data.into() }
    }
}

impl Call {
    /// A call of a POST.
    ///
    /// # Errors
    /// When the body is no JSON, or no call.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, RpcError> {
        let call: Value = serde_json::from_slice(body).map_err(|error| RpcError::parse(error.to_string()))?;
        let method = call["method"].as_str().ok_or_else(RpcError::method)?;
        Ok(Self { id: call["id"].clone(), method: method.to_owned(), params: call["params"].clone(), is_uri: false })
    }

    /// The names by which a script may mean it.
    pub(super) fn names(&self) -> Vec<String> {
        let path = self.text("path").unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        if last.is_empty() { vec![self.method.clone()] } else { vec![self.method.clone(), last] }
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = self.params.get(name)?.as_str()?;
        Some(if self.is_uri { text.trim_matches('"').to_owned() } else { text.to_owned() })
    }

    /// Bytes in base64, or in hex where the parameter is one of hex.
    fn bytes(&self, name: &str, is_hex: bool) -> Result<Vec<u8>, RpcError> {
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        let hex = |text: &str| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let bytes = match text.strip_prefix("0x") {
            Some(digits) => hex(digits),
            None if is_hex => hex(&text).or_else(|| BASE64.decode(text.as_bytes()).ok()),
            None => BASE64.decode(text.as_bytes()).ok(),
        };
        bytes.ok_or_else(|| RpcError::params(format!("error converting the parameter {name} to bytes")))
    }

    /// A height, as a text or a number; 0 is the newest one.
    fn height(&self) -> Result<Option<i64>, RpcError> {
        let height = match self.params.get("height") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(_) => self.text("height").and_then(|text| text.parse().ok()),
        };
        let height = height.ok_or_else(|| RpcError::params("error converting the parameter height"))?;
        Ok((height > 0).then_some(height))
    }
}

/// Answers a call to a node that meets this fault.
pub(super) fn answer(world: &mut World, node: usize, call: &Call, fault: Option<&Fault>) -> Answer {
    match fault {
        Some(Fault::Error(text)) => return Err(RpcError::internal(text.clone())),
        Some(Fault::Unknown) if call.method != "abci_query" => return Err(RpcError::method()),
        _ => {}
    }
    match call.method.as_str() {
        "health" => Ok(json!({})),
        "status" => Ok(status(world, node)),
        "abci_info" => Ok(abci_info(world, node)),
        "abci_query" => abci_query(world, node, call, fault),
        "broadcast_tx_sync" | "broadcast_tx_async" => broadcast(world, node, call, fault),
        "tx" => tx(world, node, call),
        "header" | "block" | "block_results" => of_block(world, node, call),
        _ => Err(RpcError::method()),
    }
}

fn status(world: &World, node: usize) -> Value {
    let view = &world.nodes[node].view;
    let height = world.height_of(node);
    let chain_id = view.chain_id.clone().unwrap_or_else(|| world.state.chain_id.clone());
    let (hash, time_ms) = world
        .blocks
        .get(&height)
        .map_or((String::new(), 0), |block| (HEXUPPER.encode(&block.digest(&chain_id)), block.time_ms));
    json!({
        "node_info": {
            "network": chain_id,
            "version": "0.38.17",
            "moniker": format!("node{node}"),
            "other": { "tx_index": if view.has_tx_index { "on" } else { "off" }, "rpc_address": "tcp://0.0.0.0:26657" },
        },
        "sync_info": {
            "latest_block_hash": hash,
            "latest_app_hash": hash,
            "latest_block_height": view.claimed_height.unwrap_or(height).to_string(),
            "latest_block_time": time_text(time_ms),
            "earliest_block_height": world.first_height.to_string(),
            "catching_up": view.catching_up,
        },
        "validator_info": { "address": "", "voting_power": "0" },
    })
}

fn abci_info(world: &World, node: usize) -> Value {
    let height = world.height_of(node).to_string();
    let version = world.state_of(node, None).map_or("", |state| state.emissions.program());
    json!({ "response": { "data": "allorad", "version": version, "last_block_height": height } })
}

fn abci_query(world: &mut World, node: usize, call: &Call, fault: Option<&Fault>) -> Answer {
    let path = call.text("path").unwrap_or_default();
    let data = call.bytes("data", true)?;
    let height = call.height()?;
    let old_sequence = match fault {
        Some(Fault::OldSequence(by)) => *by,
        _ => 0,
    };
    let asked = Query { node, path: &path, data: &data, height, old_sequence };
    let answered = match fault {
        Some(Fault::Unknown) => Err(query::unknown()),
        Some(Fault::QueryFails(text)) => Err(Status::new(Status::UNKNOWN, text.clone())),
        _ => query::answer(world, &asked),
    };
    let at = height.unwrap_or_else(|| world.height_of(node)).to_string();
    let response = |refusal: Option<Refusal>, value: Value, at: &str| {
        json!({ "response": {
            "code": refusal.as_ref().map_or(0, |refusal| refusal.code),
            "log": refusal.as_ref().map_or("", |refusal| &refusal.log),
            "info": "",
            "index": "0",
            "key": null,
            "value": value,
            "proofOps": null,
            "height": at,
            "codespace": refusal.as_ref().map_or("", |refusal| &refusal.codespace),
        }})
    };
    Ok(match answered {
        Ok(value) if value.is_empty() => response(None, Value::Null, &at),
        Ok(value) => response(None, json!(BASE64.encode(&value)), &at),
        Err(status) => response(Some(status.of_abci()), Value::Null, "0"),
    })
}

/// What a fault makes of a broadcast before the node looks at it.
pub(super) fn forced(world: &World, fault: Option<&Fault>) -> Option<Reception> {
    match fault {
        Some(Fault::Refused(space, code)) if space == "sdk" => Some(Reception::Refused(Refusal::sdk(*code, "forced"))),
        Some(Fault::Refused(space, code)) => Some(Reception::Refused(Refusal::new(space, *code, "forced"))),
        Some(Fault::Full) => Some(Reception::NotAsked(world.full())),
        _ => None,
    }
}

/// Hands bytes to the node's mempool.
pub(super) fn receive(world: &mut World, node: usize, bytes: &[u8], fault: Option<&Fault>) -> Broadcast {
    let forced = forced(world, fault);
    let broadcast = world.broadcast(node, bytes, forced);
    if fault == Some(&Fault::Evicted) && broadcast.reception == Reception::Accepted {
        world.evict_one(&broadcast.hash, "evicted");
    }
    broadcast
}

fn broadcast(world: &mut World, node: usize, call: &Call, fault: Option<&Fault>) -> Answer {
    let bytes = call.bytes("tx", false)?;
    let Broadcast { hash, reception, .. } = receive(world, node, &bytes, fault);
    let result = |code: u32, log: &str, codespace: &str| json!({ "code": code, "data": "", "log": log, "codespace": codespace, "hash": hash });
    match reception {
        Reception::NotAsked(refusal) => Err(RpcError::internal(refusal.log)),
        _ if call.method == "broadcast_tx_async" => Ok(result(0, "", "")),
        Reception::Accepted => Ok(result(0, "", "")),
        Reception::Refused(refusal) => Ok(result(refusal.code, &refusal.log, &refusal.codespace)),
    }
}

fn tx(world: &mut World, node: usize, call: &Call) -> Answer {
    let hash = HEXUPPER.encode(&call.bytes("hash", false)?);
    if !world.nodes[node].view.has_tx_index {
        return Err(RpcError::internal("transaction indexing is disabled"));
    }
    let Some(included) = find(world, node, &hash) else {
        return Err(RpcError::internal(format!("tx ({hash}) not found")));
    };
    Ok(json!({
        "hash": hash,
        "height": included.height.to_string(),
        "index": included.index,
        "tx_result": tx_result(&included),
        "tx": BASE64.encode(&included.bytes),
    }))
}

fn tx_result(included: &Included) -> Value {
    let refusal = included.refusal.as_ref();
    json!({
        "code": refusal.map_or(0, |refusal| refusal.code),
        "data": null,
        "log": refusal.map_or("", |refusal| &refusal.log),
        "info": "",
        "gas_wanted": included.gas_wanted.to_string(),
        "gas_used": included.gas_used.to_string(),
        "events": included.events.iter().map(Event::json).collect::<Vec<_>>(),
        "codespace": refusal.map_or("", |refusal| &refusal.codespace),
    })
}

fn of_block(world: &World, node: usize, call: &Call) -> Answer {
    let newest = world.height_of(node);
    let height = call.height()?.unwrap_or(newest);
    if height > newest {
        let text = format!("height {height} must be less than or equal to the current blockchain height {newest}");
        return Err(RpcError::internal(text));
    }
    let Some(block) = world.blocks.get(&height) else {
        let text = format!("height {height} is not available, lowest height is {}", world.first_height);
        return Err(RpcError::internal(text));
    };
    let transactions = block.transactions.iter().filter_map(|index| world.included.get(*index));
    let chain_id = world.nodes[node].view.chain_id.as_ref().unwrap_or(&world.state.chain_id);
    Ok(match call.method.as_str() {
        "header" => json!({ "header": header(block, chain_id) }),
        "block" => json!({
            "block_id": { "hash": HEXUPPER.encode(&block.digest(chain_id)) },
            "block": {
                "header": header(block, chain_id),
                "data": { "txs": transactions.map(|tx| BASE64.encode(&tx.bytes)).collect::<Vec<_>>() },
                "evidence": { "evidence": [] },
                "last_commit": null,
            },
        }),
        _ => {
            let results: Vec<Value> = transactions.map(tx_result).collect();
            json!({
                "height": height.to_string(),
                "txs_results": if results.is_empty() { Value::Null } else { json!(results) },
                "finalize_block_events": block.events.iter().map(Event::json).collect::<Vec<_>>(),
                "validator_updates": null,
                "consensus_param_updates": null,
                "app_hash": "",
            })
        }
    })
}

fn header(block: &Block, chain_id: &str) -> Value {
    let hash = HEXUPPER.encode(&block.digest(chain_id));
    json!({
        "version": { "block": "11" },
        "chain_id": chain_id,
        "height": block.height.to_string(),
        "time": time_text(block.time_ms),
        "app_hash": hash,
    })
}

/// The body of an answer.
pub(super) fn body(id: &Value, answer: &Answer) -> Vec<u8> {
    let id = if id.is_null() { json!(-1) } else { id.clone() };
    let body = match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(RpcError { code, message, data }) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message, "data": data } })
        }
    };
    body.to_string().into_bytes()
}

/// The status of a gRPC call that meets a fault of its own.
pub(super) fn grpc_fault(fault: Option<&Fault>) -> Option<Status> {
    match fault {
        Some(Fault::Error(text) | Fault::QueryFails(text)) => Some(Status::new(Status::UNKNOWN, text.clone())),
        Some(Fault::Unknown) => Some(query::unknown()),
        Some(Fault::Http(status, _)) => Some(Status::new(Status::UNAVAILABLE, format!("HTTP status {status}"))),
        _ => None,
    }
}
