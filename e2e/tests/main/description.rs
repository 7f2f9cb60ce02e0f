//! What is said of the API to machines, tried on a running shop by schemathesis: in each of several
//! thousand answers, status, headers and body are as described; what is well-formed is taken, and
//! what is not is refused. By its own report, every operation is tried in every phase that applies
//! to it, and every link is followed.

mod report;

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

use e2e::{Shop, in_a_shop_to_break};
use proto::Role;
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use self::report::{Link, RunReport};

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/schemathesis");
/// The longest that a run takes on a busy machine. One that is not over by then has failed: what
/// is cut off has tried less than all.
const RUN_MAX: Duration = Duration::from_mins(10);
/// A run along links follows about half of them, as it ends where an answer differs from one that
/// was given before. So there is another one, as often as this.
const RUNS_MAX: u32 = 10;
/// Every check, unless an operation says otherwise, and what does not fit may be too large as well;
/// along the description's own links alone, since those that could be guessed are many, and would
/// be followed instead.
const SETTINGS: &str = "[checks]\nenabled = true\nnegative_data_rejection.expected-statuses = \
    [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]\n\n[phases.stateful]\nmax-steps = 15\n\n\
    [phases.stateful.generation]\nmax-examples = 30\n\n\
    [phases.stateful.inference]\nalgorithms = []\n\n";
/// How long a stream is read, which may never end.
const STREAM_SECONDS: u32 = 3;
/// What is linked with nothing that requests could make by themselves: a payment is of an order
/// that waits for it, and a bulk operation of keys that are parked.
const NOT_MADE: [&str; 2] = ["/v1/payments", "/v1/parked/bulk"];

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
        let tries = async |token: Option<&str>, phases: &str, seed: u32| {
            tries(shop, &settings, token, phases, seed).await
        };
        let staff = shop.token("ann", &[Role::Staff, Role::Operator]);
        let customer = shop.token("customer-456", &[Role::Customer]);

        // First, as the other phases pause consumers.
        let mut links = links(&described);
        for seed in 1..=RUNS_MAX {
            let followed = tries(Some(&staff), "stateful", seed).await.followed;
            links.retain(|link| !followed.contains(link));
            makes_room(shop).await;
            if links.is_empty() {
                break;
            }
        }
        assert!(links.is_empty(), "links that were not followed: {links:#?}");

        let run = tries(Some(&staff), "examples,coverage,fuzzing", 1).await;
        for phase in ["coverage", "fuzzing"] {
            run.has_tried(phase, operations(&described).map(|(name, ..)| name));
        }
        run.has_tried("examples", with_examples(&described));
        // To them, an operation answers with 401, 403, 404, or with less in it, whatever else the
        // request is: the examples show all that there is to describe. Who may call what is tried
        // with each role in access.rs.
        for token in [Some(&*customer), None] {
            let run = tries(token, "examples", 1).await;
            run.has_tried("examples", with_examples(&described));
        }
    });
}

/// Deletes all webhooks: a shop has a hundred at most, and then no more are made.
async fn makes_room(shop: &Shop) {
    let all = shop.get("/v1/webhooks?limit=200").await.with(200);
    for webhook in all["items"].as_array().unwrap() {
        let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
        shop.delete(&path).await.with(204);
    }
}

/// Every operation: its method and path, the path, and what is said of it.
fn operations(described: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
    described["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            (format!("{} {path}", method.to_uppercase()), path.as_str(), operation)
        })
    })
}

/// The operations that have examples for certain: every body has.
fn with_examples(described: &Value) -> impl Iterator<Item = String> {
    let with_body = operations(described).filter(|(.., it)| it.get("requestBody").is_some());
    with_body.map(|(name, ..)| name)
}

/// Every link between operations that requests can follow.
fn links(described: &Value) -> BTreeSet<Link> {
    let target = |id: &Value| {
        operations(described).find(|(.., it)| it["operationId"] == *id).map(|(name, ..)| name)
    };
    let made = operations(described).filter(|(_, path, _)| !is_not_made(path));
    made.flat_map(|(from, _, operation)| {
        let answers = operation["responses"].as_object().unwrap().values();
        let links = answers.filter_map(|answer| answer["links"].as_object()).flatten();
        links.map(move |(_, link)| (from.clone(), target(&link["operationId"]).unwrap()))
    })
    .collect()
}

fn is_not_made(path: &str) -> bool {
    NOT_MADE.iter().any(|start| path.starts_with(start))
}

/// What schemathesis is to expect of each operation: which statuses a request in the described form
/// may meet, besides success, what the client has already, and what it expects of every API, are
/// those of `x-refusals`; and what is cancelled, released or erased and not removed, as an answer
/// to its DELETE tells, is still there.
fn expectations(described: &Value) -> String {
    let problems = &described["components"]["examples"];
    let kept = operations(described)
        .filter(|(name, _, it)| name.starts_with("DELETE") && it["responses"].get("200").is_some());
    let kept: Vec<_> = kept.map(|(_, path, _)| path).collect();
    let mut settings = SETTINGS.to_owned();
    for (_, path, operation) in operations(described) {
        let mut statuses = ["2xx", "304", "401", "403", "404"].map(str::to_owned).to_vec();
        for code in operation["x-refusals"].as_array().unwrap() {
            statuses.push(problems[code.as_str().unwrap()]["value"]["status"].to_string());
        }
        let is_removed = !kept.iter().any(|kept| path.starts_with(kept));
        writeln!(
            settings,
            "[[operations]]\ninclude-operation-id = {}\n\
             checks.positive_data_acceptance.expected-statuses = {statuses:?}\n\
             checks.use_after_free.enabled = {is_removed}\n\
             phases.stateful.enabled = {}\n",
            operation["operationId"],
            !is_not_made(path),
        )
        .unwrap();
        if operation["responses"]["200"]["content"].get("text/event-stream").is_some() {
            writeln!(settings, "request-timeout = {STREAM_SECONDS}\n").unwrap();
        }
    }
    settings
}

/// Runs these phases to their end, as the caller of a token; returns what was tried.
async fn tries(
    shop: &Shop,
    settings: &Path,
    token: Option<&str>,
    phases: &str,
    seed: u32,
) -> RunReport {
    let report = settings.with_extension("ndjson");
    let mut run = tool("schemathesis");
    run.current_dir(settings.parent().unwrap()).arg("--config-file").arg(settings);
    run.args(["run", &format!("{}/openapi.json", shop.stack().gateway()), "--phases", phases]);
    run.args(["--seed", &seed.to_string(), "--max-examples", "5", "--no-color"]);
    run.args(["--generation-allow-x00", "false"]);
    run.args(["--report", "ndjson", "--report-ndjson-path"]).arg(&report);
    if let Some(token) = token {
        run.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    fits(&mut run).await;
    RunReport::read(&report)
}

/// A program that deploy/schemathesis/run installs.
fn tool(name: &str) -> Command {
    let mut run = Command::new(Path::new(TOOLS).join("run"));
    run.arg(name).kill_on_drop(true);
    run
}

async fn fits(run: &mut Command) {
    let told = timeout(RUN_MAX, run.output()).await.expect("the run ends in time").unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{out}\n{err}");
}
