//! A real MLflow server. Needs `mlflow` on the path, or the variable `SENTINEL_MLFLOW` with its place.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sentinel::config::HubPayload;
use sentinel::models::Output;
use sentinel::models::mlflow::{MlflowModel, MlflowSettings};
use sentinel_actors::domain::prediction::{AnswerFault, Probabilities};
use sentinel_actors::ports::{Model, ModelError, elapsed_now};

use super::{LONG, check_probe, frame, settings};

/// Starting Python with its libraries takes seconds, on a busy machine many.
const START_MAX: Duration = Duration::from_secs(180);

/// After this the server itself gives up on a model.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

const MODELS: [&str; 10] = [
    "columns",
    "tensor",
    "two_tensors",
    "two_blocks",
    "two_blocks_nested",
    "regressor_series",
    "regressor_array",
    "nan",
    "raises",
    "hangs",
];

const ALL: [HubPayload; 6] = [
    HubPayload::Columns,
    HubPayload::Records,
    HubPayload::Tensor,
    HubPayload::TwoBlocks,
    HubPayload::TwoBlocksNested,
    HubPayload::TwoTensors,
];

fn mlflow() -> PathBuf {
    let named = std::env::var_os("SENTINEL_MLFLOW").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).map(|folder| folder.join("mlflow")).find(|file| file.is_file());
    let place = named.or_else(found);
    place.unwrap_or_else(|| panic!("there is no mlflow: put it on the path or name it in SENTINEL_MLFLOW"))
}

fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let output = File::options().create(true).append(true).open(folder.join("output.txt")).unwrap();
    command.current_dir(folder).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    command.env("MLFLOW_DISABLE_TELEMETRY", "true").env("DO_NOT_TRACK", "true");
    command
}

/// A port that nobody else takes in the seconds until the server listens: below those that the system gives to connections.
fn port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let next = || 20_000 + (std::process::id() * 8 + TAKEN.fetch_add(1, Ordering::Relaxed)) % 10_000;
    let mut ports = std::iter::repeat_with(|| u16::try_from(next()).unwrap());
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}

/// The server and its workers; ended when this is dropped.
struct Served {
    name: &'static str,
    child: Child,
    port: u16,
    output: PathBuf,
}

impl Served {
    fn start(mlflow: &Path, folder: &Path, name: &'static str) -> Self {
        let port = port();
        // The server starts its workers with programs that it looks for on the path.
        let mut path = mlflow.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let child = command(mlflow, folder)
            .args([
                "models",
                "serve",
                "--env-manager",
                "local",
                "--workers",
                "1",
                "--host",
                "127.0.0.1",
                "--model-uri",
                name,
            ])
            .args(["--port", &port.to_string()])
            .env("PATH", path)
            .env("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", SERVER_TIMEOUT.as_secs().to_string())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { name, child, port, output: folder.join("output.txt") }
    }

    /// Whether this very server listens, and not another program that answers on its port.
    fn is_up(&self) -> bool {
        let said = std::fs::read_to_string(&self.output).unwrap_or_default();
        if !said.contains(&format!("running on http://127.0.0.1:{} ", self.port)) {
            return false;
        }
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /ping HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n");
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    }

