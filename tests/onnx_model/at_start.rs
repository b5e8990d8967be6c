//! What is refused when a model is loaded, and what the refusal says.

use sentinel_actors::error_chain::chain;

use super::*;

#[tokio::test]
async fn a_good_model_is_loaded_and_answers_as_its_manifest_says() {
    let files = Files::with("good_a");
    let model = files.load().unwrap();
    let manifest = model.manifest().unwrap();
    for probe in &manifest.probe {
        for (have, want) in answer(&model, &probe.row).await.iter().zip(&probe.expected) {
            assert!((have - want).abs() < 1e-5, "{have} is not {want}");
        }
    }
    let identity = model.validate(DEADLINE).await.unwrap();
    assert_eq!((identity.id.as_str(), identity.hash), ("model.onnx", manifest.sha256));
}

#[test]
fn a_missing_model_file_is_named_with_what_to_do() {
    let files = Files::with("good_a");
    fs::remove_file(files.model()).unwrap();
    let (error, text) = files.refusal();
    assert!(matches!(error, OnnxError::Unreadable { .. }));
    assert!(text.contains("model.onnx cannot be read: check that it exists"), "{text}");
}

#[test]
fn a_missing_manifest_is_named_with_what_to_do() {
    let files = Files::with("good_a");
    fs::remove_file(files.manifest()).unwrap();
    let (_, text) = files.refusal();
    assert!(text.contains("model.json is missing: write it beside the model with tools/export-model"), "{text}");
}

#[test]
fn a_model_that_is_not_the_one_in_the_manifest_is_refused_with_both_hashes() {
    let files = Files::with("good_a");
    replace(&files.model(), &onnx_bytes("good_b"));
    let (error, text) = files.refusal();
    let OnnxError::Hash { have, want, .. } = error else { panic!("{text}") };
    assert!(have != want && text.contains(&have) && text.contains(&want), "{text}");
    assert!(text.contains("export model and manifest again together"), "{text}");
}

#[test]
fn a_file_that_is_no_onnx_model_is_refused() {
    let manifest = serde_json::from_slice(&fs::read(fixtures().join("good_a.json")).unwrap()).unwrap();
    for bytes in [&b"\xff\xfe\xfd\xfc not a model"[..], b"", b"<html>404</html>"] {
        let files = Files::with("good_a");
        files.put_bytes(bytes, &manifest);
        let (error, text) = files.refusal();
        assert!(matches!(fault_of(error), Fault::NotOnnx(_) | Fault::Empty), "{text}");
        assert!(text.contains("not an ONNX file") && text.contains("tools/export-model"), "{text}");
    }
}

#[test]
fn a_truncated_model_is_refused_wherever_it_is_cut() {
    let bytes = onnx_bytes("good_a");
    let manifest = serde_json::from_slice(&fs::read(fixtures().join("good_a.json")).unwrap()).unwrap();
    let files = Files::with("good_a");
    for length in 0..bytes.len() {
        files.put_bytes(&bytes[..length], &manifest);
        // The manifest has the hash of the cut file here, so that only its content can be refused.
        match files.load() {
            Err(error) => {
                let text = text_of(&error);
                assert!(text.contains("export it"), "cut at {length}: {text}");
            }
            // What the file ends with is no part of the graph.
            Ok(_) => assert!(length * 10 > bytes.len() * 9, "cut at {length} of {} and loaded", bytes.len()),
        }
    }
}

#[test]
fn an_operator_that_the_node_cannot_run_is_refused_by_name_with_the_way_out() {
    for (fixture, name) in [("tree", "ai.onnx.ml.TreeEnsembleClassifier"), ("hardmax", "Hardmax")] {
        let (error, text) = Files::with(fixture).refusal();
        assert!(matches!(fault_of(error), Fault::Operator { operator } if operator == name), "{text}");
        let way_out = "serve it with MLflow (HUB) or export it with tools/export-model";
        assert!(text.contains(&format!("the operator {name}")) && text.contains(way_out), "{text}");
    }
}

#[test]
fn a_model_with_other_inputs_or_outputs_is_refused_with_what_it_has() {
    for (fixture, wrong, remedy) in [
        ("wide", "takes 4 columns, the feature set has 3", "configure the features that it was trained on"),
        ("two_classes", "the answer has 2 classes, not 3", "check the training data and the classes"),
        ("two_inputs", "has 2 inputs, one is needed", "export it with one input"),
        ("double", "input is DOUBLE", "export it with a float32 input"),
    ] {
        let (_, text) = Files::with(fixture).refusal();
        assert!(text.contains(wrong) && text.contains(remedy), "{fixture}: {text}");
    }
}

#[test]
fn a_model_that_answers_nan_is_refused() {
    let (error, text) = Files::with("nan").refusal();
    assert!(matches!(fault_of(error), Fault::Implausible { reason: AnswerFault::NotFinite(_), .. }), "{text}");
    assert!(text.contains("is not a finite number: check the training data"), "{text}");
}

#[test]
fn a_model_whose_answers_are_no_probabilities_is_refused() {
    let (error, text) = Files::with("no_softmax").refusal();
    assert!(matches!(fault_of(error), Fault::Implausible { reason: AnswerFault::Range { .. }, .. }), "{text}");
}

