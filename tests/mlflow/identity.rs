//! Which model answers: when the probes are asked, and what happens when it is another model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sentinel::models::Output;
use sentinel::models::mlflow::{MlflowError, MlflowModel, MlflowSettings};
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::ports::{Model, ModelError};

use super::scripted::{Reply, Request, Server, ok, status};
use super::{GOOD, LONG, Log, advance, asked, frame, model, predict, predictions, settings};

/// A hub that serves the model of this number.
struct Hub {
    server: Server,
    serves: Arc<AtomicU64>,
}

impl Hub {
    fn start() -> Self {
        Self::with(|_, good| ok(good))
    }

    /// `reply` makes the reply of a good answer.
    fn with(reply: impl Fn(&Request, &str) -> Reply + Send + Sync + 'static) -> Self {
        let serves = Arc::new(AtomicU64::new(0));
        let served = Arc::clone(&serves);
        let server = Server::start(move |request| {
            let shift = served.load(Ordering::SeqCst) as f64 * 1e-6;
            reply(request, &predictions(&request.body, shift))
        });
        Self { server, serves }
    }

    fn serve(&self, model: u64) {
        self.serves.store(model, Ordering::SeqCst);
    }

    /// First features of the rows of each request since the last call of this.
    fn asked(&self, seen: &mut usize) -> Vec<Vec<f64>> {
        let requests = self.server.requests();
        requests[std::mem::replace(seen, requests.len())..].iter().map(|request| asked(&request.body)).collect()
    }
}

async fn validate(model: &MlflowModel) -> Result<ModelIdentity, ModelError> {
    model.validate(LONG).await
}

/// The probe rows one by one, and with a question.
const PROBES: [[f64; 1]; 3] = [[101.0], [102.0], [103.0]];
const WITH_PROBES: [[f64; 4]; 1] = [[101.0, 102.0, 103.0, 1.0]];

#[tokio::test]
async fn probe_rows_are_asked_alone_first_and_then_with_every_question() {
    let hub = Hub::start();
    let mut seen = 0;
    let model = model(hub.server.port);
    let identity = validate(&model).await.unwrap();
    assert_eq!(identity.id, format!("http://127.0.0.1:{}", hub.server.port));
    assert_eq!(identity.hash.len(), 64);
    assert_eq!(hub.asked(&mut seen), PROBES);
    for pause in [0, 2, 7200] {
        advance(Duration::from_secs(pause)).await;
        assert_eq!(validate(&model).await.unwrap(), identity);
        assert_eq!(hub.asked(&mut seen), Vec::<Vec<f64>>::new(), "the question brings them");
        assert_eq!(predict(&model).await.unwrap(), [[0.001, 0.3, 0.699]]);
        assert_eq!(hub.asked(&mut seen), WITH_PROBES, "after {pause} s");
    }
}

/// Behind a kept connection another model was traded on for up to an hour.
#[tokio::test]
async fn a_model_that_is_swapped_behind_a_kept_connection_answers_no_question() {
    let (log, _guard) = Log::capture();
    let hub = Hub::start();
    let model = model(hub.server.port);
    validate(&model).await.unwrap();
    predict(&model).await.unwrap();
    hub.serve(1);
    let refused = predict(&model).await;
    assert!(matches!(refused, Err(ModelError::Changed(_))), "{refused:?}");
    assert_eq!((hub.server.connections(), log.events()), (1, vec!["hub_model_changed".to_owned()]));
    assert!(matches!(predict(&model).await, Err(ModelError::Invalid(_))), "nor without a validation in between");
    assert!(matches!(validate(&model).await, Err(ModelError::Changed(_))));
    hub.serve(0);
    validate(&model).await.unwrap();
    assert_eq!(predict(&model).await.unwrap(), [[0.001, 0.3, 0.699]]);
    assert_eq!(log.events(), ["hub_model_changed", "hub_model_back"]);
}

/// One that looks at the first row only, one that raises, and one whose rows depend on one another.
#[tokio::test]
async fn a_hub_that_takes_one_row_is_asked_the_probes_before_every_question() {
    type Answer = fn(&[u8], &str) -> Reply;
    let ways: [Answer; 3] = [
        |_, _| ok(GOOD),
        |_, _| status("400 Bad Request", "one row at a time"),
        |body, good| {
            let rows = asked(body).len() as f64;
            ok(&good.replace("0.3,", &format!("{},", 0.3 + rows * 1e-8)))
        },
    ];
    for way in ways {
        let (log, _guard) = Log::capture();
        let hub = Hub::with(move |request, good| match asked(&request.body).len() {
            1 => ok(good),
            _ => way(&request.body, good),
        });
        let mut seen = 0;
        let model = model(hub.server.port);
        let identity = validate(&model).await.unwrap();
        assert_eq!(predict(&model).await.unwrap(), [[0.001, 0.3, 0.699]]);
        assert_eq!(log.events(), ["hub_rows_apart"]);
        hub.asked(&mut seen);
        assert_eq!(validate(&model).await.unwrap(), identity);
        assert_eq!(hub.asked(&mut seen), PROBES);
        assert_eq!(predict(&model).await.unwrap(), [[0.001, 0.3, 0.699]]);
        assert_eq!(hub.asked(&mut seen), [[1.0]]);
        hub.serve(1);
        assert!(matches!(validate(&model).await, Err(ModelError::Changed(_))));
    }
}

#[tokio::test]
async fn a_model_swapped_before_the_first_question_is_not_mistaken_for_one_row() {
    let hub = Hub::start();
    let model = model(hub.server.port);
    validate(&model).await.unwrap();
    hub.serve(1);
    let refused = predict(&model).await;
    assert!(matches!(refused, Err(ModelError::Changed(_))), "{refused:?}");
}

