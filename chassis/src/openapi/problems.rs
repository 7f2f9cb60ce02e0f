//! Problems in the description: their form, and who may meet which.

use proto::{Access, api::Route};
use serde_json::{Map, Value, json};

use super::{operation::ApiOperation, parameters::header};
use crate::problem::{Code, MEDIA_TYPE, Problem};

/// The schema of every problem.
pub(super) fn schema() -> Value {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "description": "Why a request was refused, or failed (RFC 9457).",
        "properties": {
            "type": {
                "type": "string", "format": "uri-reference",
                "description": "A page that says what the problem means, and what to do.",
            },
            "title": {"type": "string", "description": "The same for every problem of the code."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What is wrong, for people."},
            "instance": {"type": "string", "description": "The path of the request."},
            "code": {"type": "string", "enum": codes, "description": "By it, clients decide."},
            "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "errors": {
                "type": "array", "maxItems": crate::problem::FAULTS_MAX,
                "items": {"$ref": "#/components/schemas/FieldError"},
            },
            "errors_omitted": {
                "type": "integer", "minimum": 1,
                "description": "How many faults there are besides those in `errors`.",
            },
            "payment": {
                "$ref": "#/components/schemas/Payment",
                "description": "The payment that was declined.",
            },
            "prices": {
                "type": "array", "description": "The prices of today, where another was seen.",
                "items": {"type": "object", "properties": {
                    "sku": {"$ref": "#/components/schemas/Sku"},
                    "unit_price": {"$ref": "#/components/schemas/Money"},
                    "price": {"$ref": "#/components/schemas/Money"},
                }, "required": ["sku", "unit_price", "price"]},
            },
        },
        "required": ["type", "title", "status", "detail", "instance", "code", "trace_id"],
    })
}

/// The schema of what is wrong with one part of a body.
pub(super) fn field_error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "pointer": {"type": "string", "format": "json-pointer"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
        },
        "required": ["pointer", "code", "detail"],
    })
}

/// An example of each problem, by its code.
pub(super) fn examples() -> Value {
    let example = |code: &Code| {
        let mut value = json!(Problem::new(*code, code.title()));
        value["instance"] = json!("/v1/orders");
        value["trace_id"] = json!("4bf92f3577b34da6a3ce929d0e0e4736");
        (code.as_str().to_owned(), json!({"summary": code.title(), "value": value}))
    };
    Value::Object(Code::ALL.iter().map(example).collect())
}

/// The codes that an operation may be refused with: by the form of the request, by who calls, by
/// the state of things, or because the shop cannot answer now.
pub(super) fn codes(route: &Route, access: Access, operation: &ApiOperation) -> Vec<Code> {
    let mut codes = vec![
        Code::BadParameter,
        Code::Unauthenticated,
        Code::TokenExpired,
        Code::UriTooLong,
        Code::HeadersTooLarge,
        Code::RateLimited,
        Code::Internal,
        Code::Overloaded,
        Code::CircuitOpen,
    ];
    if access != Access::Open {
        codes.push(Code::Forbidden);
    }
    if route.path.contains('{') {
        codes.push(Code::NotFound);
    }
    if operation.headers.contains(&"Idempotency-Key") {
        codes.push(Code::BadHeader);
    }
    if operation.body.is_some() {
        codes.extend([
            Code::MalformedJson,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::UnknownField,
            Code::MissingField,
            Code::InvalidValue,
        ]);
    }
    codes.extend(refusals(operation));
    codes.sort_by_key(|code| Code::ALL.iter().position(|known| known == code));
    codes.dedup();
    codes
}

/// The codes that a request in the described form may meet.
pub(super) fn refusals(operation: &ApiOperation) -> Vec<Code> {
    let mut codes = operation.refusals.clone();
    if operation.headers.contains(&"Idempotency-Key") {
        codes.push(Code::IdempotencyKeyReused);
    }
    if let Some(body) = &operation.body {
        if body.recording.has_amount() {
            codes.extend([
                Code::AmountNotPositive,
                Code::TooManyDecimals,
                Code::UnknownCurrency,
                Code::InvalidValue,
            ]);
        }
        if body.recording.has_words() {
            codes.push(Code::CardNumberRefused);
        }
    }
    codes.sort_by_key(|code| Code::ALL.iter().position(|known| known == code));
    codes.dedup();
    codes
}

/// The answers that are problems, by their status. Many operations have the same, so they are among
/// the `shared` ones, by their codes.
pub(super) fn responses(codes: &[Code], shared: &mut Map<String, Value>) -> Map<String, Value> {
    let mut responses = Map::new();
    for code in codes {
        let status = code.status();
        let of_status: Vec<_> = codes.iter().filter(|it| it.status() == status).collect();
        let names: Vec<_> = of_status.iter().map(|it| it.as_str()).collect();
        let name = names.join(".");
        let target = json!({"$ref": format!("#/components/responses/{name}")});
        shared.entry(name).or_insert_with(|| response(&of_status));
        responses.insert(status.as_str().to_owned(), target);
    }
    responses
}

fn response(codes: &[&Code]) -> Value {
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let titles: Vec<_> = codes.iter().map(|code| code.title()).collect();
    let example = |name: &&str| {
        ((*name).to_owned(), json!({"$ref": format!("#/components/examples/{name}")}))
    };
    let mut response = json!({
        "description": format!("{}.", titles.join(", or ")),
        "content": {(MEDIA_TYPE.to_str().expect("it is plain text")): {
            "schema": {
                "allOf": [{"$ref": "#/components/schemas/Problem"}],
                "properties": {"code": {"enum": names}},
            },
            "examples": names.iter().map(example).collect::<Map<_, _>>(),
        }},
    });
    let with = match codes[0].status().as_u16() {
        401 => "WWW-Authenticate",
        429 | 503 => "Retry-After",
        _ => return response,
    };
    response["headers"] = Value::Object([header(with)].into_iter().collect());
    response
}
