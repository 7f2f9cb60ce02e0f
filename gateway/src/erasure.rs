//! Erasure: what people wrote and how they are reached, at every service that keeps some of it.

use std::collections::BTreeMap;

use axum::{Json, response::IntoResponse};
use chassis::{Code, Problem, http::HttpResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    forward::{Forwarder, UpstreamRequest},
    routes::Service,
};

/// The services that keep contacts, addresses or words. The others know customers by their bare
/// ids.
const KEEPERS: [Service; 2] = [Service::Order, Service::Notify];

/// More than the counts of any service take.
const ANSWER_BYTES_MAX: usize = 4_096;

/// How many things of each kind were erased.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
pub(crate) struct Erasure {
    erased: BTreeMap<String, u64>,
}

/// Asks every keeper, also when one of them fails: what can be erased now is erased now. The counts
/// are added up; without those of one service the answer is 503, and the caller asks again.
pub(crate) async fn erase(forwarder: &Forwarder, asked: &UpstreamRequest) -> HttpResult {
    let (mut all, mut failure) = (Erasure::default(), None);
    for service in KEEPERS {
        let unclear = |_| unclear(service);
        match forwarder.ask_json::<Erasure>(service, asked, ANSWER_BYTES_MAX, unclear).await {
            Ok(Ok((part, _))) => all.erased.extend(part.erased),
            Ok(Err(refusal)) => return Ok(refusal),
            Err(problem) => failure = Some(problem),
        }
    }
    failure.map_or_else(|| Ok(Json(all).into_response()), Err)
}

fn unclear(service: Service) -> Problem {
    let detail = format!("{service} did not say what it erased: ask again");
    Problem::new(Code::Overloaded, detail).retry_after(1)
}
