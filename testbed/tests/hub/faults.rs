//! Each fault is wrong in one way, for the requests that its rule names.

use sentinel_testbed::FaultRule;
use sentinel_testbed::hub::{Answer, Fault, FaultArg, HubRequest, Model, Reply, Scoring, fault_rules};
use serde_json::{Value, json};

use super::{ask, body, file, hub, invoke, predictions, probe, valid};

fn set_fault(hub: &mut Scoring, rule: &Value) -> Answer {
    let body = rule.to_string();
    let asked = HubRequest { method: "POST", path: "/testbed/fault", content_type: None, body: body.as_bytes() };
    let Reply::Whole(answer) = hub.reply(&asked) else { panic!("no answer") };
    answer
}

fn faulty(fault: &str) -> Answer {
    let mut hub = hub(&[&format!("{fault}@1")]);
    let answer = ask(&mut hub, &valid());
    assert_eq!(predictions(&ask(&mut hub, &valid())), [probe(0).1], "{fault} ends");
    answer
}

fn row(answer: &Answer) -> Vec<f64> {
    predictions(answer).remove(0)
}

#[test]
fn each_wrong_answer_is_wrong_in_one_way() {
    let right = probe(0).1;
    assert_eq!(predictions(&faulty("two-rows")), [right.clone(), right.clone()]);
    assert_eq!(body(&faulty("scalar"))["predictions"], right[0]);
    assert!(serde_json::from_slice::<Value>(&faulty("nan").body).is_err());
    assert_eq!(faulty("not-json").status, 200);
    assert!(faulty("not-json").body.starts_with(b"<!DOCTYPE html>"));

    let four = row(&faulty("four-classes"));
    assert_eq!((four.len(), &four[..2]), (4, &right[..2]));
    assert!((four.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    let sum = row(&faulty("sum"));
    assert!((sum.iter().sum::<f64>() - 2.75).abs() < 1e-12 && sum.iter().all(|x| (0.0..=1.0).contains(x)));
    let negative = row(&faulty("negative"));
    assert!(negative[0] == -0.1 && (negative.iter().sum::<f64>() - 1.0).abs() < 1e-12);

    let huge = faulty("huge");
    assert_eq!((huge.body.len(), predictions(&huge)), (2 * 1024 * 1024, vec![right]));
}

#[test]
fn an_error_has_the_status_that_was_asked_for() {
    let answer = faulty("error=503");
    assert_eq!((answer.status, body(&answer)["error_code"].as_str()), (503, Some("TEMPORARILY_UNAVAILABLE")));
    assert_eq!(faulty("error=504").body, b"Request processing time exceeded limit");
}

#[test]
fn what_concerns_the_connection_is_left_to_it() {
    let mut hub = hub(&["drop@1", "hang@2", "dribble=2s@3"]);
    let body = valid().to_string();
    assert_eq!(invoke(&mut hub, body.as_bytes()), Reply::Drop);
    assert_eq!(invoke(&mut hub, b"not even JSON"), Reply::Hang);
    let Reply::Dribble(answer, time) = invoke(&mut hub, body.as_bytes()) else { panic!("no dribble") };
    assert_eq!((predictions(&answer), time.as_secs()), (vec![probe(0).1], 2));
}

#[test]
fn faults_follow_each_other_and_a_bad_request_stays_one() {
    let mut hub = hub(&["none@1", "two-rows@2-3", "sum"]);
    assert_eq!(predictions(&ask(&mut hub, &valid())).len(), 1);
    assert_eq!(ask(&mut hub, &json!({ "inputs": [[1]] })).status, 400);
    assert_eq!(predictions(&ask(&mut hub, &valid())).len(), 2);
    for _ in 0..3 {
        assert!(row(&ask(&mut hub, &valid())).iter().sum::<f64>() > 2.7);
    }
}

#[test]
fn a_fault_can_be_changed_while_it_runs() {
    let mut hub = hub(&["drop"]);
    assert_eq!(set_fault(&mut hub, &json!({ "fault": "two-rows@1" })).status, 200);
    assert_eq!([(); 2].map(|()| predictions(&ask(&mut hub, &valid())).len()), [2, 1]);
    set_fault(&mut hub, &json!({ "fault": "two-rows" }));
    assert_eq!([(); 3].map(|()| predictions(&ask(&mut hub, &valid())).len()), [2, 2, 2]);
    set_fault(&mut hub, &json!({ "fault": "none" }));
    assert_eq!(predictions(&ask(&mut hub, &valid())).len(), 1);
    for wrong in [json!({ "fault": "angry" }), json!({ "faultt": "nan" }), json!({ "fault": "swap=/absent.onnx" })] {
        assert_eq!(set_fault(&mut hub, &wrong).status, 400, "{wrong}");
    }
    assert_eq!(predictions(&ask(&mut hub, &valid())), [probe(0).1]);
}

/// Each version that scripts may hold, and how many rows the next invocations have.
#[test]
fn the_earlier_path_and_fields_of_a_fault_are_still_taken() {
    let path = "/devnet/mood";
    for (body, rows) in [
        (r#"{"mood":"two-rows"}"#, [2, 2, 2]),
        (r#"{"mood":"two-rows","count":2}"#, [2, 2, 1]),
        (r#"{"fault":"two-rows","count":0}"#, [1, 1, 1]),
        (r#"{"fault":"two-rows@2"}"#, [1, 2, 1]),
    ] {
        let mut hub = hub(&["drop@2"]);
        ask(&mut hub, &valid());
        let asked = HubRequest { method: "POST", path, content_type: None, body: body.as_bytes() };
        assert!(matches!(hub.reply(&asked), Reply::Whole(answer) if answer.status == 200), "{body}");
        assert_eq!([(); 3].map(|()| predictions(&ask(&mut hub, &valid())).len()), rows, "{body}");
    }
    assert_eq!(set_fault(&mut hub(&[]), &json!({ "fault": "nan@1-3", "count": 2 })).status, 400);
}

#[test]
fn earlier_counted_rules_become_the_ranges_that_they_meant() {
    let rules = |texts: &[&str]| {
        let args: Vec<FaultArg> = texts.iter().map(|text| text.parse().unwrap()).collect();
        fault_rules(&args).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(rules(&["none*4", "nan"]), ["none@1-4", "nan"]);
    assert_eq!(rules(&["none*1", "two-rows*2", "nan*0", "sum*1"]), ["none@1", "two-rows@2-3", "sum@4"]);
    let last = u64::MAX;
    assert_eq!(
        rules(&["none*3", "swap=b*9", "nan*2"]),
        ["none@1-3".into(), format!("swap=b@4-{last}"), "nan@4-5".into()]
    );
    assert_eq!(rules(&["nan@3-5", "swap=a*b.onnx"]), ["nan@3-5", "swap=a*b.onnx"]);
    assert_eq!(rules(&["nan", "swap=b"]), ["nan", "swap=b"], "another model takes no invocation");
    for wrong in ["nan*", "nan*-1", "nan@1*2"] {
        assert!(wrong.parse::<FaultArg>().is_err(), "{wrong}");
    }
}

#[test]
fn a_swap_serves_another_model_from_then_on() {
    let good = |name: &str| file(&format!("tests/data/models/{name}.onnx"));
    let asked = json!({ "inputs": [[0.1, 0.2, 0.3]] });
    let [a, b] = ["good_a", "good_b"]
        .map(|name| predictions(&ask(&mut Scoring::new(Model::load(&good(name)).unwrap(), vec![]).unwrap(), &asked)));
    assert_ne!(a, b);
    let second = FaultRule { fault: Some(Fault::Swap(good("good_b"))), first: 2, last: 2 };
    let mut hub = Scoring::new(Model::load(&good("good_a")).unwrap(), vec![second]).unwrap();
    assert_eq!([(); 3].map(|()| predictions(&ask(&mut hub, &asked))), [a.clone(), b.clone(), b]);
    let swap = format!("swap={}", good("good_a").display());
    assert_eq!(set_fault(&mut hub, &json!({ "fault": swap })).status, 200);
    assert_eq!(predictions(&ask(&mut hub, &asked)), a);
}

#[test]
fn a_fault_that_cannot_be_meant_is_refused() {
    for wrong in ["", "error=200", "error=", "dribble=soon", "swap=", "nan=1"] {
        assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
    }
}
