//! What is said of the API to machines, tried on a running shop by schemathesis: in every answer of
//! thousands, status, headers and body are as described; what is well-formed is taken, and what is
//! not is refused.

use std::{fmt::Write as _, fs, path::Path};

use e2e::{Shop, in_a_shop_to_break};
use proto::Role;
use serde_json::{Value, json};
use tokio::process::Command;

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/schemathesis");
/// The longest run on a busy machine.
const SECONDS_MAX: &str = "110";

#[test]
fn the_shop_answers_as_it_is_described() {
    in_a_shop_to_break(async |shop| {
        // What the examples are about is there.
        for sku in ["product-123", "product-456"] {
            let (path, mug) =
                (format!("/v1/products/{sku}"), json!({"name": "Mug", "price": "29.99"}));
            shop.put(&path, &mug).await.with(201);
            let received = json!({"warehouse": "main", "delta": 100_000});
            shop.post(&format!("{path}/stock"), &received).await.with(200);
        }
        let described = shop.get("/openapi.json").as_stranger().await.with(200);
        let settings = shop.home().log("schemathesis").with_extension("toml");
        fs::write(&settings, expectations(&described)).unwrap();
        let examples = Path::new(TOOLS).join("examples.py");
        fits(tool("python").arg(examples).arg(format!("{TOOLS}/../../docs/openapi.json"))).await;
        let staff = shop.token("ann", &[Role::Staff, Role::Operator]);
        let customer = shop.token("customer-456", &[Role::Customer]);

        let all = ["--phases", "examples,coverage,fuzzing,stateful", "--max-time", SECONDS_MAX];
        tries(shop, &settings, Some(&staff), &all).await;
        for token in [Some(&*customer), None] {
            tries(shop, &settings, token, &["--phases", "examples"]).await;
        }
    });
}

/// Which statuses a request in the described form may meet, as schemathesis is told: besides success,
/// what the client has already, and what it expects of every API, those of the operation's
/// `x-refusals`.
fn expectations(described: &Value) -> String {
    let problems = &described["components"]["examples"];
    let mut settings = String::new();
    for operation in described["paths"].as_object().unwrap().values().flat_map(methods) {
        let mut statuses = ["2xx", "304", "401", "403", "404"].map(str::to_owned).to_vec();
        for code in operation["x-refusals"].as_array().unwrap() {
            statuses.push(problems[code.as_str().unwrap()]["value"]["status"].to_string());
        }
        writeln!(
            settings,
            "[[operations]]\ninclude-operation-id = {}\n\
             checks.positive_data_acceptance.expected-statuses = {statuses:?}\n",
            operation["operationId"],
        )
        .unwrap();
    }
    settings
}

fn methods(path: &Value) -> impl Iterator<Item = &Value> {
    path.as_object().unwrap().values()
}

async fn tries(shop: &Shop, settings: &Path, token: Option<&str>, more: &[&str]) {
    let mut run = tool("schemathesis");
    run.current_dir(settings.parent().unwrap()).arg("--config-file").arg(settings);
    run.args(["run", &format!("{}/openapi.json", shop.stack().gateway())]);
    run.args(["--checks", "all", "--seed", "1", "--generation-deterministic", "--no-color"]);
    run.args(["--max-examples", "5", "--generation-allow-x00", "false"]);
    run.args(more);
    if let Some(token) = token {
        run.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    fits(&mut run).await;
}

/// A program that deploy/schemathesis/run installs.
fn tool(name: &str) -> Command {
    let mut run = Command::new(Path::new(TOOLS).join("run"));
    run.arg(name);
    run
}

async fn fits(run: &mut Command) {
    let told = run.output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{out}\n{err}");
}