    async fn wait(&mut self) {
        let began = elapsed_now();
        while !self.is_up() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > START_MAX {
                let output = std::fs::read_to_string(&self.output).unwrap_or_default();
                panic!("the server is not up after {:?} ({ended:?}): {output}", began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the servers of this test said: {}", std::fs::read_to_string(&self.output).unwrap_or_default());
        }
    }
}

fn model(served: &Served, payload: HubPayload) -> MlflowModel {
    MlflowModel::new(MlflowSettings { payload, ..settings(served.port) }).unwrap()
}

/// The models' rule, in the order of the configured classes.
fn softmax(row: [f64; 3]) -> [f64; 3] {
    let weights = row.map(|value| (value / 100.0).exp());
    weights.map(|weight| weight / weights.iter().sum::<f64>())
}

async fn check(model: &MlflowModel, expected: [f64; 3]) {
    let identity = model.validate(LONG).await.unwrap();
    assert_eq!(model.validate(LONG).await.unwrap(), identity);
    let answer = model.predict(&frame(7.5), LONG).await.unwrap();
    let [row] = answer.rows.as_slice() else { panic!("{answer:?}") };
    assert_eq!(row.len(), 3);
    assert!(row.iter().zip(expected).all(|(have, want)| (have - want).abs() < 1e-12), "{row:?} is not {expected:?}");

    let answer = model.predict(&frame(1000.0), LONG).await.unwrap();
    assert!(answer.rows.len() == 1 && answer.rows[0].len() == 3 && answer.rows[0].iter().all(|cell| cell.is_nan()));

    raised(model.predict(&frame(2000.0), LONG).await);
    assert_eq!(model.validate(LONG).await.unwrap(), identity, "a model that raised is the same model");
}

/// The answer of a server whose model raised.
fn raised<T: std::fmt::Debug>(result: Result<T, ModelError>) {
    match result {
        Err(ModelError::Status { status: 400, text }) => {
            assert!(text.starts_with(r#"{"error_code": "BAD_REQUEST""#) && text.chars().count() <= 300, "{text}");
        }
        other => panic!("{other:?}"),
    }
}

/// Asked with any other payload the server refuses; nothing else reveals a wrong configuration.
async fn refuses_others(served: &Served, right: &[HubPayload]) {
    for payload in ALL.into_iter().filter(|payload| !right.contains(payload)) {
        match model(served, payload).validate(LONG).await {
            Err(error @ ModelError::Status { status: 400, .. }) => {
                println!("{}, asked with {payload:?}: {error}", served.name);
            }
            other => panic!("{}, asked with {payload:?}: {other:?}", served.name),
        }
    }
}

async fn classifier(served: Served, payloads: &[HubPayload], expected: [f64; 3]) {
    for payload in payloads {
        check(&model(&served, *payload), expected).await;
    }
    refuses_others(&served, payloads).await;
    let asked = model(&served, payloads[0]);
    asked.validate(LONG).await.unwrap();
    let began = elapsed_now();
    for _ in 0..50 {
        asked.predict(&frame(7.5), LONG).await.unwrap();
    }
    println!("{}: {:?} per call, {} connections", served.name, began.elapsed() / 50, asked.connects());
    drop(served);
    let gone = asked.predict(&frame(7.5), LONG).await;
    assert!(matches!(gone, Err(ModelError::Unavailable(_))), "{gone:?}");
}

async fn regressor(served: &Served, sum: f64) {
    let output = Output::Value { horizon: Duration::from_secs(3600) };
    for payload in [HubPayload::Columns, HubPayload::Records] {
        let settings = MlflowSettings { payload, output: output.clone(), ..settings(served.port) };
        let model = MlflowModel::new(settings).unwrap();
        model.validate(LONG).await.unwrap();
        let answer = model.predict(&frame(7.5), LONG).await.unwrap();
        let [row] = answer.rows.as_slice() else { panic!("{answer:?}") };
        assert!(row.len() == 1 && (row[0] - sum / 100.0).abs() < 1e-12, "{row:?}");
    }
}

/// It is never armed, and what it said reaches the check that has a reason for it.
async fn nan(served: &Served) {
    let model = model(served, HubPayload::Columns);
    match model.validate(LONG).await {
        Err(ModelError::Invalid(text)) => assert!(text.contains("NaN"), "{text}"),
        other => panic!("{other:?}"),
    }
    let answer = model.predict(&frame(7.5), LONG).await.unwrap();
    assert_eq!(Probabilities::check(&answer, 3), Err(AnswerFault::NotFinite(0)));
}

/// The caller's deadline ends the call, or the server's own does, with a text that is no JSON.
async fn hangs(served: &Served) {
    let model = model(served, HubPayload::Columns);
    let deadline = Duration::from_millis(300);
    let began = elapsed_now();
    assert_eq!(model.validate(deadline).await, Err(ModelError::Timeout(deadline)));
    assert!(began.elapsed() < SERVER_TIMEOUT, "{:?}", began.elapsed());
    match model.validate(LONG).await {
        Err(ModelError::Status { status: 504, text }) => assert!(!text.is_empty() && !text.starts_with('{'), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// The demo's pipeline has other features than this model, and the person is told where to look.
fn doctor(served: &Served) {
    let folder = tempfile::tempdir().unwrap();
    let hub = format!("port = {}\npayload = \"columns\"", served.port);
    let (line, said) = check_probe(folder.path(), &hub, &[]);
    assert!(line.starts_with("PROBLEM") && line.contains("refuses the question: set `payload`"), "{said}");
    println!("{line}");
}

async fn judge(served: Served) {
    use HubPayload::{Columns, Records, Tensor, TwoBlocks, TwoBlocksNested, TwoTensors};
    let [a, b, c] = [7.5, 0.25, -3.0];
    let (one, both) = (softmax([a, b, c]), softmax([2.0 * a, 2.0 * b, 2.0 * c]));
    match served.name {
        "columns" => classifier(served, &[Columns, Records], one).await,
        // A tensor without a name is also made of a table whose columns are of its type.
        "tensor" => classifier(served, &[Tensor, Columns, Records], one).await,
        "two_tensors" => classifier(served, &[TwoTensors], both).await,
        "two_blocks" => classifier(served, &[TwoBlocks], both).await,
        "two_blocks_nested" => classifier(served, &[TwoBlocksNested], both).await,
        "regressor_series" | "regressor_array" => regressor(&served, a + b + c).await,
        "nan" => nan(&served).await,
        "raises" => {
            doctor(&served);
            raised(model(&served, Columns).validate(LONG).await);
        }
        "hangs" => hangs(&served).await,
        other => panic!("nothing is asked of {other}"),
    }
}

#[tokio::test]
#[cfg_attr(not(has_program = "mlflow"), ignore = "needs mlflow: see CONTRIBUTING.md")]
async fn a_real_server_answers_every_payload_and_its_errors_are_told_apart() {
    let mlflow = mlflow();
    let folder = tempfile::tempdir().unwrap();
    let began = elapsed_now();
    let beside = mlflow.with_file_name("python");
    let python = if beside.is_file() { beside } else { PathBuf::from("python3") };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mlflow/models.py");
    let written = command(python, folder.path()).arg(script).arg(folder.path()).status().unwrap();
    assert!(written.success(), "{}", std::fs::read_to_string(folder.path().join("output.txt")).unwrap_or_default());
    println!("models written in {:?}", began.elapsed());

    // Two servers at most, for each holds a Python with all its libraries: one starts while the one before is asked.
    let mut names = MODELS.into_iter();
    let start = |name| Served::start(&mlflow, folder.path(), name);
    let mut next = names.next().map(start);
    while let Some(mut served) = next {
        next = names.next().map(start);
        served.wait().await;
        println!("{} is up after {:?}", served.name, began.elapsed());
        judge(served).await;
    }
    println!("all in {:?}", began.elapsed());
}
