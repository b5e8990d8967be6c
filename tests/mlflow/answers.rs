//! What the hub is asked, what it says, and what becomes of an answer that is none.

use sentinel::config::HubPayload;
use sentinel::models::mlflow::{MlflowModel, MlflowSettings};
use sentinel_actors::domain::prediction::{AnswerFault, Probabilities};
use sentinel_actors::ports::{Model, ModelError};
use serde_json::{Value, json};

use super::scripted::{Reply, Server, head, ok, status};
use super::{GOOD, LONG, frame, model, predict, settings};

async fn answer_to(body: &'static str) -> Result<Vec<Vec<f64>>, ModelError> {
    let server = Server::start(move |_| ok(body));
    predict(&model(server.port)).await
}

#[tokio::test]
async fn a_row_in_columns_is_asked_about_with_the_headers_that_the_server_wants() {
    let server = Server::start(|_| ok(GOOD));
    assert_eq!(predict(&model(server.port)).await.unwrap(), [[0.2, 0.3, 0.5]]);
    let request = server.requests().remove(0);
    let lines: Vec<_> = request.head.lines().collect();
    assert_eq!(lines[0], "POST /invocations HTTP/1.1");
    assert!(lines.contains(&"content-type: application/json"), "{lines:?}");
    assert!(lines.contains(&format!("host: 127.0.0.1:{}", server.port).as_str()), "{lines:?}");
    assert!(lines.contains(&concat!("user-agent: sentinel/", env!("CARGO_PKG_VERSION"))), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("authorization") || line.starts_with("cookie")), "{lines:?}");
    let expected = json!({ "dataframe_split": { "columns": ["rsi", "macd", "hour"], "data": [[1.0, 0.25, -3.0]] } });
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
}

#[tokio::test]
async fn a_row_in_two_blocks_is_asked_about_flat_and_nested() {
    let server = Server::start(|_| ok(GOOD));
    let model = MlflowModel::new(MlflowSettings { payload: HubPayload::TwoBlocks, ..settings(server.port) }).unwrap();
    assert_eq!(predict(&model).await.unwrap(), [[0.2, 0.3, 0.5]]);
    let body: Value = serde_json::from_slice(&server.requests()[0].body).unwrap();
    let split = &body["dataframe_split"];
    assert_eq!(split["columns"], json!(["X_tabular", "X_sequential"]));
    assert_eq!(split["data"][0][0], json!([1.0, 0.25, -3.0]));
    assert_eq!(split["data"][0][1], json!(vec![[1.0, 0.25, -3.0]; 60]));
}

