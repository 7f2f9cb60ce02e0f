//! The headers of requests and answers, and the parameters that all lists have.

use serde_json::{Value, json};

/// How many items a page has at most.
pub(super) struct Limit;

crate::inline_schema! { Limit => {"type": "integer", "minimum": 1, "maximum": 200, "default": 50} }

/// An instant, with any offset, as requests write it.
pub struct DateTime;

crate::inline_schema! { DateTime => {"type": "string", "format": "date-time"} }

/// The headers of requests that have a meaning: their name, what they are for, their schema.
fn requested() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "Idempotency-Key",
            "The same key with the same request gets the first answer again, for 24 hours.",
            json!({"type": "string", "pattern": "^[!-~]{1,255}$"}),
        ),
        (
            "If-Match",
            "Takes effect only if the resource still has this `ETag`; otherwise 412 `stale`.",
            json!({"type": "string"}),
        ),
        (
            "If-None-Match",
            "Answered with 304 while the resource still has this `ETag`.",
            json!({"type": "string"}),
        ),
        (
            "Prefer",
            "`wait=N`: the answer waits until there is an outcome, for N seconds at most (30). \
             What cannot be understood is ignored.",
            json!({"type": "string", "examples": ["wait=5"]}),
        ),
        (
            "Last-Event-ID",
            "The last event that was received: the stream goes on after it.",
            json!({"type": "string"}),
        ),
        (
            "Stripe-Signature",
            "Who says so, and when: Stripe signs its events.",
            json!({"type": "string"}),
        ),
    ]
}

/// The parameters of `components`: one for each header of a request.
pub(super) fn components() -> Value {
    let parameter = |(name, about, schema): (&'static str, &'static str, Value)| {
        let value = json!({"name": name, "in": "header", "description": about, "schema": schema});
        (name.to_owned(), value)
    };
    Value::Object(requested().into_iter().map(parameter).collect())
}

/// The headers of `components`: what comes with answers.
pub(super) fn headers() -> Value {
    let text = json!({"type": "string"});
    json!({
        "ETag": {
            "description": "Changes with any visible change.",
            "required": true,
            "schema": {"type": "string", "pattern": "^\"[0-9a-f]+\"$"},
        },
        "Location": {"description": "Where it is now.", "required": true, "schema": text},
        "Retry-After": {
            "description": "After how many seconds trying again makes sense.",
            "required": true,
            "schema": {"type": "integer", "minimum": 0},
        },
        "Idempotency-Replayed": {
            "description": "`true` when the answer is the one that was given before.",
            "schema": {"type": "string", "enum": ["true"]},
        },
        "Preference-Applied": {
            "description": "The preference that was followed: `wait=N`.",
            "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
        },
        "WWW-Authenticate": {
            "description": "How to authenticate.", "required": true, "schema": text,
        },
        "X-Request-Id": {
            "description": "The request's own, or one that was made for it.", "schema": text,
        },
        "traceresponse": {
            "description": "The trace that the request is part of (W3C).", "schema": text,
        },
    })
}

/// A reference to one of the headers of answers.
pub(super) fn header(name: &str) -> (String, Value) {
    (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}))
}
