//! What a hub asks for is sent to it and nowhere else.

use sentinel::http::{Access, Headers, Secret};
use sentinel::models::mlflow::{HubAddress, MlflowModel, MlflowSettings};
use sentinel_actors::ports::Model;

use super::scripted::{Reply, Server, head, status};
use super::{LONG, Log, predict, settings};

const TOKEN: &str = "dapi-0123456789abcdef";
const PASSWORD: &str = "open sesame";

fn bearer() -> Access {
    Access::Bearer(Secret::new(TOKEN.to_owned()))
}

fn basic() -> Access {
    Access::Basic { user: "Aladdin".to_owned(), password: Secret::new(PASSWORD.to_owned()) }
}

#[tokio::test]
async fn a_secret_is_in_every_request_and_in_no_text_even_when_echoed() {
    for (access, header, secrets) in [
        (bearer(), format!("authorization: Bearer {TOKEN}"), [TOKEN, "0123456789"]),
        (basic(), "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned(), [PASSWORD, "QWxhZGRpbjpvcGVu"]),
    ] {
        let (log, _guard) = Log::capture();
        let echo =
            |request: &super::scripted::Request| status("401 Unauthorized", &format!("{PASSWORD} {}", request.head));
        let server = Server::start(echo);
        let settings = MlflowSettings { access, ..settings(server.port) };
        let mut texts = format!("{settings:?}");
        let model = MlflowModel::new(settings).unwrap();
        for _ in 0..5 {
            let error = predict(&model).await.unwrap_err();
            texts += &format!("{error} {error:?}");
        }
        let error = model.validate(LONG).await.unwrap_err();
        texts += &format!("{error} {error:?}");
        texts += &log.text();
        assert!(texts.contains("401") && texts.contains("hub_circuit_opened") && texts.contains("***"), "{texts}");
        assert!(!secrets.iter().any(|secret| texts.contains(secret)), "{texts}");
        let requests = server.requests();
        assert_eq!(requests.len(), 5);
        assert!(requests.iter().all(|request| request.head.lines().any(|line| line == header)));
    }
}

/// What a proxy is told may be a secret, alone or around the token.
#[tokio::test]
async fn extra_headers_are_in_every_request_and_their_values_in_no_text() {
    const KEY: &str = "canary-5f1e77";
    let (log, _guard) = Log::capture();
    let server = Server::start(|request| status("401 Unauthorized", &request.head));
    let headers = Headers::parse(&format!("X-Api-Key: {KEY}\nx-session: {TOKEN}-{KEY}\n")).unwrap();
    let settings = MlflowSettings { access: bearer(), headers, ..settings(server.port) };
    let mut texts = format!("{settings:?}");
    let model = MlflowModel::new(settings).unwrap();
    for _ in 0..5 {
        let error = predict(&model).await.unwrap_err();
        texts += &format!("{error} {error:?}");
    }
    texts += &log.text();
    assert!(texts.contains("hub_circuit_opened") && texts.contains("x-api-key: ***"), "{texts}");
    assert!(!["canary", "5f1e77", "0123456789"].iter().any(|part| texts.contains(part)), "{texts}");
    for request in server.requests() {
        let expected = [
            format!("x-api-key: {KEY}"),
            format!("x-session: {TOKEN}-{KEY}"),
            format!("authorization: Bearer {TOKEN}"),
            "content-type: application/json".to_owned(),
        ];
        assert!(expected.iter().all(|line| request.head.lines().any(|sent| sent == line)), "{}", request.head);
    }
}

#[tokio::test]
async fn a_secret_is_in_no_text_of_a_server_that_is_not_there() {
    let address = HubAddress { tls: false, host: "127.0.0.1".into(), port: 1 };
    let model = MlflowModel::new(MlflowSettings { address, access: bearer(), ..settings(1) }).unwrap();
    let error = predict(&model).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("0123456789"), "{error:?}");
}

#[tokio::test]
async fn a_secret_in_an_address_that_a_server_names_is_in_no_text() {
    let server = Server::start(|_| status("502 Bad Gateway", "no answer of http://me:s3same@back/?api_token=0therkey"));
    let error = predict(&MlflowModel::new(settings(server.port)).unwrap()).await.unwrap_err().to_string();
    assert!(error.ends_with("no answer of http://***@back/?api_token=***"), "{error}");
}

#[tokio::test]
async fn an_error_that_breaks_off_within_a_secret_shows_no_part_of_it() {
    let part = &TOKEN[..12];
    let server =
        Server::start(move |_| Reply::Close(format!("{}not {part}", head("401 Unauthorized", 100)).into_bytes()));
    let model = MlflowModel::new(MlflowSettings { access: bearer(), ..settings(server.port) }).unwrap();
    let error = predict(&model).await.unwrap_err().to_string();
    assert!(error.ends_with("not ***"), "{error}");
}
