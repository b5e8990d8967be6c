//! HTTPS: certificates are checked against the system's store, and nothing is sent before they are.
//!
//! The checks that need a server with a certificate make both with the `openssl` program, or the one that `SENTINEL_OPENSSL`
//! names.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sentinel::models::mlflow::{HubAddress, MlflowModel, MlflowSettings};
use sentinel_actors::ports::{ModelError, elapsed_now};
use sentinel_testbed::hub::{HubRequest, Model as StubModel, Reply, Scoring};

use super::{GOOD, LONG, check_probe, predict, settings};

/// Names the port that the copy of this program asks.
const PORT: &str = "SENTINEL_TEST_TLS_PORT";

const TOKEN: &str = "canary-7d02b4";

fn model(port: u16) -> MlflowModel {
    let address = HubAddress { tls: true, host: "127.0.0.1".into(), port };
    MlflowModel::new(MlflowSettings { address, ..settings(port) }).unwrap()
}

#[tokio::test]
async fn tls_with_a_plain_server_is_unavailable() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        hello
    });
    let result = predict(&model(port)).await;
    assert!(matches!(result, Err(ModelError::Unavailable(_))), "{result:?}");
    assert_eq!(server.join().unwrap()[0], 22, "a TLS handshake, and nothing in the clear");
}

/// An HTTPS server with a certificate of its own, in a folder. The test answers for it.
struct Served {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = openssl(folder.path())
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args([
                "-subj",
                "/CN=hub",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-addext",
                "basicConstraints=CA:FALSE",
            ])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .status();
        assert!(made.unwrap_or_else(|error| panic!("openssl, or what SENTINEL_OPENSSL names: {error}")).success());
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let child = openssl(folder.path())
            .args(["s_server", "-quiet", "-cert", "certificate.pem", "-key", "key.pem"])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, child, port }
    }

    async fn wait(&self) {
        let began = elapsed_now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < LONG, "openssl does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Answers every request by hand until the server is ended: openssl joins its own streams with the connection. Gives
    /// the heads of them.
    fn answer(&mut self, mut reply: impl FnMut(&[u8]) -> String + Send + 'static) -> thread::JoinHandle<Vec<String>> {
        let (mut output, mut input) = (self.child.stdout.take().unwrap(), self.child.stdin.take().unwrap());
        thread::spawn(move || {
            let mut heads = Vec::new();
            while let Some((head, body)) = request(&mut output) {
                let body = reply(&body);
                let _ = input.write_all(format!("{}{body}", super::scripted::head("200 OK", body.len())).as_bytes());
                heads.push(head);
            }
            heads
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next request, or none when the stream ends.
fn request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn openssl(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("SENTINEL_OPENSSL").unwrap_or_else(|| "openssl".into()));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test]
#[cfg_attr(not(has_program = "openssl"), ignore = "needs openssl: see CONTRIBUTING.md")]
async fn a_certificate_that_the_system_does_not_know_is_refused() {
    let served = Served::start();
    served.wait().await;
    match predict(&model(served.port)).await {
        Err(ModelError::Unavailable(text)) => assert!(text.contains("certificate"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// In a process of its own, because the place of the system's store is part of the environment.
#[tokio::test]
#[cfg_attr(not(has_program = "openssl"), ignore = "needs openssl: see CONTRIBUTING.md")]
async fn a_certificate_that_the_system_knows_is_accepted() {
    let mut served = Served::start();
    served.wait().await;
    let requests = served.answer(|_| GOOD.to_owned());
    let copy = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::the_copy_asks_over_tls", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", served.folder.path().join("certificate.pem"))
        .env(PORT, served.port.to_string())
        .output()
        .unwrap();
    drop(served);
    let text = String::from_utf8([copy.stdout, copy.stderr].concat()).unwrap();
    assert!(copy.status.success() && text.contains("answered over TLS"), "{text}");
    let requests = requests.join().unwrap();
    assert!(requests.len() == 1 && requests[0].starts_with("POST /invocations HTTP/1.1"), "{requests:?}");
}

#[tokio::test]
#[ignore = "the other process of the test before"]
async fn the_copy_asks_over_tls() {
    let Some(port) = std::env::var_os(PORT) else { return };
    let port = port.into_string().unwrap().parse().unwrap();
    assert_eq!(predict(&model(port)).await.unwrap(), [[0.2, 0.3, 0.5]]);
    println!("answered over TLS");
}

fn probe(served: &Served, environment: &[(&str, &Path)]) -> (String, String) {
    let folder = served.folder.path();
    std::fs::write(folder.join("hub.token"), format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(folder.join("hub.token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let hub = format!("port = {}\npayload = \"tensor\"\ntls = true\nbearer_file = \"hub.token\"", served.port);
    check_probe(folder, &hub, environment)
}

#[tokio::test]
#[cfg_attr(not(has_program = "openssl"), ignore = "needs openssl: see CONTRIBUTING.md")]
async fn a_configured_hub_is_asked_by_https_with_its_token_once_its_certificate_is_known() {
    let mut served = Served::start();
    served.wait().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo/model.onnx");
    let mut stub = Scoring::new(StubModel::load(&file).unwrap(), vec![]).unwrap();
    let requests = served.answer(move |body| {
        let asked = HubRequest { method: "POST", path: "/invocations", content_type: Some("application/json"), body };
        match stub.reply(&asked) {
            Reply::Whole(answer) => String::from_utf8(answer.body).unwrap(),
            other => panic!("{other:?}"),
        }
    });
    let (line, said) = probe(&served, &[]);
    assert!(line.starts_with("PROBLEM") && line.contains("certificate"), "{said}");
    let certificate = served.folder.path().join("certificate.pem");
    let (line, said) = probe(&served, &[("SSL_CERT_FILE", &certificate)]);
    assert!(line.starts_with("ok") && line.contains("answers with 3 probabilities"), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
    drop(served);
    let requests = requests.join().unwrap();
    assert_eq!(requests.len(), 4, "three probes, and one question with them: {requests:?}");
    assert!(requests.iter().all(|head| head.contains(&format!("authorization: Bearer {TOKEN}\r\n"))), "{requests:?}");
}
