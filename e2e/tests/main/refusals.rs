//! Bad input of every kind is refused with its code; no process panics and nothing is stored.

use e2e::{Shop, in_the_shop};
use serde_json::{Value, json};

/// A version 7 UUID that no row has.
const NOBODY: &str = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";

/// The requests that need a body.
const BODIES: [&str; 9] = [
    "POST /v1/orders",
    "POST /v1/payments",
    "POST /v1/accounts/$CUSTOMER",
    "POST /v1/accounts/$CUSTOMER/deposit",
    "PUT /v1/products/$SKU",
    "POST /v1/products/$SKU/stock",
    "POST /v1/availability",
    "PUT /v1/warehouses/main",
    "PUT /v1/customers/$CUSTOMER/contact",
];

/// Sends each case (see `refusals.txt`), and reports all that were answered otherwise.
async fn all_refused(shop: &Shop, cases: &str) {
    let mug = shop.lists("29.99", 5).await;
    let customer = shop.welcomes("1.00").await;
    let cases = cases.replace("$ONE", r#""sku":"$SKU","quantity":1"#).replace("$SKU", &mug.sku);
    let cases = cases.replace("$CUSTOMER", &customer.id).replace("$NOBODY", NOBODY);
    let (mut looked, mut wrong) = (0, Vec::new());
    for case in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expected, request) = case.split_at(case.find(" /").unwrap());
        let mut words = expected.split_whitespace().map(ToOwned::to_owned);
        let (status, code) = (words.next().unwrap(), words.next().unwrap());
        let (status, method): (u16, _) = (status.parse().unwrap(), words.next().unwrap());
        let (path, body) = request.trim().split_once(' ').unwrap_or((request.trim(), ""));
        let mut ask = shop.ask(&method, path);
        if !body.is_empty() {
            ask = ask.raw(body);
        }
        let told = ask.await;
        let is_problem = told.header("content-type") == "application/problem+json"
            && told.body["status"] == status
            && told.body["type"] == format!("/problems/{code}")
            && told.body["trace_id"].is_string();
        if told.status != status || told.code() != code || !is_problem {
            wrong.push(format!("wanted {status} {code}: {told}"));
        }
        looked += 1;
    }
    assert!(wrong.is_empty(), "{} of {looked} are wrong\n{}", wrong.len(), wrong.join("\n"));
    let orders = shop.get(&format!("/v1/customers/{}/orders", customer.id)).await.with(200);
    assert_eq!(orders["items"], json!([]), "nothing of it was accepted");
}

#[test]
fn bad_input_of_every_kind_gets_its_code() {
    in_the_shop(async |shop| all_refused(shop, include_str!("refusals.txt")).await);
}

#[test]
fn what_is_no_json_or_no_object_is_refused() {
    in_the_shop(async |shop| {
        let mut cases = Vec::new();
        for request in BODIES {
            for body in
                ["{", "nonsense", r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, "{\"a\":NaN}"]
            {
                cases.push(format!("400 malformed_json {request} {body}"));
            }
            for body in ["[]", "null", "3", "\"text\""] {
                cases.push(format!("422 invalid_value {request} {body}"));
            }
        }
        all_refused(shop, &cases.join("\n")).await;
        let deep = "[".repeat(1000);
        shop.ask("POST", "/v1/orders").raw(deep).await.refused(400, "malformed_json");
        let not_utf8 = vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'];
        shop.ask("POST", "/v1/orders").raw(not_utf8).await.refused(400, "malformed_json");
    });
}

#[test]
fn more_than_the_limits_is_refused() {
    in_the_shop(async |shop| {
        let order = |note: &str, lines: usize| {
            let lines = vec!["{$ONE}"; lines].join(",");
            format!(
                r#"POST /v1/orders {{"customer_id":"$CUSTOMER","note":"{note}","items":[{lines}]}}"#
            )
        };
        let long = order(&"x".repeat(501), 1);
        let many = order("", 101);
        all_refused(shop, &format!("422 invalid_value {long}\n422 invalid_value {many}")).await;
    });
}

#[test]
fn methods_that_are_not_there_are_refused_with_those_that_are() {
    in_the_shop(async |shop| {
        for (method, path, allow) in [
            ("PATCH", "/v1/orders", "GET"),
            ("DELETE", "/v1/products", "GET"),
            ("PUT", "/v1/payments", "POST"),
        ] {
            let told = shop.ask(method, path).await;
            assert!(told.header("allow").contains(allow), "{told} {:?}", told.headers);
            told.refused(405, "method_not_allowed");
        }
    });
}

#[test]
fn bodies_and_headers_beyond_the_limits_are_refused() {
    in_the_shop(async |shop| {
        let post = || shop.ask("POST", "/v1/orders");
        let mug = shop.lists("1.00", 5).await;
        let wanted = shop.a_stranger().wants(1, &mug);

        post().raw(" ".repeat(70_000)).await.refused(413, "body_too_large");
        let plain = post().header("content-type", "text/plain").await;
        plain.refused(415, "unsupported_media_type");
        for key in ["", "with a space and \u{e4}", &"x".repeat(256)] {
            let told = shop.ordering(&wanted).header("idempotency-key", key).await;
            told.refused(400, "bad_header");
        }
        let nonsense = shop.ordering(&wanted).header("prefer", "wait=soon").await;
        assert_eq!(nonsense.header("preference-applied"), "");
        nonsense.with(201);
    });
}

#[test]
fn all_that_is_wrong_is_told_at_once_where_it_is() {
    in_the_shop(async |shop| {
        let body = json!({"items": [{"sku": "a b", "quantity": 0}], "colour": "red"});

        let problem = shop.post("/v1/orders", &body).await.with(422);

        let errors = problem["errors"].as_array().unwrap();
        let at: Vec<&Value> = errors.iter().map(|error| &error["pointer"]).collect();
        for pointer in ["/customer_id", "/items/0/sku", "/items/0/quantity", "/colour"] {
            assert!(at.contains(&&json!(pointer)), "{pointer} is not in {problem}");
        }
    });
}
