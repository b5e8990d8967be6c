//! A process that is killed while it writes leaves whole fetches, and says no more than it has.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use sentinel::sources::cache::{News, Revision};
use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::time::UtcMs;

use super::{MINUTE, bar, file, open, series};

/// The child's directory.
const CHILD: &str = "SENTINEL_TEST_BAR_CACHE";
/// Bars of a fetch.
const BATCH: i64 = 500;
const KILLS: usize = 12;

/// Fetches until it is killed: each time new bars, and a revision of all of the last time.
fn child(dir: &Path) {
    let cache = open(&dir.join("bars.db"));
    let series = series(&cache, "A");
    let stored = cache.load(series, UtcMs(0)).unwrap();
    let done = stored.covered.map_or(0, |(_, last)| last.0 / MINUTE / BATCH + 1);
    for batch in done.. {
        let new = (batch * BATCH..(batch + 1) * BATCH).map(|minute| bar(minute, 1.0));
        let again = ((batch - 1).max(0) * BATCH..batch * BATCH).map(|minute| bar(minute, 2.0));
        let rows: Vec<RawBar> = again.chain(new).collect();
        let revision =
            |is: &RawBar| Revision { time: is.time, was: bar(is.time.0 / MINUTE, 1.0), is: *is, seen: UtcMs(batch) };
        let revisions: Vec<Revision> = rows.iter().filter(|row| row.close == Some(2.0)).take(1).map(revision).collect();
        let covered = (UtcMs(0), UtcMs(((batch + 1) * BATCH - 1) * MINUTE));
        let news = News { rows: &rows, revisions: &revisions, covered, at: covered.1, asked_before: None };
        cache.keep(series, &news).unwrap();
        println!("kept {batch}");
    }
}

#[test]
fn a_kill_leaves_each_fetch_whole_or_not_at_all() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut kept = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::a_kill_leaves_each_fetch_whole_or_not_at_all", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // A kill follows a different number of fetches each time, so it falls into different parts of the next one.
        let confirmed = lines.filter(|line| line.starts_with("kept ")).take(1 + kill % 4).last().unwrap();
        for _ in 0..kill * 997 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let confirmed: i64 = confirmed.trim_start_matches("kept ").parse().unwrap();

        let cache = open(&file(&dir));
        let stored = cache.load(series(&cache, "A"), UtcMs(0)).unwrap();
        let batches = (stored.covered.unwrap().1.0 / MINUTE + 1) / BATCH;
        assert!(batches > confirmed, "what was confirmed is there");
        assert_eq!(stored.bars.len() as i64, batches * BATCH, "as many bars as it says");
        let is_right =
            |row: &RawBar| row.close == Some(if row.time.0 / MINUTE / BATCH < batches - 1 { 2.0 } else { 1.0 });
        assert!(stored.bars.iter().all(is_right), "every fetch was kept whole");
        assert_eq!(cache.facts().unwrap()[0].revisions.len() as i64, batches - 1);
        kept = batches;
    }
    assert!(kept >= KILLS as i64);
}
