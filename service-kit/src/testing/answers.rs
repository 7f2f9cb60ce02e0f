//! What the gateway expects of the services' answers: `proto/expectations/gateway.json`. Each
//! service shows that it answers so; the gateway's tests, that it can do with the samples.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::TestClient;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerExpectation {
    /// For people: what the gateway does with it.
    #[serde(rename = "why")]
    _why: String,
    of: Vec<String>,
    #[serde(default = "ok")]
    status: u16,
    /// A sample: an answer has to have its members, with values of the same kind.
    reads: Value,
}

fn ok() -> u16 {
    200
}

/// Asserts that `service` answers as the gateway expects; `order` is one of its orders.
pub async fn assert_answered(service: &str, client: &TestClient, order: &str) {
    // Something has to be in each of its lists.
    let pause = format!("/v1/lanes/{service}/pause");
    let paused = client.post(&pause, json!({"reason": "a test"})).await;
    assert_eq!(paused.status, 200);
    let all: BTreeMap<String, AnswerExpectation> =
        serde_json::from_str(include_str!("../../../proto/expectations/gateway.json"))
            .expect("the file is a list of expectations by request");
    let mut unmet = Vec::new();
    for (request, expected) in all.iter().filter(|(_, it)| it.of.iter().any(|of| of == service)) {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let path = path
            .replace("{service}", service)
            .replace("{order}", order)
            .replace("{customer}", "customer-456")
            .replace("{unknown}", "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f");
        let answer = client.ask(method, &path, &[], None).await;
        if answer.status != expected.status {
            unmet.push(format!("{request}: {}, and not {}", expected.status, answer.status));
        }
        compare(&expected.reads, &answer.body, request, &mut unmet);
    }
    assert!(unmet.is_empty(), "the gateway expects\n{}", unmet.join("\n"));
}

/// Notes where `told` lacks what `expected` has, or has it of another kind.
fn compare(expected: &Value, told: &Value, path: &str, unmet: &mut Vec<String>) {
    match (expected, told) {
        // What may be there or not.
        (Value::Null, _)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_)) => {}
        (Value::String(expected), Value::String(told)) => {
            let is_time = |text: &str| chassis::clock::parse(text).is_some();
            if is_time(expected) != is_time(told) {
                unmet.push(format!("{path}: like {expected}, and not {told}"));
            }
        }
        (Value::Array(expected), Value::Array(told)) => {
            if told.is_empty() && !expected.is_empty() {
                unmet.push(format!("{path}: an item at least"));
            }
            for item in told {
                let Some(first) = expected.first() else { break };
                compare(first, item, &format!("{path}[]"), unmet);
            }
        }
        (Value::Object(expected), Value::Object(told)) => {
            for (name, value) in expected {
                match told.get(name) {
                    Some(told) => compare(value, told, &format!("{path}.{name}"), unmet),
                    None => unmet.push(format!("{path}.{name}, which is missing")),
                }
            }
        }
        _ => unmet.push(format!("{path}: like {expected}, and not {told}")),
    }
}
