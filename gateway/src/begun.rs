//! What one service alone has begun, a replay or a bulk operation: the body of a `POST` names the
//! service; only that one knows the id afterwards.

use axum::http::StatusCode;
use chassis::{
    Code, Problem,
    body::{Json, parse},
    http::HttpResult,
    problem::FieldError,
};

use crate::{
    forward::{Forwarder, UpstreamRequest},
    routes::Service,
};

/// A `POST` goes to the service that its body names at `pointer`, a `GET` to each until one has it.
pub(crate) async fn pass(
    forwarder: &Forwarder,
    asked: &UpstreamRequest,
    pointer: &'static str,
) -> HttpResult {
    if let Some(body) = asked.posted() {
        return forwarder.forward(named(body, pointer)?, asked).await;
    }
    // A service that cannot tell may be the one that has it, so what it says is the answer unless
    // another has it.
    let nothing = format!("nothing is at {}", asked.path.path());
    let mut none = Err(Problem::not_found(nothing));
    for service in Service::ALL {
        match forwarder.forward(service, asked).await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => {}
            Ok(response) if !response.status().is_server_error() => return Ok(response),
            unable => none = unable,
        }
    }
    none
}

/// The service that a body names at `pointer`. Other faults of the body are for that service to
/// report.
fn named(body: &[u8], pointer: &'static str) -> Result<Service, Problem> {
    let mut value = parse(body)?;
    let mut at = 0;
    for name in pointer.split('/').skip(1) {
        let Json::Object(members) = value else {
            let wrong = "has to be an object";
            return Err(match at {
                0 => Problem::new(Code::InvalidValue, format!("the body {wrong}")),
                at => fault(&pointer[..at], Code::InvalidValue, wrong),
            });
        };
        at += 1 + name.len();
        let member = members.into_iter().find(|(known, _)| known == name);
        value = match member {
            None | Some((_, Json::Null)) => {
                return Err(fault(&pointer[..at], Code::MissingField, "is missing"));
            }
            Some((_, value)) => value,
        };
    }
    let service = if let Json::Text(name) = &value { Service::parse(name) } else { None };
    let unknown = "has to name a service, such as order-svc";
    service.ok_or_else(|| fault(pointer, Code::InvalidValue, unknown))
}

fn fault(pointer: &str, code: Code, detail: &'static str) -> Problem {
    let pointer = pointer.to_owned();
    Problem::of(vec![FieldError { pointer, code, detail: detail.into() }], 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_names_the_service() {
        let body = br#"{"service":"order-svc","topic":1}"#;
        assert_eq!(named(body, "/service").unwrap(), Service::Order);
        let body = br#"{"filter":{"service":"notify-svc"}}"#;
        assert_eq!(named(body, "/filter/service").unwrap(), Service::Notify);
    }

    #[test]
    fn a_body_that_names_none_is_refused_with_the_place() {
        let detail = |body: &[u8], pointer| {
            let problem = named(body, pointer).unwrap_err();
            (problem.code(), problem.detail().to_owned())
        };
        let deep = "/filter/service";
        for (body, pointer, code, place) in [
            (br#"{"service":"cat-svc"}"#.as_slice(), "/service", Code::InvalidValue, "service: "),
            (br#"{"topic":"shop.orders.v1"}"#, "/service", Code::MissingField, "service: "),
            (b"[]", "/service", Code::InvalidValue, "the body "),
            (b"{", "/service", Code::MalformedJson, ""),
            (b"{}", deep, Code::MissingField, "filter: "),
            (br#"{"filter":[]}"#, deep, Code::InvalidValue, "filter: "),
            (br#"{"filter":{"service":7}}"#, deep, Code::InvalidValue, "filter/service: "),
        ] {
            let (told, detail) = detail(body, pointer);
            assert_eq!(told, code, "{detail}");
            assert!(detail.starts_with(place), "{detail}");
        }
    }
}