/// An answer that cannot be decided on keeps the reason that the domain has for it, and a row that belongs to a probe is no
/// answer.
#[tokio::test]
async fn a_failing_hub_is_no_other_model_and_a_probe_row_is_no_prediction() {
    let good = |body: &[u8]| predictions(body, 0.0);
    for (bad, expected) in [
        (r#"{"predictions": [[NaN, NaN, NaN], [NaN, NaN, NaN], [NaN, NaN, NaN], [NaN, NaN, NaN]]}"#, Ok(1)),
        (r#"{"predictions": [[0.2, 0.8], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]]}"#, Ok(1)),
        (r#"{"predictions": [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]}"#, Ok(2)),
        (r#"{"predictions": [[0.5, 0.3, 0.2]]}"#, Err("4 rows were asked about, and the answer has 1")),
    ] {
        let server = Server::start(move |request| if request.nth < 4 { ok(&good(&request.body)) } else { ok(bad) });
        let model = model(server.port);
        validate(&model).await.unwrap();
        predict(&model).await.unwrap();
        match (predict(&model).await, expected) {
            (Ok(rows), Ok(count)) => assert_eq!(rows.len(), count, "{bad}"),
            (Err(ModelError::Unparseable(text)), Err(expected)) => assert_eq!(text, expected, "{bad}"),
            other => panic!("{bad}: {other:?}"),
        }
        assert!(validate(&model).await.is_ok(), "it is the same model");
    }
}

#[tokio::test]
async fn another_model_is_refused_until_the_recorded_one_is_back() {
    let (log, _guard) = Log::capture();
    let hub = Hub::start();
    let model = model(hub.server.port);
    let identity = validate(&model).await.unwrap();
    predict(&model).await.unwrap();
    hub.serve(1);
    assert!(matches!(predict(&model).await, Err(ModelError::Changed(_))));
    for _ in 0..3 {
        match validate(&model).await {
            Err(ModelError::Changed(text)) => {
                assert!(text.contains("restart the node when that is intended"), "{text}")
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(log.events(), ["hub_model_changed"], "one alert, not one per cycle");
    hub.serve(0);
    assert_eq!(validate(&model).await.unwrap(), identity);
    assert_eq!(log.events(), ["hub_model_changed", "hub_model_back"]);
    // Another process starts from what it finds.
    hub.serve(1);
    let restarted = self::model(hub.server.port);
    assert_ne!(validate(&restarted).await.unwrap().hash, identity.hash);
}

#[tokio::test]
async fn a_server_that_came_back_with_another_model_answers_no_question() {
    let hub = Hub::with(|request, good| match request.nth {
        4 => Reply::Close(vec![]), // the server goes down while it is asked; the question is repeated on a new connection
        _ => ok(good),
    });
    let model = model(hub.server.port);
    validate(&model).await.unwrap();
    predict(&model).await.unwrap();
    hub.serve(1);
    assert!(matches!(predict(&model).await, Err(ModelError::Changed(_))));
    assert_eq!((model.connects(), model.retries()), (2, 1));
}

#[tokio::test]
async fn a_failed_probe_fails_this_cycle_and_is_asked_again_in_the_next() {
    let hub = Hub::with(|request, good| match request.nth {
        1 => status("503 Service Unavailable", "loading"),
        _ => ok(good),
    });
    let model = model(hub.server.port);
    let failed = validate(&model).await;
    assert_eq!(failed, Err(ModelError::Status { status: 503, text: "loading".to_owned() }));
    let mut seen = 2;
    validate(&model).await.unwrap();
    assert_eq!(hub.asked(&mut seen), PROBES);
}

#[tokio::test]
async fn probe_answers_that_nothing_could_be_decided_with_fail_the_validation() {
    for (body, reason) in [
        (GOOD, "it is constant"),
        (r#"{"predictions": [[NaN, 0.5, 0.5]]}"#, "it answers probe row 0 with NaN for class 0"),
        (r#"{"predictions": [[0.5, 0.5]]}"#, "it answers probe row 0 with 2 classes, 3 are configured"),
        (r#"{"predictions": [[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]}"#, "it answers probe row 0 with 2 rows"),
    ] {
        let server = Server::start(move |_| ok(body));
        match validate(&model(server.port)).await {
            Err(ModelError::Invalid(text)) => assert!(text.starts_with(reason), "{body}: {text}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn two_pipelines_that_share_a_model_ask_the_probes_once() {
    let hub = Hub::start();
    let model = model(hub.server.port);
    let (one, other) = tokio::join!(validate(&model), validate(&model));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(hub.asked(&mut 0), PROBES);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |settings: MlflowSettings| MlflowModel::new(settings).err().unwrap();
    let good = || settings(5000);
    let twice = ["BUY", "buy"].map(String::from).to_vec();
    assert!(matches!(
        refused(MlflowSettings { output: Output::Classes(twice.clone()), ..good() }),
        MlflowError::Classes(_)
    ));
    assert!(matches!(refused(MlflowSettings { columns: twice, ..good() }), MlflowError::Columns(_)));
    assert!(matches!(refused(MlflowSettings { output: Output::Classes(vec![]), ..good() }), MlflowError::Classes(_)));
    assert!(matches!(refused(MlflowSettings { probes: vec![frame(1.0)], ..good() }), MlflowError::Probes(1)));
    let probes = vec![frame(1.0), frame(f64::NAN)];
    assert!(matches!(refused(MlflowSettings { probes, ..good() }), MlflowError::Probe { probe: 1, .. }));
}