#[test]
fn a_model_that_answers_the_same_to_every_row_is_refused() {
    let files = Files::with("constant");
    files.edit_manifest(|manifest| {
        for probe in manifest["probe"].as_array_mut().unwrap() {
            probe["expected"] = json!([1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
        }
    });
    let (error, text) = files.refusal();
    assert!(matches!(fault_of(error), Fault::Constant), "{text}");
    assert!(text.contains("same answer to every probe row") && text.contains("train it again"), "{text}");
}

#[test]
fn a_model_that_answers_otherwise_than_on_the_exporting_side_is_refused() {
    let files = Files::with("good_a");
    files.edit_manifest(|manifest| {
        let answer = &mut manifest["probe"][2]["expected"];
        *answer = json!([answer[1], answer[0], answer[2]]);
    });
    let (error, text) = files.refusal();
    assert!(matches!(fault_of(error), Fault::Parity { probe: 2, output: 0, .. }), "{text}");
    assert!(text.contains("probe row 2") && text.contains("export it again"), "{text}");
}

#[test]
fn a_manifest_that_does_not_fit_is_refused_by_field_with_what_to_do() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str, &str); 15] = [
        (|m| m["schema"] = json!(2), "field 'schema' is 2", "export the model again"),
        (|m| m["sha256"] = json!("ABC"), "field 'sha256'", "export the model again"),
        (|m| m["features"]["set"] = json!("fx23"), "field 'features.set' is 'fx23'", "configure the pipeline"),
        (|m| m["features"]["window"] = json!(120), "field 'features.window' is 120", "configure the pipeline"),
        (
            |m| m["features"]["made_from"] = json!("1m"),
            "field 'features.made_from' says that its bars were made from 1m, the pipeline's are as delivered",
            "configure the pipeline",
        ),
        (|m| m["features"]["columns"] = json!(["a"]), "field 'features.columns' has 1", "configure the pipeline"),
        (
            |m| m["features"]["columns"][1] = json!("feature_2"),
            "field 'features.columns[1]' is 'feature_2', the set has 'feature_1'",
            "configure the pipeline",
        ),
        (
            |m| m["classes"] = json!(["BUY", "HOLD", "SELL"]),
            "field 'classes' is [BUY, HOLD, SELL]",
            "in the same order",
        ),
        (|m| m["probe"] = json!([]), "field 'probe' has 0 rows", "export the model again"),
        (|m| m["probe"][1]["row"] = json!([1.0]), "field 'probe[1].row' has 1 values", "export the model again"),
        (|m| m["probe"][2] = m["probe"][0].clone(), "field 'probe[2].row' repeats", "export the model again"),
        (|m| m["probe"][0]["expected"] = json!([0.9, 0.9, 0.9]), "field 'probe[0].expected'", "export the model again"),
        (|m| m["out_of_sample"]["accuracy"] = json!(51), "field 'out_of_sample.accuracy'", "export the model again"),
        (
            |m| m["out_of_sample"]["from"] = m["trained"]["from"].clone(),
            "field 'out_of_sample.from' is not after trained.to",
            "export the model again",
        ),
        (|m| m["wndow"] = json!(200), "unknown field `wndow`", "correct the field"),
    ];
    for (edit, wrong, remedy) in cases {
        let files = Files::with("good_a");
        files.edit_manifest(edit);
        let (error, text) = files.refusal();
        assert!(matches!(error, OnnxError::Manifest(_)), "{text}");
        assert!(text.contains(wrong) && text.contains(remedy), "'{wrong}' or '{remedy}' not in: {text}");
    }
}

#[tokio::test]
async fn a_frame_of_another_feature_set_is_not_asked() {
    let model = Files::with("good_a").load().unwrap();
    let mut other = frame(&[0.0; 3]);
    other.set.window = 21;
    for frame in [other, frame(&[0.0; 4])] {
        let asked = model.predict(&frame, Duration::from_secs(1)).await;
        assert!(matches!(asked, Err(ModelError::Invalid(_))), "{asked:?}");
    }
}

#[tokio::test]
async fn a_nan_in_the_answer_passes_through_and_the_domain_refuses_it() {
    let model = Files::with("root").load().unwrap();
    let answer = model.predict(&frame(&[-1.0, 0.0, 0.0]), Duration::from_secs(1)).await.unwrap();
    assert!(matches!(Probabilities::check(&answer, 3), Err(AnswerFault::NotFinite(_))), "{answer:?}");
}

#[test]
fn a_regression_is_a_model_for_its_own_horizon_and_job_only() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo/btcusd.onnx");
    let set = SetInfo::find("btc9").unwrap();
    let load = |output: Output| {
        let features = FeatureSetId { name: "btc9".to_owned(), window: 200, made_from: None };
        let expected = Expected {
            features,
            columns: set.columns.iter().map(ToString::to_string).collect(),
            output,
            samples: Vec::new(),
        };
        OnnxModel::load(&path, expected, OnnxEngine::new(), Arc::new(NoFaults)).map(drop).map_err(|error| chain(&error))
    };
    let hours = |hours: u64| Output::Value { horizon: Duration::from_secs(hours * 3600) };
    assert_eq!(load(hours(168)), Ok(()));
    let other = load(hours(24)).unwrap_err();
    assert!(other.contains("'horizon_s' is 604800, the pipeline's horizon has 86400"), "{other}");
    let order = load(Output::Classes(vec!["SELL".to_owned(), "BUY".to_owned()])).unwrap_err();
    assert!(order.contains("it is a regression, and the pipeline's job needs classes"), "{order}");
}
