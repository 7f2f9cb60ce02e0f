//! Bodies are read strictly, and all faults of one are reported at once.

use chassis::{
    Code, Problem,
    body::{self, Amount, Fields},
};

fn order(fields: &mut Fields<'_>) -> Option<(String, i64)> {
    let customer = fields.text("customer_id", 64);
    let _note = fields.optional_text("note", 5);
    let items = fields.list("items", 100, |item| {
        let _sku = item.text("sku", 64);
        let _price = item.optional_amount("unit_price");
        item.integer("quantity", 1..=10_000)
    });
    Some((customer?.to_owned(), items?.iter().sum()))
}

fn refused(body: &str) -> Problem {
    body::read(body.as_bytes(), order).unwrap_err()
}

fn faults(body: &str) -> Vec<(String, Code)> {
    let problem = refused(body);
    problem.errors().iter().map(|entry| (entry.pointer.clone(), entry.code)).collect()
}

#[test]
fn a_good_body_is_read() {
    let body = r#" {"customer_id":"caf\u00e9-\ud83d\ude00","note":null,
        "items":[{"sku":"a","quantity":2,"unit_price":1e309},{"sku":"b","quantity":3}]} "#;

    let read = body::read(body.as_bytes(), order);

    assert_eq!(read.unwrap(), ("café-😀".to_owned(), 5));
}

