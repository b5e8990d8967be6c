//! A vendor that cannot be reached, or is not the one that its certificate should prove.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::support::*;

/// How the first slot of a node ends.
fn first_row(base_url: &str) -> Row {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let keys = "made_from = \"native\"\nend = \"2017-06-14T01:00:00Z\"\n[pipeline.deadlines]\nfetch = \"3s\"";
    let text = order_pipeline("eurusd", base_url, keys, "kind = \"eodhd\"", &demo("model.onnx"));
    run(&config(&text, dir.path()), &clock);
    let mut rows = rows(dir.path(), "eurusd");
    assert_eq!(rows.len(), 1);
    let row = rows.remove(0);
    assert!(!row.detail.contains(KEY), "{row:#?}");
    row
}

#[test]
fn a_name_that_nobody_knows_and_a_port_that_nobody_listens_on_are_reasons() {
    for base_url in ["https://vendor.invalid", "http://127.0.0.1:9"] {
        let row = first_row(base_url);
        assert!(["source_failed", "source_timeout"].contains(&row.reason.as_str()), "{row:#?}");
        assert_eq!(row.decided, None);
    }
}

fn openssl(folder: &Path) -> Command {
    let program = std::env::var_os("SENTINEL_OPENSSL").unwrap_or_else(|| "openssl".into());
    let mut command = Command::new(program);
    command.current_dir(folder).stderr(Stdio::null());
    command
}

/// Ends its process when it goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[cfg_attr(not(has_program = "openssl"), ignore = "needs openssl: see CONTRIBUTING.md")]
fn a_vendor_with_a_certificate_of_its_own_gets_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let made = openssl(folder.path())
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=vendor", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .status();
    assert!(made.unwrap().success());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let output = std::fs::File::create(folder.path().join("output.txt")).unwrap();
    let child = openssl(folder.path())
        .args(["s_server", "-quiet", "-cert", "certificate.pem", "-key", "key.pem"])
        .args(["-accept", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()
        .unwrap();
    let _server = Server(child);
    let began = sentinel_actors::ports::elapsed_now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(began.elapsed().as_secs() < 20, "openssl does not listen");
        std::thread::yield_now();
    }
    let row = first_row(&format!("https://127.0.0.1:{port}"));
    assert_eq!(row.reason, "source_failed", "{row:#?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("output.txt")).unwrap(), "", "nothing was sent to it");
}
