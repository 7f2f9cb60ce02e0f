//! Replays: the body of a `POST` names the service whose events are replayed; only that service
//! knows the replay's id afterwards.

use axum::{http::StatusCode, response::Response};
use chassis::{
    Code, Problem,
    body::{Json, parse},
    problem::FieldError,
};

use crate::{
    forward::{Forwarder, UpstreamRequest},
    routes::Service,
};

/// A `POST /v1/replays` goes to the service that the body names, a `GET` to each until one has it.
pub(crate) async fn pass(
    forwarder: &Forwarder,
    asked: &UpstreamRequest,
) -> Result<Response, Problem> {
    if let Some(body) = asked.posted() {
        return forwarder.forward(named(body)?, asked).await;
    }
    // A service that does not answer may be the one that has the replay, so its problem is the
    // answer unless another has it.
    let mut none = Problem::not_found("there is no such replay");
    for service in Service::ALL {
        match forwarder.forward(service, asked).await {
            Ok(response) if response.status() != StatusCode::NOT_FOUND => return Ok(response),
            Ok(_) => {}
            Err(problem) => none = problem,
        }
    }
    Err(none)
}

/// The service that a body names. Other faults of the body are for that service to report.
fn named(body: &[u8]) -> Result<Service, Problem> {
    let service = match parse(body)? {
        Json::Object(members) => members.into_iter().find(|(name, _)| name == "service"),
        _ => return Err(Problem::new(Code::InvalidValue, "the body has to be an object")),
    };
    let unknown = || fault(Code::InvalidValue, "has to name a service, such as order-svc");
    match service {
        None | Some((_, Json::Null)) => Err(fault(Code::MissingField, "is missing")),
        Some((_, Json::Text(name))) => Service::parse(&name).ok_or_else(unknown),
        Some(_) => Err(unknown()),
    }
}

fn fault(code: Code, detail: &'static str) -> Problem {
    let pointer = "/service".to_owned();
    Problem::of(vec![FieldError { pointer, code, detail: detail.into() }], 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_names_the_service() {
        assert_eq!(named(br#"{"service":"order-svc","topic":1}"#).unwrap(), Service::Order);
        let code = |body: &[u8]| named(body).unwrap_err().code();
        assert_eq!(code(br#"{"service":"cat-svc"}"#), Code::InvalidValue);
        assert_eq!(code(br#"{"topic":"shop.orders.v1"}"#), Code::MissingField);
        assert_eq!(code(b"[]"), Code::InvalidValue);
        assert_eq!(code(b"{"), Code::MalformedJson);
    }
}
