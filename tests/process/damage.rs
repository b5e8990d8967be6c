//! A journal with one changed byte, or cut off: the real node ends with 74 or 78, or leaves exactly what it would have left.
//!
//! `SENTINEL_DAMAGED_BYTES` says how many random bytes are tried, and `SENTINEL_SEED` which.

use std::fs;
use std::path::Path;

use super::config::Site;
use super::facts::Facts;
use super::node::{run, setting};

/// How many bytes a plain `cargo test` tries.
const TRIED: usize = 6;
const SEED: u64 = 7;
/// Decisions before the damage, and when it goes on.
const BEFORE: usize = 250;
const AFTER: usize = 400;

/// The state directory of a node that has ended, and what it leaves when it goes on.
struct Whole {
    site: Site,
    orders_before: i64,
    after: Facts,
}

fn whole() -> Whole {
    let site = Site::new().with_decisions(BEFORE);
    run(site.path(), site.args()).expect(0);
    let orders_before = Facts::orders_in_book(&site.state());
    let copy = going_on(&site);
    run(copy.path(), copy.args()).expect(0);
    let after = Facts::read(&copy.state());
    assert!(Facts::orders_in_book(&copy.state()) > orders_before && orders_before > 0, "no orders, no proof");
    Whole { site, orders_before, after }
}

/// The same state with more bars to come.
fn going_on(from: &Site) -> Site {
    let site = Site::new().with_decisions(AFTER);
    fs::create_dir(site.state()).unwrap();
    for file in fs::read_dir(from.state()).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), site.state().join(file.file_name())).unwrap();
        }
    }
    site
}

/// Goes on with a damaged journal and says how that ended; a lie is an error.
fn trial(whole: &Whole, damage: impl Fn(&Path)) -> Result<i32, String> {
    let site = going_on(&whole.site);
    damage(&site.state().join("journal.db"));
    let ended = run(site.path(), site.args());
    let code = ended.status.code().unwrap_or(-1);
    match code {
        74 | 78 if ended.err.contains("panicked at") || !ended.err.contains("what to do") => Err(ended.err),
        74 | 78 => {
            let orders = Facts::orders_in_book(&site.state());
            if orders == whole.orders_before { Ok(code) } else { Err(format!("{orders} orders, ended with {code}")) }
        }
        0 if Facts::read(&site.state()) == whole.after => Ok(code),
        0 => Err(format!("it ended with 0 and left something else: {}", site.keep().display())),
        _ => Err(format!("it ended with {code}: {}", ended.err)),
    }
}

/// Runs `trials` on all processors; each has a name.
fn campaign<D: Fn(&Path) + Sync>(whole: &Whole, trials: &[(String, D)]) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<(&str, Result<i32, String>)> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for part in trials.chunks(trials.len().div_ceil(workers)) {
            threads.push(scope.spawn(move || {
                part.iter().map(|(name, damage)| (name.as_str(), trial(whole, damage))).collect::<Vec<_>>()
            }));
        }
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let codes = |code| results.iter().filter(|(_, result)| *result == Ok(code)).count();
    println!("{} trials: {} with 74, {} with 78, {} true", results.len(), codes(74), codes(78), codes(0));
    let lies: Vec<_> =
        results.iter().filter_map(|(name, result)| Some(format!("{name}: {}", result.as_ref().err()?))).collect();
    assert!(lies.is_empty(), "{} lies; the first of them:\n{}", lies.len(), lies[..lies.len().min(3)].join("\n"));
}

#[test]
fn one_changed_journal_byte_ends_the_node_or_changes_nothing() {
    let whole = whole();
    let length = usize::try_from(fs::metadata(whole.site.state().join("journal.db")).unwrap().len()).unwrap();
    let tried = setting("SENTINEL_DAMAGED_BYTES").unwrap_or(TRIED);
    let seed = setting("SENTINEL_SEED").map_or(SEED, |seed| seed as u64);
    let mut chance = fastrand::Rng::with_seed(seed);
    println!("bytes of seed {seed}");
    let trials: Vec<_> = std::iter::repeat_with(|| chance.usize(..length))
        .take(tried)
        .map(|at| {
            let damage = move |journal: &Path| {
                let mut bytes = fs::read(journal).unwrap();
                bytes[at] ^= [0x01, 0x80, 0x10, 0xFF, 0x20, 0x02, 0x08][at % 7];
                fs::write(journal, bytes).unwrap();
            };
            (format!("byte {at}"), damage)
        })
        .collect();
    campaign(&whole, &trials);
}

#[test]
fn a_journal_that_is_cut_off_anywhere_is_never_gone_on_with() {
    let whole = whole();
    let length = fs::metadata(whole.site.state().join("journal.db")).unwrap().len();
    let trials: Vec<_> = [0, 1, 100, 512, 4096, length / 2, length - 4096, length - 1]
        .map(|kept| {
            let cut =
                move |journal: &Path| fs::OpenOptions::new().write(true).open(journal).unwrap().set_len(kept).unwrap();
            (format!("cut to {kept}"), cut)
        })
        .into();
    campaign(&whole, &trials);
}
