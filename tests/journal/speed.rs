//! Figures of the machine at hand.

use std::time::Duration;

use sentinel_actors::ports::elapsed_now;
use tempfile::TempDir;

use crate::support::*;

/// `cargo test --release --test journal -- --ignored --nocapture speed`
#[tokio::test]
#[ignore = "prints figures of this machine"]
async fn speed_of_the_journal() {
    let dir = TempDir::new_in(".").unwrap();
    let mut syncs: Vec<Duration> = Vec::new();
    let mut file = std::fs::File::create(dir.path().join("probe")).unwrap();
    for _ in 0..300 {
        std::io::Write::write_all(&mut file, &[7; 4096]).unwrap();
        let before = elapsed_now();
        file.sync_data().unwrap();
        syncs.push(before.elapsed());
    }
    syncs.sort_unstable();
    println!("fdatasync of 4 KiB: p50 {:?}, p99 {:?}", syncs[150], syncs[297]);
    let node = open(dir.path());
    let mut n = 0;
    for (size, batches) in [(1, 500), (8, 300), (64, 200), (256, 100)] {
        let before = elapsed_now();
        for _ in 0..batches {
            node.write((n..n + size).map(|n| end(full_record(n + 1))).collect()).await;
            n += size;
        }
        let each = before.elapsed() / batches;
        println!(
            "batches of {size}: {each:?} each, {:.0} rows/s",
            f64::from(i32::try_from(size).unwrap()) / each.as_secs_f64()
        );
    }
    let before = elapsed_now();
    let (end, mut slowest) = (n + 525_600, Duration::ZERO);
    for from in (n..end).step_by(1000) {
        let piece = elapsed_now();
        node.write(vec![miss(from, end.min(from + 1000))]).await;
        slowest = slowest.max(piece.elapsed());
    }
    println!("a year of missed minutes: {:?} in pieces of 1000 slots, the slowest {slowest:?}", before.elapsed());
    let before = elapsed_now();
    let recovery = node.recovery().await;
    println!("recovery {:?} in {:?}", recovery.last_slot, before.elapsed());
    drop(node);
    let before = elapsed_now();
    drop(open(dir.path()));
    println!(
        "reopened with quick_check in {:?}; file {} MB",
        before.elapsed(),
        dir.path().join("journal.db").metadata().unwrap().len() >> 20
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().filter(|line| line.starts_with("VmHWM")).collect::<String>());
}
