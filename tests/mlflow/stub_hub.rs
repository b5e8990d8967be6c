//! The stub hub over real sockets. It shares no code with the client, so what it reads is what was meant.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use sentinel::config::HubPayload;
use sentinel::http::{Access, Headers, Secret};
use sentinel::models::Output;
use sentinel::models::mlflow::{HubAddress, MlflowModel, MlflowSettings};
use sentinel_actors::domain::feature::FeatureFrame;
use sentinel_actors::ports::{Model, ModelError};
use sentinel_testbed::CancellationToken;
use sentinel_testbed::hub::{self, Form, HubError, Options, Proxy, Wrapping};

use super::{LONG, check_probe, frame, settings};

/// Features of the demo's model.
const WIDTH: usize = 23;

/// Ended when this is dropped.
struct Hub {
    address: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<Result<(), HubError>>>,
}

impl Hub {
    fn start(wrapping: Wrapping, proxy: Proxy) -> Self {
        let options = Options {
            model: Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo/model.onnx"),
            host: "127.0.0.1".to_owned(),
            port: 0,
            faults: vec![],
            wrapping,
            proxy,
        };
        let (shutdown, (heard, address)) = (CancellationToken::new(), channel());
        let token = shutdown.clone();
        let thread = thread::spawn(move || hub::serve(&options, |address| heard.send(address).unwrap(), &token));
        Self { address: address.recv_timeout(LONG).unwrap(), shutdown, thread: Some(thread) }
    }

    fn of_form(form: Form) -> Self {
        Self::start(Wrapping { form, is_nested: false }, Proxy::default())
    }

    fn settings(&self) -> MlflowSettings {
        let port = self.address.port();
        MlflowSettings {
            address: HubAddress { tls: false, host: "127.0.0.1".into(), port },
            columns: (0..WIDTH).map(|nth| format!("feature_{nth}")).collect(),
            probes: [0.1, 0.2, 0.3].map(wide).to_vec(),
            ..settings(port)
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn wide(first: f64) -> FeatureFrame {
    let row: Vec<f64> = (0..WIDTH).map(|nth| first + nth as f64 / 100.0).collect();
    FeatureFrame { sequence: Some(row.repeat(60)), row, ..frame(0.0) }
}

/// What a model is known by, and what it says about one row.
async fn ask(settings: MlflowSettings) -> Result<(String, Vec<Vec<f64>>), ModelError> {
    let model = MlflowModel::new(settings).unwrap();
    let identity = model.validate(LONG).await?;
    Ok((identity.hash, model.predict(&wide(0.4), LONG).await?.rows))
}

#[tokio::test]
async fn the_stub_hub_reads_the_same_row_out_of_every_payload() {
    use HubPayload::{Columns, Records, Tensor, TwoBlocks, TwoBlocksNested, TwoTensors};
    let [flat, nested] = [false, true].map(|is_nested| {
        let form = Form::Array;
        Hub::start(Wrapping { is_nested, form }, Proxy::default())
    });
    let expected = ask(flat.settings()).await.unwrap();
    for (hub, payload, is_taken) in [
        (&flat, Columns, true),
        (&flat, Records, true),
        (&flat, Tensor, true),
        (&flat, TwoBlocks, true),
        (&flat, TwoBlocksNested, false),
        (&flat, TwoTensors, true),
        (&nested, TwoBlocks, false),
        (&nested, TwoBlocksNested, true),
        (&nested, TwoTensors, true),
    ] {
        let answer = ask(MlflowSettings { payload, ..hub.settings() }).await;
        if is_taken {
            assert_eq!(answer.as_ref(), Ok(&expected), "{payload:?}");
        } else {
            assert!(matches!(answer, Err(ModelError::Status { status: 400, .. })), "{payload:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn named_columns_in_any_order_are_the_same_model_as_an_array() {
    let expected = ask(Hub::of_form(Form::Array).settings()).await.unwrap();
    for names in [["SELL", "HOLD", "BUY"], ["sell", "Hold", "buy"], ["0", "1", "2"]] {
        let hub = Hub::of_form(Form::Records(names.map(String::from).to_vec()));
        assert_eq!(ask(hub.settings()).await.as_ref(), Ok(&expected), "{names:?}");
    }
    let hub = Hub::of_form(Form::Records(["down", "flat", "up"].map(String::from).to_vec()));
    match ask(hub.settings()).await {
        Err(ModelError::Unparseable(text)) => {
            assert!(text.starts_with("its columns down, flat, up are not the classes SELL, HOLD, BUY"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_series_a_list_and_a_number_are_the_value_of_a_regressor() {
    let mut known = None;
    for form in [Form::Series, Form::Scalars, Form::Scalar] {
        let hub = Hub::of_form(form.clone());
        let output = Output::Value { horizon: LONG };
        let (hash, rows) = ask(MlflowSettings { output, ..hub.settings() }).await.unwrap();
        assert!(matches!(rows.as_slice(), [row] if row.len() == 1), "{form:?}: {rows:?}");
        assert_eq!(known.get_or_insert((hash.clone(), rows.clone())), &(hash, rows), "{form:?}");
        let classes = ask(hub.settings()).await;
        assert!(matches!(classes, Err(ModelError::Invalid(_))), "{form:?} is no answer of a classifier: {classes:?}");
    }
}

#[tokio::test]
async fn a_proxy_is_given_what_it_asks_for_and_its_refusal_is_told() {
    let bearer = || Access::Bearer(Secret::new("token".to_owned()));
    let basic = || Access::Basic { user: "Aladdin".to_owned(), password: Secret::new("open sesame".to_owned()) };
    let tenant = || Headers::parse("X-Tenant: fx").unwrap();
    for (wanted, access) in [("Bearer token", bearer()), ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", basic())] {
        let required = [("authorization", wanted), ("x-tenant", "fx")];
        let required = required.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let hub = Hub::start(Wrapping::default(), Proxy { required });
        let right = MlflowSettings { access: access.clone(), headers: tenant(), ..hub.settings() };
        ask(right).await.unwrap();
        for (status, access, headers) in [(401, Access::Open, tenant()), (403, access, Headers::default())] {
            match ask(MlflowSettings { access, headers, ..hub.settings() }).await {
                Err(ModelError::Status { status: code, text }) => {
                    assert!(code == status && text.contains("<html>"), "{code} {text}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_doctor_says_what_to_do_about_each_kind_of_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let required = vec![("authorization".to_owned(), "Bearer token".to_owned())];
    let [open, closed] = [vec![], required].map(|required| Hub::start(Wrapping::default(), Proxy { required }));
    let regressor = Hub::of_form(Form::Scalars);
    let port = |hub: &Hub| hub.address.port();
    for (port, payload, verdict, text) in [
        (port(&open), "tensor", "ok", "answers with 3 probabilities"),
        (port(&open), "two_blocks", "ok", "answers with 3 probabilities"),
        (port(&open), "two_blocks_nested", "PROBLEM", "the model's server refuses the question: set `payload` to"),
        (port(&closed), "tensor", "PROBLEM", "the model's server, or a proxy before it, wants more: set bearer_file"),
        (port(&regressor), "tensor", "PROBLEM", "serve a model of the kind that this pipeline needs"),
        (1, "tensor", "PROBLEM", "start the model's server, or correct `host`, `port` and `tls`"),
    ] {
        let hub = format!("port = {port}\npayload = \"{payload}\"");
        let (line, said) = check_probe(folder.path(), &hub, &[]);
        assert!(line.starts_with(&format!("{verdict:<8} model of eurusd: {text}")), "{hub}: {said}");
    }
}
