//! A node of the chain that restarts while this process starts others: a test of its own process, because a child that has not become
//! its own program yet holds every socket.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use sentinel_testbed::chain::{Chain, Genesis, Options};

#[test]
fn a_node_comes_back_to_its_address_while_processes_are_started() {
    let chain = Chain::start(Options::by_hand(Genesis::default())).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
        }
        let restarted: Vec<_> = (0..400).map(|_| chain.restart(0)).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(restarted.iter().all(Result::is_ok), "{restarted:?}");
    });
}