#[test]
fn what_is_not_json_is_malformed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: &[&[u8]] = &[
        b"",
        b"{",
        b"{\"a\":NaN}",
        b"{\"a\":01}",
        b"{\"a\":1.}",
        b"{\"a\":+1}",
        b"{\"a\":1}x",
        b"{\"a\":1,}",
        b"{\"a\" 1}",
        b"{'a':1}",
        b"{\"a\":\"\\u12\"}",
        b"{\"a\":\"line\nbreak\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":tru}",
        // A duplicate, at any depth and however it is spelt.
        b"{\"a\":1,\"a\":1}",
        b"{\"b\":[{\"a\":1,\"\\u0061\":2}]}",
        deep.as_bytes(),
    ];

    for bytes in bodies.iter().copied() {
        let problem = body::parse(bytes).unwrap_err();
        assert_eq!(problem.code(), Code::MalformedJson, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn duplicates_are_found_in_large_objects_too() {
    let mut members: Vec<String> = (0..5_000).map(|n| format!("\"m{n}\":{n}")).collect();
    assert!(body::parse(format!("{{{}}}", members.join(",")).as_bytes()).is_ok());

    members.push("\"m17\":0".to_owned());

    let problem = body::parse(format!("{{{}}}", members.join(",")).as_bytes()).unwrap_err();
    assert_eq!(problem.code(), Code::MalformedJson);
}

#[test]
fn a_body_that_is_no_object_is_invalid() {
    for body in ["[]", "1", "\"text\"", "null", "true"] {
        assert_eq!(refused(body).code(), Code::InvalidValue, "{body}");
    }
}

#[test]
fn every_fault_is_told_with_its_place_and_the_first_decides() {
    let body = r#"{"note":"too long","colour":"red",
        "items":[{"sku":"a","quantity":0},7,{"quantity":1.5,"x/y~z":1}]}"#;

    assert_eq!(
        faults(body),
        [
            ("/customer_id".to_owned(), Code::MissingField),
            ("/note".to_owned(), Code::InvalidValue),
            ("/items/0/quantity".to_owned(), Code::InvalidValue),
            ("/items/1".to_owned(), Code::InvalidValue),
            ("/items/2/sku".to_owned(), Code::MissingField),
            ("/items/2/quantity".to_owned(), Code::InvalidValue),
            ("/items/2/x~1y~0z".to_owned(), Code::UnknownField),
            ("/colour".to_owned(), Code::UnknownField),
        ]
    );
    assert_eq!(refused(body).code(), Code::MissingField);
    assert_eq!(refused(body).detail(), "customer_id: is missing");
}

#[test]
fn twenty_faults_are_told_and_the_others_counted() {
    let unknown: Vec<String> = (0..8_000).map(|n| format!("\"{n}\":0")).collect();
    let body = format!("{{\"customer_id\":\"c\",\"items\":[{{{}}}]}}", unknown.join(","));

    let problem = refused(&body);

    assert_eq!(problem.errors().len(), 20);
    let (_, told) = problem.to_parts();
    let json: serde_json::Value = serde_json::from_slice(&told).unwrap();
    // Two of the faults are the members that the item must have and lacks.
    assert_eq!(json["errors_omitted"], 8_002 - 20);
    assert!(told.len() < body.len(), "an answer of {} bytes", told.len());
    assert!(refused("{}").to_parts().1.windows(7).all(|part| part != b"omitted"));
}

#[test]
fn bounds_are_counted_in_characters() {
    let noted = |note: &str| {
        let items = r#"[{"sku":"a","quantity":1}]"#;
        let body = format!(r#"{{"customer_id":"c","note":"{note}","items":{items}}}"#);
        body::read(body.as_bytes(), order).is_ok()
    };

    assert!(noted(&"é".repeat(5)) && noted(&"😀".repeat(5)));
    assert!(!noted(&"é".repeat(6)));
}

#[test]
fn nul_and_wrong_kinds_are_invalid() {
    let good = r#""items":[{"sku":"a","quantity":1}]"#;
    for wrong in [
        r#""a\u0000b""#,
        r#""\ud800""#,
        r#""\udc00\ud800x""#,
        r#""\ud800\n""#,
        "7",
        "{}",
        "[]",
        "true",
        r#""""#,
    ] {
        let body = format!("{{\"customer_id\":{wrong},{good}}}");
        assert_eq!(faults(&body), [("/customer_id".to_owned(), Code::InvalidValue)], "{wrong}");
    }
    for wrong in ["\"1\"", "1e0", "1.0", "-1", "10001", "99999999999999999999", "1e309", "null"] {
        let body =
            format!("{{\"customer_id\":\"c\",\"items\":[{{\"sku\":\"a\",\"quantity\":{wrong}}}]}}");
        let code = if wrong == "null" { Code::MissingField } else { Code::InvalidValue };
        assert_eq!(faults(&body), [("/items/0/quantity".to_owned(), code)], "{wrong}");
    }
}

#[test]
fn lists_have_limits() {
    let many = vec![r#"{"sku":"a","quantity":1}"#; 101].join(",");
    for items in ["[]".to_owned(), format!("[{many}]"), "{}".to_owned()] {
        let body = format!("{{\"customer_id\":\"c\",\"items\":{items}}}");
        assert_eq!(faults(&body), [("/items".to_owned(), Code::InvalidValue)]);
    }
}

#[test]
fn money_is_its_text() {
    let amount = |json: &str| {
        let body = format!("{{\"amount\":{json}}}");
        body::read(body.as_bytes(), |fields| fields.amount("amount"))
    };
    let money = |text: &str, currency: Option<&str>| Amount {
        text: text.to_owned(),
        currency: currency.map(ToOwned::to_owned),
    };

    assert_eq!(amount("0.1").unwrap(), money("0.1", None));
    assert_eq!(amount("59.980").unwrap(), money("59.980", None));
    assert_eq!(amount("9007199254740993.01").unwrap(), money("9007199254740993.01", None));
    assert_eq!(amount("1e2").unwrap(), money("1e2", None));
    assert_eq!(amount("\"59.98\"").unwrap(), money("59.98", None));
    assert_eq!(amount(r#"{"amount":"5","currency":"EUR"}"#).unwrap(), money("5", Some("EUR")));
    assert_eq!(amount(r#"{"amount":5.00}"#).unwrap(), money("5.00", None));
    let pointer = |json| amount(json).unwrap_err().errors()[0].pointer.clone();
    assert_eq!(pointer(r#"{"currency":"EUR"}"#), "/amount/amount");
    assert_eq!(pointer(r#"{"amount":"5","unit":"EUR"}"#), "/amount/unit");
    assert_eq!(pointer("true"), "/amount");
}

#[test]
fn other_kinds_of_fields_are_read() {
    let body = br#"{"on":true,"data":{"name":"Ann","city":"Rome"},"inner":{"n":4}}"#;

    let read = body::read(body, |fields| {
        let on = fields.optional_flag("on");
        let data = fields.texts("data", 200);
        let inner = fields.object("inner", |inner| inner.optional_integer("n", 0..=9));
        let parsed =
            fields.optional_parsed("kind", |_| Err::<(), _>((Code::UnknownTemplate, "".into())));
        assert_eq!(parsed, None);
        Some((on?, data?.len(), inner?))
    });

    assert_eq!(read.unwrap(), (true, 2, 4));
}

#[test]
fn a_field_can_be_refused_by_what_it_means() {
    let refused = body::read(br#"{"currency":"XXX"}"#, |fields| {
        fields.parsed("currency", |_| Err::<(), _>((Code::UnknownCurrency, "is not known".into())))
    });

    assert_eq!(refused.unwrap_err().code(), Code::UnknownCurrency);
}

#[test]
fn canonical_bodies_ignore_order_and_spaces_only() {
    let canonical = |body: &str| body::parse(body.as_bytes()).unwrap().canonical();

    assert_eq!(
        canonical(r#"{"b":[1, null],"a":"\u0041"}"#),
        canonical(r#"{ "a":"A","b":[1,null] }"#)
    );
    assert_ne!(canonical(r#"{"a":1}"#), canonical(r#"{"a":1.0}"#));
    assert_eq!(canonical(r#"{"a":"\"\u0007"}"#), br#"{"a":"\"\u0007"}"#);
}

/// A card number is refused in what people write, in whatever member, and nothing of it is repeated.
/// An id may look like one.
#[test]
fn a_card_number_in_what_people_write_is_refused_and_not_repeated() {
    let read = |body: &str| {
        body::read(body.as_bytes(), |fields| {
            let (words, more) = (fields.words("words", 200), fields.optional_words("more", 200));
            let id = fields.text("id", 200).map(str::len);
            let data = fields.texts("data", 200).map(|data| data.len());
            Some((words?.len(), more.map(str::len), id?, data?))
        })
    };

    let fine = read(r#"{"words":"a","id":"4012888888881881","data":{"b":"c"}}"#);
    assert_eq!(fine.unwrap(), (1, None, 16, 1));
    let number = "it is 4012 8888 8888 1881!";
    for (words, more, data, pointer) in
        [(number, "", "", "/words"), ("a", number, "", "/more"), ("a", "", number, "/data/b")]
    {
        let body =
            format!(r#"{{"words":"{words}","more":"{more}","id":"1","data":{{"b":"{data}"}}}}"#);
        let problem = read(&body).unwrap_err();
        let told = String::from_utf8(problem.to_parts().1).unwrap();
        assert_eq!(problem.code(), Code::CardNumberRefused, "{body}");
        assert_eq!(problem.errors()[0].pointer, pointer);
        assert!(!told.contains("8888"), "{told}");
    }
}
