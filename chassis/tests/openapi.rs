//! A body's schema is what its reader asks for.

use chassis::{
    Code,
    body::{self, Fields, Format},
};
use schemars::SchemaGenerator;
use serde_json::{Value, json};

fn payment(fields: &mut Fields<'_>) -> Option<()> {
    let words = Format::Words(&["card", "later"]);
    let is_later = !fields.has("method");
    let method = fields.optional_parsed_as("method", words, |word| match word {
        "card" | "later" => Ok(word.to_owned()),
        _ => Err((Code::UnknownPaymentMethod, "is not card or later".into())),
    });
    if is_later || method? == "later" {
        fields.absent("token");
    } else {
        fields.words("token", 20)?;
    }
    Some(())
}

fn learned(examples: &[Value], read: fn(&mut Fields<'_>) -> Option<()>) -> Value {
    body::record(examples, read).schema(&mut SchemaGenerator::default())
}

#[test]
fn what_differs_is_a_variant_told_by_its_word() {
    let card = json!({"method": "card", "token": "tok_visa"});
    let schema = learned(&[card, json!({"method": "later"}), json!({})], payment);

    let [card, later] = &schema["anyOf"].as_array().unwrap()[..] else { panic!("{schema}") };
    assert_eq!(card["required"], json!(["token", "method"]));
    assert_eq!(card["properties"]["method"], json!({"type": "string", "enum": ["card"]}));
    let token = json!({"type": "string", "minLength": 1, "maxLength": 20});
    assert_eq!(card["properties"]["token"], token);
    let words = json!([null, "later"]);
    assert_eq!(later["properties"]["method"], json!({"type": ["string", "null"], "enum": words}));
    assert_eq!(later["properties"]["token"], json!({"type": "null"}));
    assert_eq!(later["required"], Value::Null);
}

#[test]
fn limits_are_those_of_the_getters_and_nothing_else_is_known() {
    let schema = learned(&[json!({"items": [{"quantity": 2}]})], |fields| {
        let _note = fields.optional_text("note", 5);
        let items = fields.list("items", 3, |item| item.integer("quantity", 1..=9));
        items.map(|_| ())
    });

    let item = &schema["properties"]["items"];
    assert_eq!((&item["minItems"], &item["maxItems"]), (&json!(1), &json!(3)));
    let quantity = json!({"type": "integer", "minimum": 1, "maximum": 9});
    assert_eq!(item["items"]["properties"]["quantity"], quantity);
    assert_eq!(schema["required"], json!(["items"]));
    assert_eq!(schema["properties"]["note"]["type"], json!(["string", "null"]));
    assert_eq!(schema["additionalProperties"], json!(false));
}

#[test]
#[should_panic(expected = "an example is taken by its reader")]
fn an_example_that_is_refused_is_none() {
    learned(&[json!({"method": "shells"})], payment);
}

#[test]
fn what_does_not_go_with_the_others_may_be_null_and_nothing_else() {
    let taken = body::read(br#"{"method":"later","token":null}"#, payment);
    assert_eq!(taken.unwrap(), ());
    let refused = body::read(br#"{"method":"later","token":"t"}"#, payment).unwrap_err();
    assert_eq!(refused.code(), Code::UnknownField);
}
