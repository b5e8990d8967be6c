//! Everything that goes wrong on a chain: at one node, or at all of them.

use sentinel_testbed::chain::{Emissions, View};

use super::world::{NODES, PRICE, TOPIC, World};

/// What a node does with its next requests.
const SCRIPTS: [(&str, &str); 27] = [
    ("lost reply", "broadcast_tx_sync:lost-reply@1-2"),
    ("lost answers", "*:lost-reply@1-3"),
    ("reset", "*:reset@1-3"),
    ("hanging broadcast", "broadcast_tx_sync:hang@1"),
    ("hanging", "*:hang@1-2"),
    ("slow", "*:delay=300ms@1-4"),
    ("unavailable", "*:http=503@1-4"),
    ("too many requests", "*:http=429/1@1-2"),
    ("truncated", "*:truncated@1-3"),
    ("cut off", "*:cut-off@1-3"),
    ("page of html", "*:html@1-3"),
    ("closes its connections", "*:go-away@1-3"),
    ("error", "*:error=internal@1-3"),
    ("failing query", "*:query-fails=out of memory@1-3"),
    ("full mempool", "broadcast_tx_sync:full@1-2"),
    ("swallowed transaction", "broadcast_tx_sync:evicted@1-2"),
    ("refused as a wrong sequence", "broadcast_tx_sync:refused=sdk/32@1"),
    ("refused as too cheap", "broadcast_tx_sync:refused=sdk/13@1"),
    ("no simulation", "Simulate:unknown@1-3"),
    ("failing simulation", "Simulate:query-fails=out of memory@1-2"),
    ("old sequence", "AccountInfo:old-sequence=1@1-2"),
    ("lost status", "GetWorkerSubmissionWindowStatus:reset@1-3"),
    ("lost proof", "GetInferencesAtBlock:lost-reply@1-3"),
    ("lost results", "block_results:reset@1-3"),
    ("price jumps while it signs", "Simulate:then-price=30@1"),
    ("price jumps while it sends", "broadcast_tx_sync:then-price=20@1"),
    ("blocks while it sends", "broadcast_tx_sync:then-blocks=3@1"),
];

/// What a node shows until it is in order again.
const VIEWS: [&str; 12] = [
    "no index",
    "index lags",
    "no services",
    "lags",
    "stuck",
    "catching up",
    "of another chain",
    "claims a height",
    "no date",
    "ten minutes ahead",
    "ten minutes behind",
    "in order again",
];

/// What happens to the whole chain.
const OF_CHAIN: [&str; 9] = [
    "price up",
    "price down",
    "emptied mempool",
    "blocks without transactions",
    "weak rival",
    "strong rival",
    "upgrade",
    "restart of the chain",
    "restart",
];

/// Scores of other workers: the one under test has none, which counts as 0.
const WEAK: f64 = -1.0;
pub const STRONG: f64 = 5.0;

/// The name of everything that goes wrong.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    SCRIPTS.iter().map(|(name, _)| *name).chain(VIEWS).chain(OF_CHAIN)
}

/// Something goes wrong, anywhere, or is in order again. Returns what.
pub fn disturb(world: &World, chance: &mut fastrand::Rng) -> &'static str {
    let node = chance.usize(..NODES);
    match chance.u8(..6) {
        0 | 1 => of_chain(world, node, chance),
        _ => disturb_node(world, node, chance),
    }
}

/// Something goes wrong at this node, or is in order again. Returns what.
pub fn disturb_node(world: &World, node: usize, chance: &mut fastrand::Rng) -> &'static str {
    match chance.u8(..12) {
        0..=5 => {
            let (name, rule) = SCRIPTS[chance.usize(..SCRIPTS.len())];
            world.chain.script(node, &[rule]).unwrap();
            name
        }
        6..=9 => {
            let what = VIEWS[chance.usize(..VIEWS.len())];
            let height = world.chain.height();
            world.chain.view(node, |view| show(view, what, height));
            what
        }
        10 => {
            world.chain.restart(node).unwrap();
            "restart"
        }
        _ => {
            world.chain.view(node, |view| *view = View::default());
            "in order again"
        }
    }
}

fn show(view: &mut View, what: &str, height: i64) {
    match what {
        "no index" => view.has_tx_index = false,
        "index lags" => view.index_lag = 5,
        "no services" => view.has_services = false,
        "lags" => view.lag = 3,
        "stuck" => view.stuck_at = Some(height),
        "catching up" => view.catching_up = true,
        "of another chain" => view.chain_id = Some("another-1".to_owned()),
        "claims a height" => view.claimed_height = Some(height + 1_000),
        "no date" => view.date_skew_ms = None,
        "ten minutes ahead" => view.date_skew_ms = Some(600_000),
        "ten minutes behind" => view.date_skew_ms = Some(-600_000),
        _ => *view = View::default(),
    }
}

fn of_chain(world: &World, node: usize, chance: &mut fastrand::Rng) -> &'static str {
    let chain = &world.chain;
    let what = OF_CHAIN[chance.usize(..OF_CHAIN.len())];
    match what {
        "price up" => chain.rules(|rules| rules.gas_price = (rules.gas_price * 3 / 2).min(PRICE * 3)),
        "price down" => chain.rules(|rules| rules.gas_price = PRICE),
        "emptied mempool" => {
            chain.evict();
        }
        "blocks without transactions" => chain.hold(chance.u64(1..20)),
        "weak rival" | "strong rival" => {
            let score = if what == "weak rival" { WEAK } else { STRONG };
            world.windows().last().into_iter().for_each(|nonce| rival(world, chance, *nonce, score));
        }
        "upgrade" => chain.upgrade_at(chain.height() + 3),
        "restart of the chain" => {
            (0..NODES).for_each(|node| chain.down(node));
            (0..NODES).for_each(|node| chain.up(node).unwrap());
        }
        _ => chain.restart(node).unwrap(),
    }
    what
}

/// Another worker wants the only place of a window.
pub fn rival(world: &World, chance: &mut fastrand::Rng, nonce: i64, score: f64) {
    let name = format!("allo1rival{}", chance.u64(..));
    // A window that is over takes none.
    let _ = world.chain.rival(TOPIC, nonce, &name, "0.5", score);
}

/// With which version of its program a chain begins: an upgrade is one of the things that happen.
pub const FIRST_VERSION: Emissions = Emissions::V9;