#[tokio::test]
async fn a_frame_that_the_model_was_not_trained_on_is_not_sent() {
    let server = Server::start(|_| ok(GOOD));
    let model = model(server.port);
    let result = model.predict(&frame(f64::NAN), LONG).await;
    assert!(matches!(result, Err(ModelError::Invalid(_))), "{result:?}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn nan_arrives_at_the_check_that_has_a_reason_for_it() {
    let rows = answer_to(r#"{"predictions": [[NaN, NaN, NaN]]}"#).await.unwrap();
    let answer = sentinel_actors::domain::prediction::RawAnswer { rows };
    assert_eq!(Probabilities::check(&answer, 3), Err(AnswerFault::NotFinite(0)));
}

#[tokio::test]
async fn two_rows_and_too_few_classes_are_handed_on_as_they_are() {
    assert_eq!(answer_to(r#"{"predictions": [[0.2, 0.8], [0.5, 0.5]]}"#).await.unwrap(), [[0.2, 0.8], [0.5, 0.5]]);
}

#[tokio::test]
async fn what_is_no_answer_is_unparseable_with_a_reason() {
    for (body, reason) in [
        ("\n", "it is not JSON"),
        ("3.17.2", "it is not JSON"),
        ("<html>", "it is not JSON"),
        ("{}", "it has no 'predictions'"),
        (
            r#"{"predictions": [[0.8, 0.1, 0.1]], "predictions": [[0.1, 0.1, 0.8]]}"#,
            "it has the key 'predictions' twice in one object",
        ),
        (r#"{"predictions": [["0.2", "0.3", "0.5"]]}"#, "a text stands where numbers are due"),
        (r#"{"predictions": [{"up": 0.4, "down": 0.6}]}"#, "its columns down, up are not the classes SELL, HOLD, BUY"),
    ] {
        match answer_to(body).await {
            Err(ModelError::Unparseable(text)) => assert!(text.starts_with(reason), "{body}: {text}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_error_of_the_server_keeps_its_status_and_a_short_clean_text() {
    let long = format!("{{\"error_code\": \"BAD_REQUEST\", \"message\": \"a\u{7}\tb\nc {}\"}}", "ä".repeat(1000));
    let server = Server::start(move |request| match request.nth {
        0 => status("500 Internal Server Error", &long),
        1 => status("504 Gateway Timeout", "Request processing time exceeded limit"),
        2 => status("302 Found\r\nlocation: http://127.0.0.1:1/", ""),
        _ => status("204 No Content", ""),
    });
    let model = model(server.port);
    let error = |result: Result<Vec<Vec<f64>>, ModelError>| match result {
        Err(ModelError::Status { status, text }) => (status, text),
        other => panic!("{other:?}"),
    };
    let (code, text) = error(predict(&model).await);
    assert!(text.starts_with(r#"{"error_code": "BAD_REQUEST", "message": "a  b c ä"#), "{text}");
    assert_eq!((code, text.chars().count()), (500, 300));
    assert_eq!(error(predict(&model).await), (504, "Request processing time exceeded limit".to_owned()));
    assert_eq!(error(predict(&model).await), (302, String::new()), "no other address is asked");
    assert_eq!(error(predict(&model).await), (204, String::new()), "nothing is no answer");
}

/// A proxy answers in its own name, with a page for people.
#[tokio::test]
async fn a_page_of_a_proxy_is_its_status_and_a_short_clean_text() {
    const TITLES: [(u16, &str); 3] =
        [(401, "401 Authorization Required"), (403, "403 Forbidden"), (502, "502 Bad Gateway")];
    let page = |title: &str| {
        let padding = "<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n".repeat(6);
        format!("<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n</body>\r\n</html>\r\n{padding}")
    };
    let server = Server::start(move |request| {
        let (_, title) = TITLES[request.nth];
        let (page, kind) = (page(title), "content-type: text/html\r\nserver: nginx");
        let head = format!("HTTP/1.1 {title}\r\n{kind}\r\ncontent-length: {}\r\n\r\n", page.len());
        Reply::Send(format!("{head}{page}").into_bytes())
    });
    let model = model(server.port);
    for (status, title) in TITLES {
        match predict(&model).await {
            Err(ModelError::Status { status: code, text }) => {
                assert_eq!((code, text.chars().count()), (status, 300), "{text}");
                assert!(text.contains(title) && !text.contains(char::is_control), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let announced = Server::start(|_| Reply::Send(head("200 OK", (1 << 20) + 1).into_bytes()));
    let whole = format!(r#"{{"predictions": [[0.2, 0.3, 0.5]], "padding": "{}"}}"#, " ".repeat(2 << 20));
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{whole}\r\n0\r\n\r\n", whole.len());
    let unannounced = Server::start(move |_| Reply::Send(chunked.clone().into_bytes()));
    for port in [announced.port, unannounced.port] {
        let expected = ModelError::Unparseable("it is longer than 1048576 bytes".to_owned());
        assert_eq!(predict(&model(port)).await, Err(expected));
    }
}

/// Bodies that MLflow 3.17.2 sent, and what is in them.
#[tokio::test]
async fn what_a_real_server_sent_is_understood() {
    const NUMBERS: [f64; 3] = [0.09003057317038046, 0.24472847105479767, 0.6652409557748219];
    let all = vec![NUMBERS.to_vec()];
    let one = vec![vec![NUMBERS[2]]];
    for (body, expected) in [
        (r#"{"predictions": [[0.09003057317038046, 0.24472847105479767, 0.6652409557748219]]}"#, &all),
        (
            r#"{"predictions": {"probs": [[0.09003057317038046, 0.24472847105479767, 0.6652409557748219]], "model": "x"}}"#,
            &all,
        ),
        (r#"{"predictions": 0.6652409557748219}"#, &one),
        (r#"{"predictions": [0.6652409557748219]}"#, &one),
        (r#"{"predictions": [{"0": 0.6652409557748219}]}"#, &one),
    ] {
        assert_eq!(answer_to(body).await.as_ref(), Ok(expected), "{body}");
    }
}
