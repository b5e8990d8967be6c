//! HTTPS: certificates are checked against the system's store, and nothing is sent before they are.
//!
//! The checks that need a server with a certificate make both with the `openssl` program, or the one that `SENTINEL_OPENSSL`
//! names.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sentinel::models::mlflow::{HubAddress, MlflowModel, MlflowSettings};
use sentinel_actors::ports::{ModelError, elapsed_now};

use super::{GOOD, LONG, predict, settings};

/// Names the port that the copy of this program asks.
const PORT: &str = "SENTINEL_TEST_TLS_PORT";

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

    /// Waits for a whole request and answers it by hand: openssl joins its own streams with the connection. Ends with
    /// less when the server is ended before.
    fn answer(&mut self) -> thread::JoinHandle<String> {
        let (mut output, mut input) = (self.child.stdout.take().unwrap(), self.child.stdin.take().unwrap());
        thread::spawn(move || {
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"]]}}") && output.read_exact(&mut byte).is_ok() {
                request.push(byte[0]);
            }
            let answer = format!("{}{GOOD}", super::scripted::head("200 OK", GOOD.len()));
            let _ = input.write_all(answer.as_bytes());
            let _ = output.read_to_end(&mut Vec::new()); // keeps both streams open until the server is ended
            String::from_utf8(request).unwrap()
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    let request = served.answer();
    let copy = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::the_copy_asks_over_tls", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", served.folder.path().join("certificate.pem"))
        .env(PORT, served.port.to_string())
        .output()
        .unwrap();
    drop(served);
    let text = String::from_utf8([copy.stdout, copy.stderr].concat()).unwrap();
    assert!(copy.status.success() && text.contains("answered over TLS"), "{text}");
    let request = request.join().unwrap();
    assert!(request.starts_with("POST /invocations HTTP/1.1"), "{request}");
}

#[tokio::test]
#[ignore = "the other process of the test before"]
async fn the_copy_asks_over_tls() {
    let Some(port) = std::env::var_os(PORT) else { return };
    let port = port.into_string().unwrap().parse().unwrap();
    assert_eq!(predict(&model(port)).await.unwrap(), [[0.2, 0.3, 0.5]]);
    println!("answered over TLS");
}
