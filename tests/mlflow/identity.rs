//! Who answers: when the hub is asked about it, and what happens when it is somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

    /// First features of all rows since the last call of this.
    fn asked(&self, seen: &mut usize) -> Vec<f64> {
        let requests = self.server.requests();
        requests[std::mem::replace(seen, requests.len())..].iter().map(|request| asked(&request.body)).collect()
    }
}

async fn validate(model: &MlflowModel) -> Result<ModelIdentity, ModelError> {
    model.validate(LONG).await
}

const PROBES: [f64; 3] = [101.0, 102.0, 103.0];

#[tokio::test]
async fn the_probes_are_asked_at_first_and_then_only_when_a_connection_is_new_or_it_is_time() {
    let hub = Hub::with(|request, good| match request.nth {
        4 => Reply::Close(vec![]), // the second prediction: it is repeated on a new connection
        _ => ok(good),
    });
    let mut seen = 0;
    let minute = Duration::from_secs(60);
    let model = MlflowModel::new(MlflowSettings { identity_every: minute, ..settings(hub.server.port) }).unwrap();
    let identity = validate(&model).await.unwrap();
    assert_eq!(identity.id, format!("http://127.0.0.1:{}", hub.server.port));
    assert_eq!(identity.hash.len(), 64);
    assert_eq!(hub.asked(&mut seen), PROBES);

    predict(&model).await.unwrap();
    assert_eq!(validate(&model).await.unwrap(), identity);
    assert_eq!(hub.asked(&mut seen), [1.0], "the connection is the same");

    predict(&model).await.unwrap();
    assert_eq!(hub.asked(&mut seen), [1.0, 1.0]);
    assert_eq!(validate(&model).await.unwrap(), identity);
    assert_eq!(hub.asked(&mut seen), PROBES, "the connection is new");
    assert_eq!((validate(&model).await.unwrap(), hub.asked(&mut seen)), (identity.clone(), vec![]));

    let steps = async |count| {
        for _ in 0..count {
            advance(Duration::from_secs(2)).await; // less than what ends a kept connection
            predict(&model).await.unwrap();
        }
    };
    steps(15).await;
    validate(&model).await.unwrap();
    assert_eq!(hub.asked(&mut seen).len(), 15, "the connection is the same and the minute not over");
    steps(15).await;
    hub.asked(&mut seen);
    assert_eq!(validate(&model).await.unwrap(), identity);
    assert_eq!(hub.asked(&mut seen), PROBES, "the minute is over");
}

#[tokio::test]
async fn a_cycle_after_a_pause_asks_the_probes_before_the_prediction() {
    let hub = Hub::start();
    let mut seen = 0;
    let model = model(hub.server.port);
    validate(&model).await.unwrap();
    predict(&model).await.unwrap();
    advance(Duration::from_secs(60)).await;
    hub.asked(&mut seen);
    hub.serve(1);
    assert!(matches!(validate(&model).await, Err(ModelError::Invalid(_))));
    assert_eq!(hub.asked(&mut seen), PROBES);
}

#[tokio::test]
async fn another_model_is_refused_until_the_recorded_one_is_back() {
    let (log, _guard) = Log::capture();
    let hub = Hub::start();
    let model =
        MlflowModel::new(MlflowSettings { identity_every: Duration::ZERO, ..settings(hub.server.port) }).unwrap();
    let identity = validate(&model).await.unwrap();
    hub.serve(1);
    for _ in 0..3 {
        match validate(&model).await {
            Err(ModelError::Invalid(text)) => {
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
async fn a_server_that_came_back_with_another_model_is_refused_at_the_next_validation() {
    let hub = Hub::with(|request, good| match request.nth {
        3 => Reply::Close(vec![]), // the server goes down while it is asked
        _ => ok(good),
    });
    let model = model(hub.server.port);
    validate(&model).await.unwrap();
    hub.serve(1);
    predict(&model).await.unwrap();
    assert!(matches!(validate(&model).await, Err(ModelError::Invalid(_))));
}

#[tokio::test]
async fn a_probe_that_fails_is_that_error_for_this_cycle_and_asked_again_in_the_next() {
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
    assert!(matches!(refused(MlflowSettings { classes: twice.clone(), ..good() }), MlflowError::Classes(_)));
    assert!(matches!(refused(MlflowSettings { columns: twice, ..good() }), MlflowError::Columns(_)));
    assert!(matches!(refused(MlflowSettings { classes: vec![], ..good() }), MlflowError::Classes(_)));
    assert!(matches!(refused(MlflowSettings { probes: vec![frame(1.0)], ..good() }), MlflowError::Probes(1)));
    let probes = vec![frame(1.0), frame(f64::NAN)];
    assert!(matches!(refused(MlflowSettings { probes, ..good() }), MlflowError::Probe { probe: 1, .. }));
}
