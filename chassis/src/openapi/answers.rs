//! The answers of an operation that are no problems.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{
    operation::{ApiOperation, Content, Success},
    parameters::header,
};

pub(super) fn answer(
    operation: &ApiOperation,
    success: &Success,
    generator: &mut SchemaGenerator,
) -> Value {
    let mut headers: Map<_, _> = success
        .headers
        .iter()
        .copied()
        .chain(["X-Request-Id", "traceresponse"])
        .map(header)
        .collect();
    headers.extend(operation.headers.iter().filter_map(|name| match *name {
        "Idempotency-Key" => Some(header("Idempotency-Replayed")),
        "Prefer" => Some(header("Preference-Applied")),
        _ => None,
    }));
    let mut answer = json!({"description": success.about, "headers": headers});
    match &success.content {
        Content::Nothing => {}
        Content::View(schema, example) => {
            let content = json!({"schema": schema(generator), "example": example});
            answer["content"] = json!({ "application/json": content });
        }
        Content::List(schema, example) => {
            let schema = json!({
                "type": "object",
                "properties": {
                    "items": {"type": "array", "items": schema(generator)},
                    "next_cursor": {
                        "type": ["string", "null"],
                        "description": "Where the next page begins; only `null` ends a list.",
                    },
                },
                "required": ["items", "next_cursor"],
            });
            let example = json!({"items": [example], "next_cursor": null});
            answer["content"] = json!({"application/json": {"schema": schema, "example": example}});
        }
        Content::Events(example) => {
            // OpenAPI 3.1 has no word for the events of a stream: the schema is that of one.
            let text = json!({"type": "string"});
            let schema = json!({
                "type": "object", "required": ["event", "data"],
                "properties": {"event": text, "id": text, "data": text},
            });
            let content = json!({"schema": schema, "example": example});
            answer["content"] = json!({ "text/event-stream": content });
        }
    }
    answer
}

/// What can be done with that which an operation has made: whatever has its id in its path.
pub(super) fn links(operation: &ApiOperation, all: &[ApiOperation]) -> Map<String, Value> {
    let below = |it: &&ApiOperation| {
        it.path.strip_prefix(operation.path).is_some_and(|rest| rest.starts_with("/{"))
    };
    let link = |it: &ApiOperation| {
        let name = it.path[operation.path.len() + 2..].split('}').next().unwrap_or_default();
        let id = json!({name: "$response.body#/id"});
        (it.id.to_owned(), json!({"operationId": it.id, "parameters": id}))
    };
    all.iter().filter(below).map(link).collect()
}
