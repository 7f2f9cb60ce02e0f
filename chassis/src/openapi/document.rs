//! The whole description, from what services say about their operations.

use proto::{
    Access, Role, Roles,
    api::{ROUTES, Route},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    answers::{answer, links},
    operation::{ApiOperation, Parameter, RequestBody},
    parameters, problems,
};
use crate::problem::Code;

const ABOUT: &str = "An order system: orders, payments, stock, notifications, and what operators \
    need. Answers may have members that are not described here yet: clients ignore them. Requests \
    may not: what is unknown in one is refused. `null` counts as left out.";

/// What operations share.
struct Parts<'a> {
    operations: &'a [ApiOperation],
    generator: SchemaGenerator,
    problems: Map<String, Value>,
}

/// The description of the API.
///
/// # Errors
///
/// What is described and not served, served and not described, or described twice.
pub fn document(operations: &[ApiOperation]) -> Result<Value, Vec<String>> {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let generator = settings.into_generator();
    let mut parts = Parts { operations, generator, problems: Map::new() };
    let (mut paths, mut wrong) = (Map::new(), Vec::new());
    for route in ROUTES {
        let mut item = Map::new();
        for (method, access) in route.methods {
            let of: Vec<_> = operations
                .iter()
                .filter(|it| it.path == route.path && it.method == *method)
                .collect();
            let [operation] = of[..] else {
                wrong.push(format!("{method} {} is described {} times", route.path, of.len()));
                continue;
            };
            wrong.extend(misnamed(route, operation));
            let described = describe(route, *access, operation, &mut parts);
            item.insert(method.to_lowercase(), described);
        }
        paths.insert(route.path.to_owned(), Value::Object(item));
    }
    let is_served = |it: &&ApiOperation| {
        ROUTES.iter().any(|route| route.path == it.path && route.access(it.method).is_some())
    };
    let unserved = operations.iter().filter(|it| !is_served(it));
    wrong.extend(unserved.map(|it| format!("{} {} is not served", it.method, it.path)));
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut schemas: Map<_, _> = parts.generator.take_definitions(true).into_iter().collect();
    schemas.insert("Problem".to_owned(), problems::schema());
    schemas.insert("FieldError".to_owned(), problems::field_error());
    Ok(named(json!({
        "openapi": "3.1.0",
        "info": {"title": "Shop", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": parts.problems,
            "parameters": parameters::components(),
            "headers": parameters::headers(),
            "examples": problems::examples(),
            "securitySchemes": {"bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "Claims: `sub`, `roles`, `exp`, `aud`. `shop token` prints one.",
            }},
        },
    })))
}

/// Names of the path that are not described, and those that are and are not in it.
fn misnamed(route: &Route, operation: &ApiOperation) -> Vec<String> {
    let of = |it: &&Parameter| it.place == "path";
    let mut described: Vec<_> =
        operation.parameters.iter().filter(of).map(|it| format!("{{{}}}", it.name)).collect();
    let mut named: Vec<_> = route.path.split('/').filter(|part| part.starts_with('{')).collect();
    described.sort_unstable();
    named.sort_unstable();
    if described == named {
        return Vec::new();
    }
    vec![format!("{} has {named:?}, described are {described:?}", operation.path)]
}

fn describe(
    route: &Route,
    access: Access,
    operation: &ApiOperation,
    Parts { operations, generator, problems: shared }: &mut Parts<'_>,
) -> Value {
    let codes = problems::codes(route, access, operation);
    let mut responses = problems::responses(&codes, shared);
    for success in &operation.successes {
        let mut answer = answer(operation, success, generator);
        let links = links(operation, operations);
        if success.headers.contains(&"Location") && !links.is_empty() {
            answer["links"] = json!(links);
        }
        responses.insert(success.status.to_string(), answer);
    }
    let mut parameters: Vec<_> =
        operation.parameters.iter().map(|it| parameter(it, generator)).collect();
    let by_name = |name| json!({"$ref": format!("#/components/parameters/{name}")});
    parameters.extend(operation.headers.iter().map(by_name));
    let refusals: Vec<_> = problems::refusals(operation).into_iter().map(Code::as_str).collect();
    let roles: Vec<_> =
        Role::ALL.into_iter().filter(|it| permits(access, operation, *it)).collect();
    let roles: Vec<_> = roles.into_iter().map(Role::as_str).collect();
    let bearer = json!({"bearer": []});
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [route.path.split('/').nth(2)],
        "parameters": parameters,
        "responses": responses,
        "security": if access == Access::Open { json!([{}, bearer]) } else { json!([bearer]) },
        "x-roles": roles,
        "x-refusals": refusals,
    });
    if !operation.about.is_empty() {
        described["description"] = json!(operation.about);
    }
    if let Some(body) = &operation.body {
        described["requestBody"] = request_body(body, generator);
    }
    described
}

fn permits(access: Access, operation: &ApiOperation, role: Role) -> bool {
    access.permits(Roles::from_iter([role]), operation.method == "GET")
}

fn parameter(parameter: &Parameter, generator: &mut SchemaGenerator) -> Value {
    json!({
        "name": parameter.name, "in": parameter.place, "required": parameter.is_required,
        "description": parameter.about, "schema": (parameter.schema)(generator),
    })
}

fn request_body(body: &RequestBody, generator: &mut SchemaGenerator) -> Value {
    let example =
        |(name, value): &(&'static str, Value)| ((*name).to_owned(), json!({ "value": value }));
    let examples: Map<_, _> = body.examples.iter().map(example).collect();
    let schema = body.recording.schema(generator);
    json!({
        "required": body.is_required,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    })
}

/// The document with the names that people use: what is shown as an `OrderView` is an order.
fn named(value: Value) -> Value {
    let short = |name: &str| name.strip_suffix("View").unwrap_or(name).to_owned();
    match value {
        Value::Object(members) => {
            let is_schemas = members.contains_key("Problem") && members.contains_key("FieldError");
            let member = |(name, value): (String, Value)| match value {
                Value::String(target) if name == "$ref" => (name, json!(short(&target))),
                value if is_schemas => (short(&name), named(value)),
                value => (name, named(value)),
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(named).collect()),
        value => value,
    }
}
