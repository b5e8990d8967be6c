//! What may happen to a connection, and the deadline that holds whatever happens.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use sentinel::models::mlflow::{HubAddress, MlflowModel, MlflowSettings};
use sentinel_actors::ports::{Model, ModelError, elapsed_now};

use super::scripted::{Reply, Server, head, ok};
use super::{GOOD, LONG, frame, model, predict, settings};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_connection_is_kept_over_many_calls() {
    let server = Server::start(|_| ok(GOOD));
    let model = model(server.port);
    for _ in 0..20 {
        predict(&model).await.unwrap();
    }
    assert_eq!((server.connections(), model.connects(), model.retries()), (1, 1, 0));
}

#[tokio::test]
async fn a_call_that_dies_with_a_kept_connection_is_made_once_more_on_a_new_one() {
    // The server ends its second call, on whatever connection, without an answer.
    let server = Server::start(|request| if request.nth == 1 { Reply::Close(vec![]) } else { ok(GOOD) });
    let model = model(server.port);
    predict(&model).await.unwrap();
    assert_eq!(predict(&model).await.unwrap(), [[0.2, 0.3, 0.5]]);
    let requests = server.requests();
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!((connections, model.retries()), (vec![0, 0, 1], 1));
    assert_eq!(requests[1].body, requests[2].body);
}

#[tokio::test]
async fn a_call_is_made_twice_at_most() {
    let server = Server::start(|request| if request.nth == 0 { ok(GOOD) } else { Reply::Close(vec![]) });
    let model = model(server.port);
    predict(&model).await.unwrap();
    let result = predict(&model).await;
    assert!(matches!(result, Err(ModelError::Unavailable(_))), "{result:?}");
    assert_eq!((server.requests().len(), model.retries()), (3, 1));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_has_closed_costs_no_call() {
    // Without announcing it: this is what uvicorn does to an idle connection.
    let answer = format!("{}{GOOD}", head("200 OK", GOOD.len()));
    let server = Server::start(move |_| Reply::Close(answer.clone().into_bytes()));
    let model = model(server.port);
    for _ in 0..5 {
        predict(&model).await.unwrap();
    }
    assert_eq!((server.connections(), server.requests().len()), (5, 5));
}

#[tokio::test]
async fn a_server_that_closes_a_new_connection_is_not_asked_again() {
    let server = Server::start(|_| Reply::Close(vec![]));
    let model = model(server.port);
    let result = predict(&model).await;
    assert!(matches!(result, Err(ModelError::Unavailable(_))), "{result:?}");
    assert_eq!((server.requests().len(), model.retries()), (1, 0));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    let server = Server::start(|_| Reply::Close(format!("{}{}", head("200 OK", 100), &GOOD[..10]).into_bytes()));
    let result = predict(&model(server.port)).await;
    assert!(matches!(result, Err(ModelError::Unavailable(_))), "{result:?}");
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_unavailable_with_the_cause() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let closed = model(port);
    match predict(&closed).await {
        Err(ModelError::Unavailable(text)) => assert!(text.contains("refused"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((closed.connects(), closed.retries()), (0, 0));
    // RFC 6761: this name never resolves.
    let address = HubAddress { tls: false, host: "hub.invalid".into(), port };
    let nameless = MlflowModel::new(MlflowSettings { address, ..settings(port) }).unwrap();
    match predict(&nameless).await {
        Err(ModelError::Unavailable(text)) => assert!(text.contains("dns error"), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// A server with one of the ways to say nothing in time.
fn slow(how: &str) -> Server {
    let (head, body) = (head("200 OK", GOOD.len()).into_bytes(), GOOD.as_bytes().to_vec());
    let pause = Duration::from_millis(100);
    match how {
        "says nothing" => Server::start(|_| Reply::Hang),
        "dribbles its head" => Server::start(move |_| Reply::Dribble(vec![], head.clone(), pause)),
        "dribbles its body" => Server::start(move |_| Reply::Dribble(head.clone(), body.clone(), pause)),
        "dribbles an error" => {
            let head = super::scripted::head("500 Internal Server Error", GOOD.len()).into_bytes();
            Server::start(move |_| Reply::Dribble(head.clone(), body.clone(), pause))
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn no_server_holds_a_call_longer_than_its_deadline() {
    for how in ["says nothing", "dribbles its head", "dribbles its body", "dribbles an error"] {
        let server = slow(how);
        let model = MlflowModel::new(MlflowSettings { deadline: SHORT, ..settings(server.port) }).unwrap();
        let began = elapsed_now();
        assert_eq!(predict(&model).await, Err(ModelError::Timeout(SHORT)), "{how}");
        let took = began.elapsed();
        assert!(took >= SHORT && took < 10 * SHORT, "{how}: {took:?}");
        assert_eq!((server.requests().len(), model.retries()), (1, 0), "{how}: a timeout is not repeated");
    }
}

#[tokio::test]
async fn a_shorter_deadline_of_the_caller_counts_also_for_all_probes_together() {
    let server = Server::start(|request| {
        let answer = format!("{}{GOOD}", head("200 OK", GOOD.len()));
        match request.nth {
            0 | 1 => Reply::Send(answer.into_bytes()),
            _ => Reply::Hang,
        }
    });
    let model = model(server.port);
    let deadline = Duration::from_secs(1);
    let began = elapsed_now();
    assert_eq!(model.validate(deadline).await, Err(ModelError::Timeout(deadline)));
    assert_eq!(model.predict(&frame(1.0), deadline).await, Err(ModelError::Timeout(deadline)));
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    assert_eq!(server.requests().len(), 4);
}
