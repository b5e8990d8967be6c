//! A node that is killed again and again while it fetches, writes its cache and sees bars revised: no slot sees half a bar, and each
//! sees what was there.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sentinel::journal::JournalReader;
use sentinel_testbed::vendors::Market;

use super::bad_week::{native, truth};
use super::support::*;

/// The child's directory.
const CHILD: &str = "SENTINEL_TEST_LIVE_KILLED";
const BEGIN: &str = "2017-06-12T00:00:00Z";
const SLOTS: i64 = 26 * 24;

/// Every fourth hour is changed twenty minutes after its close.
fn market() -> Market {
    let hour = |number: i64| at(BEGIN) + number * HOUR;
    let revised = |number: i64| (hour(number), hour(number + 1), hour(number + 1) + 20 * MINUTE);
    Market {
        weekend: Some(SUMMER_WEEKEND),
        revisions: (-40..SLOTS).step_by(4).map(revised).collect(),
        ..Market::plain("EURUSD.FOREX", 1.1, 5)
    }
}

/// Runs the node from where its journal ends, with a vendor of its own.
fn child(dir: &Path) {
    let reached = newest_slot(dir);
    let clock = TestClock::new(reached.unwrap_or(at(BEGIN) - 30 * MINUTE));
    let vendor = vendor(market(), &clock, no_fault);
    let keys = "made_from = \"native\"\nend = \"2017-07-08T00:00:00Z\"";
    let text = order_pipeline("eurusd", &vendor.base_url(), keys, "kind = \"eodhd\"", &demo("model.onnx"));
    // A crash loop is what this is; a real one waits before each start.
    let _ = std::fs::remove_file(dir.join("state/boots"));
    run(&config(&text, dir), &clock);
}

/// A node that is killed while it begins its journal leaves a file that nobody can read before the next node has mended it.
fn newest_slot(dir: &Path) -> Option<i64> {
    let journal = JournalReader::open(&dir.join("state")).ok()?;
    journal.last_slot("eurusd").unwrap().map(|slot| slot.0)
}

#[test]
fn a_node_that_is_killed_while_it_fetches_decides_on_whole_bars_only() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut kills, said) = (0, dir.path().join("said.txt"));
    for round in 0_u64..400 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::a_node_that_is_killed_while_it_fetches_decides_on_whole_bars_only"])
            .env(CHILD, dir.path())
            .stdout(File::create(&said).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Longer from round to round, so that a slow machine gets to the end too.
        let patience = Duration::from_millis(50 + (round * 37) % 90 + round * 2);
        let ended = wait(&mut child, patience, &said);
        if ended {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let rows = rows(dir.path(), "eurusd");
    assert_eq!(rows.len() as i64, SLOTS, "after {kills} kills");
    assert!(kills >= 4, "only {kills} kills");
    println!("{kills} kills in {} slots", rows.len());
    let market = market();
    for (row, hour) in rows.iter().zip(0..) {
        assert_eq!(row.slot, at(BEGIN) + hour * HOUR + 2000);
        let (is_there, digest) = truth(|open, now| native(&market, open, now), row.slot);
        if !is_there {
            assert_eq!(row.decided, None, "{row:#?}");
            continue;
        }
        assert_eq!(row.decided, Some(row.slot - 2000 - HOUR), "{row:#?}");
        assert_eq!(row.bars_digest.as_deref(), Some(digest.as_str()), "{row:#?}");
    }
}

/// Whether the process ends by itself within `patience`.
fn wait(child: &mut std::process::Child, patience: Duration, said: &Path) -> bool {
    let began = sentinel_actors::ports::elapsed_now();
    while began.elapsed() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}: {}", std::fs::read_to_string(said).unwrap());
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
