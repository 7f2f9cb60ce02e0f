//! Bad input of every kind gets its code; nothing panics and nothing is kept.

use e2e::{Shop, in_the_shop};
use serde_json::{Value, json};

/// Method, path, body, status, code.
type Case<'a> = (&'a str, &'a str, &'a str, u16, &'a str);

/// Sends each, and tells all that was answered otherwise. `$SKU`, `$CUSTOMER` stand for what there is.
async fn all_refused(shop: &Shop, cases: &[Case<'_>]) {
    let mug = shop.lists("29.99", 5).await;
    let customer = shop.welcomes("1.00").await;
    let fill = |text: &str| text.replace("$SKU", &mug.sku).replace("$CUSTOMER", &customer.id);
    let mut wrong = Vec::new();
    for (method, path, body, status, code) in cases {
        let mut ask = shop.ask(method, &fill(path));
        if !body.is_empty() {
            ask = ask.raw(fill(body));
        }
        let told = ask.await;
        let is_problem = told.header("content-type") == "application/problem+json"
            && told.body["status"] == *status
            && told.body["type"] == format!("/problems/{code}")
            && told.body["trace_id"].is_string();
        if told.status != *status || told.code() != *code || !is_problem {
            wrong.push(format!("wanted {status} {code}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let orders = shop.get(&format!("/v1/customers/{}/orders", customer.id)).await.with(200);
    assert_eq!(orders["items"], json!([]), "nothing of it was accepted");
}

/// An order's body around its items.
macro_rules! order {
    ($items:literal $($more:literal)?) => {
        concat!(r#"{"customer_id":"$CUSTOMER","items":["#, $items, "]", $($more,)? "}")
    };
}

#[test]
fn what_is_no_json_or_no_object_is_refused() {
    in_the_shop(async |shop| {
        let mut cases: Vec<Case<'_>> = Vec::new();
        for (method, path) in [
            ("POST", "/v1/orders"),
            ("POST", "/v1/payments"),
            ("POST", "/v1/accounts/$CUSTOMER"),
            ("POST", "/v1/accounts/$CUSTOMER/deposit"),
            ("PUT", "/v1/products/$SKU"),
            ("POST", "/v1/products/$SKU/stock"),
            ("POST", "/v1/availability"),
            ("PUT", "/v1/warehouses/main"),
            ("PUT", "/v1/customers/$CUSTOMER/contact"),
        ] {
            cases.extend([
                (method, path, "{", 400, "malformed_json"),
                (method, path, "nonsense", 400, "malformed_json"),
                (method, path, r#"{"a":1,"a":2}"#, 400, "malformed_json"),
                (method, path, r#"{"a":{"b":1,"b":1}}"#, 400, "malformed_json"),
                (method, path, r#"{"a":1} x"#, 400, "malformed_json"),
                (method, path, r#"{"a":NaN}"#, 400, "malformed_json"),
                (method, path, "[]", 422, "invalid_value"),
                (method, path, "null", 422, "invalid_value"),
                (method, path, "3", 422, "invalid_value"),
            ]);
        }
        all_refused(shop, &cases).await;
        let deep = "[".repeat(1000);
        shop.ask("POST", "/v1/orders").raw(deep).await.refused(400, "malformed_json");
        let not_utf8 = vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'];
        shop.ask("POST", "/v1/orders").raw(not_utf8).await.refused(400, "malformed_json");
    });
}

#[test]
fn orders_that_are_not_as_they_should_be_are_refused() {
    in_the_shop(async |shop| {
        let long = "x".repeat(501);
        let note = format!(
            r#"{{"customer_id":"$CUSTOMER","note":"{long}","items":[{{"sku":"$SKU","quantity":1}}]}}"#
        );
        let lines = vec![r#"{"sku":"$SKU","quantity":1}"#; 101].join(",");
        let lines = format!(r#"{{"customer_id":"$CUSTOMER","items":[{lines}]}}"#);
        let place = |body, status, code| ("POST", "/v1/orders", body, status, code);
        all_refused(shop, &[
            place(order!(r#"{"sku":"$SKU","quantity":1}"# r#","colour":"red""#), 422, "unknown_field"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"colour":"red"}"#), 422, "unknown_field"),
            place(r#"{"items":[{"sku":"$SKU","quantity":1}]}"#, 422, "missing_field"),
            place(r#"{"customer_id":"$CUSTOMER"}"#, 422, "missing_field"),
            place(order!(r#"{"sku":"$SKU"}"#), 422, "missing_field"),
            place(order!(r#"{"quantity":1}"#), 422, "missing_field"),
            place(order!(""), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":0}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":-1}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":10001}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":1.5}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":"1"}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"a b","quantity":1}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"","quantity":1}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"a\u0000","quantity":1}"#), 422, "invalid_value"),
            place(r#"{"customer_id":"c d","items":[{"sku":"$SKU","quantity":1}]}"#, 422, "invalid_value"),
            place(&note, 422, "invalid_value"),
            place(&lines, 422, "invalid_value"),
            place(order!(r#"{"sku":"nothing-of-ours","quantity":1}"#), 422, "unknown_product"),
            place(order!(r#"{"sku":"$SKU","quantity":1},{"sku":"$SKU","quantity":2}"#), 422, "duplicate_line"),
            place(order!(r#"{"sku":"$SKU","quantity":1},{"product_id":"$SKU","quantity":2}"#), 422, "duplicate_line"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":"0.01"}"#), 409, "price_changed"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":"29.990"}"#), 422, "too_many_decimals"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":"0.00"}"#), 422, "amount_not_positive"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":"-1.00"}"#), 422, "amount_not_positive"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":"1e1"}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":1e1}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":"10000000.00"}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":1,"unit_price":{"amount":"29.99","currency":"EUR"}}"#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":6}"#), 409, "insufficient_inventory"),
            place(order!(r#"{"sku":"$SKU","quantity":1}"# r#","currency":"XXQ""#), 422, "unknown_currency"),
            place(order!(r#"{"sku":"$SKU","quantity":1}"# r#","currency":"EUR""#), 422, "invalid_value"),
            place(order!(r#"{"sku":"$SKU","quantity":1}"# r#","payment":{"method":"barter"}"#), 422, "unknown_payment_method"),
            place(order!(r#"{"sku":"$SKU","quantity":1}"# r#","payment":{"method":"card"}"#), 422, "missing_field"),
            place(order!(r#"{"sku":"$SKU","quantity":1}"# r#","payment":{"method":"card","token":"4111111111111111"}"#), 422, "card_number_refused"),
        ]).await;
    });
}

#[test]
fn money_and_stock_that_are_not_as_they_should_be_are_refused() {
    in_the_shop(async |shop| {
        let deposit =
            |body, status, code| ("POST", "/v1/accounts/$CUSTOMER/deposit", body, status, code);
        let product = |body, status, code| ("PUT", "/v1/products/$SKU", body, status, code);
        let stock = |body, status, code| ("POST", "/v1/products/$SKU/stock", body, status, code);
        let nobody = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";
        let unknown = format!(r#"{{"order_id":"{nobody}","payment_method":{{"type":"wallet"}}}}"#);
        let barter = format!(r#"{{"order_id":"{nobody}","payment_method":{{"type":"barter"}}}}"#);
        let hold = format!(r#"{{"order_id":"{nobody}","amount":"1.01"}}"#);
        let release = format!(r#"{{"order_id":"{nobody}"}}"#);
        all_refused(
            shop,
            &[
                deposit(r#"{"amount":"0.00"}"#, 422, "amount_not_positive"),
                deposit(r#"{"amount":"-5.00"}"#, 422, "amount_not_positive"),
                deposit(r#"{"amount":0}"#, 422, "amount_not_positive"),
                deposit(r#"{"amount":"1e3"}"#, 422, "invalid_value"),
                deposit(r#"{"amount":1E3}"#, 422, "invalid_value"),
                deposit(r#"{"amount":"1.001"}"#, 422, "too_many_decimals"),
                deposit(r#"{"amount":1.000}"#, 422, "too_many_decimals"),
                deposit(r#"{"amount":"a lot"}"#, 422, "invalid_value"),
                deposit(r#"{"amount":"10000000.00"}"#, 422, "invalid_value"),
                deposit(r#"{"amount":{"amount":"1.00","currency":"EUR"}}"#, 422, "invalid_value"),
                deposit("{}", 422, "missing_field"),
                deposit(r#"{"amount":"1.00","for":"me"}"#, 422, "unknown_field"),
                (
                    "POST",
                    "/v1/accounts/nobody-at-all/deposit",
                    r#"{"amount":"1.00"}"#,
                    404,
                    "not_found",
                ),
                ("POST", "/v1/accounts/$CUSTOMER", r#"{"currency":"USD"}"#, 409, "account_exists"),
                (
                    "POST",
                    "/v1/accounts/somebody-new",
                    r#"{"currency":"XXQ"}"#,
                    422,
                    "unknown_currency",
                ),
                ("POST", "/v1/accounts/$CUSTOMER/hold", &hold, 409, "insufficient_funds"),
                ("POST", "/v1/accounts/$CUSTOMER/release", &release, 404, "not_found"),
                ("GET", "/v1/accounts/nobody-at-all", "", 404, "not_found"),
                ("POST", "/v1/payments", &unknown, 404, "not_found"),
                ("POST", "/v1/payments", &barter, 422, "unknown_payment_method"),
                (
                    "POST",
                    "/v1/payments",
                    r#"{"payment_method":{"type":"wallet"}}"#,
                    422,
                    "missing_field",
                ),
                ("GET", "/v1/payments/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f", "", 404, "not_found"),
                product(
                    r#"{"name":"Mug","price":{"amount":"-1.00","currency":"USD"}}"#,
                    422,
                    "amount_not_positive",
                ),
                product(
                    r#"{"name":"Mug","price":{"amount":"1.001","currency":"USD"}}"#,
                    422,
                    "too_many_decimals",
                ),
                product(
                    r#"{"name":"Mug","price":{"amount":"1.00","currency":"XXQ"}}"#,
                    422,
                    "unknown_currency",
                ),
                product(r#"{"name":"Mug"}"#, 422, "missing_field"),
                stock(r#"{"warehouse":"moon","delta":1,"reason":"x"}"#, 422, "invalid_value"),
                stock(r#"{"warehouse":"main","delta":"1","reason":"x"}"#, 422, "invalid_value"),
                stock(r#"{"warehouse":"main","reason":"x"}"#, 422, "missing_field"),
                ("GET", "/v1/products/nothing-of-ours", "", 404, "not_found"),
                ("GET", "/v1/products/nothing-of-ours/stock", "", 404, "not_found"),
                (
                    "POST",
                    "/v1/products/nothing-of-ours/stock",
                    r#"{"warehouse":"main","delta":1,"reason":"x"}"#,
                    404,
                    "not_found",
                ),
                (
                    "GET",
                    "/v1/notifications/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f",
                    "",
                    404,
                    "not_found",
                ),
                (
                    "GET",
                    "/v1/reservations/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f",
                    "",
                    404,
                    "not_found",
                ),
            ],
        )
        .await;
    });
}

#[test]
fn paths_parameters_and_methods_that_are_not_there_are_refused() {
    in_the_shop(async |shop| {
        let mut cases: Vec<Case<'_>> = Vec::new();
        for id in [
            "/v1/orders/not-an-id",
            "/v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f",
            "/v1/orders/01932C1E-5A4B-7C3D-8E2F-1A2B3C4D5E6F",
            "/v1/orders/01932c1e-5a4b-4c3d-8e2f-1a2b3c4d5e6f",
            "/v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f/saga",
            "/v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f/events",
            "/v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f/status",
            "/v1/nothing",
            "/nothing",
            "/v2/orders",
        ] {
            cases.push(("GET", id, "", 404, "not_found"));
        }
        cases.push((
            "DELETE",
            "/v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f",
            "",
            404,
            "not_found",
        ));
        for list in ["/v1/orders", "/v1/products", "/v1/customers/$CUSTOMER/orders"] {
            for (query, code) in [
                ("limit=0", "bad_parameter"),
                ("limit=201", "bad_parameter"),
                ("limit=many", "bad_parameter"),
                ("colour=red", "bad_parameter"),
                ("cursor=nonsense", "bad_cursor"),
            ] {
                let path = format!("{list}?{query}");
                cases.push(("GET", path.leak(), "", 400, code));
            }
        }
        cases.push(("GET", "/v1/orders?status=lost", "", 400, "bad_parameter"));
        cases.push(("GET", "/v1/orders?created_from=yesterday", "", 400, "bad_parameter"));
        all_refused(shop, &cases).await;
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
fn a_card_number_is_repeated_and_logged_nowhere() {
    in_the_shop(async |shop| {
        let number = "5555555555554444";
        let mug = shop.lists("1.00", 5).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
        let method =
            json!({"type": "credit_card", "card_number": number, "expiry": "12/29", "cvv": "123"});

        let refused = [
            shop.paying(&order, &method).await,
            shop.paying(&order, &json!({"type": "card", "token": number})).await,
            shop.ordering(&shop.a_stranger().wants(1, &mug).by_card(number)).await,
            shop.ordering(&shop.a_stranger().wants(1, &mug).with("note", json!(number))).await,
        ];

        for told in refused {
            assert!(!told.text.contains(number), "{told}");
            told.refused(422, "card_number_refused");
        }
        for process in ["gateway", "order-svc", "payment-svc", "simulator"] {
            assert!(!shop.log(process).contains(number), "{process}");
        }
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
