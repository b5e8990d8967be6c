//! The campaign beside MetaTrader 5: node, reference gateway and a fake terminal, real processes that are killed at every named place
//! and at random, while the terminal does everything that a terminal may do. Its own record is the judge.
//!
//! Whatever happens: no order is lost, doubled, invented, wrong or stale, none is left open, and none is held for a person where the
//! terminal's lists could tell.

use std::fmt;
use std::time::Instant;

use fastrand::Rng;

use super::gateway_campaign::kills;
use super::mt5_judge::Findings;
use super::mt5_site::Trading;
use super::mt5_world::{Kills, Outcome, Places, World};
use super::node::setting;

const REVERSES: Trading = Trading { account: "hedging", on_opposite: "reverse", max_open_positions: "1" };
const ADDS: Trading = Trading { account: "hedging", on_opposite: "ignore", max_open_positions: "3" };
const NETTING: Trading = Trading { account: "netting", on_opposite: "reverse", max_open_positions: "1" };

/// Who trades how, and the faults of the terminal.
const SCENARIOS: [(Trading, &str); 6] =
    [(REVERSES, "all"), (NETTING, "all"), (ADDS, "mild"), (ADDS, "all"), (NETTING, "mild"), (REVERSES, "none")];
/// Worlds that run at the same time: they wait most of the time.
const AT_ONCE: usize = 3;
/// Kills of each side in one world, at most.
const KILLS_PER_WORLD: usize = 10;
/// From so many on it does not end before each named place has had its kill.
const EACH_PLACE_FROM: usize = 60;
/// A campaign that needs so many times as many worlds as it should comes nowhere.
const TOO_MANY: usize = 4;

#[derive(Default)]
struct Sum {
    worlds: usize,
    node: Kills,
    gateway: Kills,
    terminal_kills: usize,
    findings: Findings,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.worlds += 1;
        self.node.add(outcome.node);
        self.gateway.add(outcome.gateway);
        self.terminal_kills += outcome.terminal_kills;
        self.findings.add(outcome.findings);
    }

    fn has(&self, least: usize) -> bool {
        self.node.count().min(self.gateway.count()) >= least
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |kills: &Kills| format!("{} ({} at named places)", kills.count(), kills.named.values().sum::<usize>());
        let Self { worlds, node, gateway, terminal_kills, findings } = self;
        let (of_node, of_gateway) = (of(node), of(gateway));
        write!(
            f,
            "{worlds} worlds; kills: node {of_node}, gateway {of_gateway}, of them {} in a call, ",
            gateway.in_a_call
        )?;
        write!(f, "terminal {terminal_kills}; {} hung calls; {findings}", gateway.hung)
    }
}

/// Worlds of all scenarios until `least` of node and gateway were killed.
fn campaign(seed: u64, least: usize, per_world: usize) -> Sum {
    let mut chance = Rng::with_seed(seed);
    let places = [Places::of_node(chance.usize(..100)), Places::of_gateway(chance.usize(..100))];
    let (mut sum, mut scenarios) = (Sum::default(), SCENARIOS.iter().cycle());
    let missing = |sum: &Sum| match least >= EACH_PLACE_FROM {
        true => [places[0].missing(&sum.node), places[1].missing(&sum.gateway)].concat(),
        false => Vec::new(),
    };
    while (!sum.has(least) || !missing(&sum).is_empty()) && sum.findings.faults.is_empty() {
        let most = TOO_MANY * least.div_ceil(per_world).max(AT_ONCE);
        assert!(sum.worlds < most, "nothing died at {:?}, or too little: {sum}", missing(&sum));
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let start = |&(trading, faults): &(Trading, &'static str)| {
                let world = World::new(trading, faults, chance.u64(1..1 << 31), [&places[0], &places[1]]);
                scope.spawn(move || (trading, faults, world.run(per_world)))
            };
            let worlds: Vec<_> = scenarios.by_ref().take(AT_ONCE).map(start).collect();
            worlds.into_iter().map(|world| world.join().unwrap()).collect()
        });
        for (trading, faults, outcome) in outcomes {
            let mut world = Sum::default();
            world.add(outcome.clone());
            println!("{}, {}, faults {faults}: {world}", trading.account, trading.on_opposite);
            sum.add(outcome);
        }
    }
    sum
}

#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn node_gateway_and_terminal_are_killed_and_every_order_is_settled_as_the_broker_has_it() {
    let seed = setting("SENTINEL_SEED").map_or_else(|| fastrand::u64(1..1_000_000), |seed| seed as u64);
    let began = Instant::now();
    let least = kills();
    let least_kills = least.unwrap_or(9);
    let sum = campaign(seed, least_kills, least.map_or(3, |_| KILLS_PER_WORLD));
    println!("seed {seed}, {} s: {sum}", began.elapsed().as_secs());
    assert!(sum.findings.faults.is_empty(), "seed {seed}: {sum}\n{}", sum.findings.faults.join("\n"));
    let proves_much = sum.findings.acked >= least_kills / 2;
    assert!(proves_much, "seed {seed}: too few orders to prove anything: {sum}");
}
