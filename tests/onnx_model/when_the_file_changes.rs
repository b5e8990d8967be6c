//! What cycles see while the model's file is replaced, damaged or deleted.

use super::*;

const ROW: [f64; 3] = [0.5, -1.0, 2.0];

#[tokio::test]
async fn a_good_new_model_is_taken_up_by_the_next_validation() {
    let (log, _guard) = Log::capture();
    let files = Files::with("good_a");
    let model = files.load().unwrap();
    let (old, old_answer) = (model.validate(DEADLINE).await.unwrap(), answer(&model, &ROW).await);
    files.put("good_b");
    assert_eq!(answer(&model, &ROW).await, old_answer, "a cycle is never asked of two models");
    let new = model.validate(DEADLINE).await.unwrap();
    assert_ne!(new.hash, old.hash);
    assert_ne!(answer(&model, &ROW).await, old_answer);
    assert_eq!((model.swaps(), model.refusals()), (1, 0));
    let events = log.events("model_swapped");
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["from"], &events[0]["to"]), (&json!(old.hash), &json!(new.hash)));
}

/// Each state of the files keeps the old model, and is reported once however many cycles see it.
async fn keeps_the_old_model(change: impl FnOnce(&Files), wrong: &str) {
    let (log, _guard) = Log::capture();
    let files = Files::with("good_a");
    let model = files.load().unwrap();
    let (old, old_answer) = (model.validate(DEADLINE).await.unwrap(), answer(&model, &ROW).await);
    change(&files);
    for _ in 0..4 {
        assert_eq!(model.validate(DEADLINE).await.unwrap(), old);
        assert_eq!(answer(&model, &ROW).await, old_answer);
    }
    let events = log.events("model_refused");
    assert_eq!((events.len(), model.swaps(), model.refusals()), (1, 0, 1), "{events:?}");
    assert_eq!(events[0]["kept"], json!(old.hash));
    assert!(events[0]["error"].as_str().unwrap().contains(wrong), "{events:?}");
    files.put("good_b");
    assert_ne!(model.validate(DEADLINE).await.unwrap(), old, "a good file after the bad one must be taken up");
}

#[tokio::test]
async fn a_bad_new_model_leaves_the_old_one_working_and_is_reported_once() {
    keeps_the_old_model(|files| files.put("nan"), "is not a finite number").await;
}

#[tokio::test]
async fn a_half_written_model_leaves_the_old_one_working() {
    let half = |files: &Files| {
        let bytes = onnx_bytes("good_b");
        fs::write(files.model(), &bytes[..bytes.len() / 2]).unwrap();
    };
    keeps_the_old_model(half, "still being written").await;
}

#[tokio::test]
async fn a_new_model_whose_manifest_is_not_there_yet_leaves_the_old_one_working() {
    keeps_the_old_model(|files| replace(&files.model(), &onnx_bytes("good_b")), "its manifest says").await;
}

#[tokio::test]
async fn a_deleted_model_goes_on_working() {
    keeps_the_old_model(|files| fs::remove_file(files.model()).unwrap(), "check that it exists").await;
}

#[tokio::test]
async fn a_deleted_manifest_leaves_the_model_working() {
    keeps_the_old_model(|files| fs::remove_file(files.manifest()).unwrap(), "model.json is missing").await;
}

#[tokio::test]
async fn a_touched_file_with_the_same_content_is_no_change() {
    let (log, _guard) = Log::capture();
    let files = Files::with("good_a");
    let model = files.load().unwrap();
    let old = model.validate(DEADLINE).await.unwrap();
    files.put("good_a");
    assert_eq!(model.validate(DEADLINE).await.unwrap(), old);
    assert_eq!((model.swaps(), model.refusals()), (0, 0));
    assert!(log.events("model_swapped").is_empty() && log.events("model_refused").is_empty());
}

struct PanicAtFirstSwap(std::sync::atomic::AtomicBool);

impl FaultInjector for PanicAtFirstSwap {
    fn at(&self, place: FaultPoint, _: &str) -> InjectedFault {
        let first = place == FaultPoint::BeforeModelSwap && !self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
        if first { InjectedFault::Panic } else { InjectedFault::None }
    }
}

#[tokio::test]
async fn a_stage_that_dies_just_before_the_swap_leaves_the_swap_to_the_next_cycle() {
    let files = Files::with("good_a");
    let model = Arc::new(files.load_with(Arc::new(PanicAtFirstSwap(false.into()))).unwrap());
    let old = model.validate(DEADLINE).await.unwrap();
    files.put("good_b");
    let (dying, old_answer) = (Arc::clone(&model), answer(&model, &ROW).await);
    let mut stage = tokio::task::JoinSet::new();
    stage.spawn(async move { dying.validate(DEADLINE).await });
    assert!(stage.join_next().await.unwrap().unwrap_err().is_panic());
    assert_eq!((model.identity(), answer(&model, &ROW).await), (old.clone(), old_answer));
    assert_ne!(model.validate(DEADLINE).await.unwrap(), old);
    assert_eq!(model.swaps(), 1);
}
