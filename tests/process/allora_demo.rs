//! `sentinel demo --job allora` as a process: the whole life of a worker, judged by the chain that it submits to.

use super::node::run;

/// A window lasts one and a half seconds, and a machine that is busy with something else can miss one: how many are used is not what
/// is shown here. Each window has its row, and the node tells of just what the chain has stored.
#[test]
fn each_window_of_the_demo_has_its_row_and_what_the_chain_has_stored_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let demo = run(folder.path(), ["demo", "--job", "allora", "--bars", "6"]).expect(0);
    let proven = run(folder.path(), ["prove", "--state", "state/demo-allora", "--format", "json"]).expect(0);
    let proof: serde_json::Value = serde_json::from_str(&proven.out).unwrap();
    let pipeline = &proof["pipelines"][0];
    assert_eq!((proof["holds"].as_bool(), pipeline["due"].as_u64()), (Some(true), Some(6)), "{proof}");
    let acted = pipeline["outcomes"]["acted"].as_u64().unwrap_or_default();
    let told = demo.out.lines().filter(|line| line.ends_with("| stored")).count() as u64;
    assert!((1..=acted).contains(&told), "{proof}\n{}\n{}", demo.out, demo.err);
    assert!(demo.out.contains(&format!("{told} forecasts stored by its own record")), "{}", demo.out);
    assert!(demo.out.contains(": holds"), "{}", demo.out);
    assert!(!demo.out.contains("abandon") && !demo.err.contains("abandon"), "the words are printed");
}
