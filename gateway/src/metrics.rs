//! What the gateway counts, beside what the edge counts for all.

use std::net::SocketAddr;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::{circuit::CircuitState, routes::Service};

const REQUESTS: &str = "upstream_requests_total";
const RETRIES: &str = "upstream_retries_total";
const INSTANCES: &str = "upstream_instances";
const CIRCUIT: &str = "upstream_circuit_state";
const STREAMS: &str = "streams_open";

/// Tells the exporter what the numbers mean.
pub fn describe() {
    describe_counter!(REQUESTS, "Attempts at requests to a `service`'s instances, by `result`");
    describe_counter!(RETRIES, "Requests that were sent to another instance of a `service`");
    describe_gauge!(INSTANCES, "Known instances of a `service`");
    describe_gauge!(
        CIRCUIT,
        "1 for the `state` that the circuit of a `service`'s instance, at this `address`, is in"
    );
    describe_gauge!(STREAMS, "Streams of orders that are open");
    gauge!(STREAMS).set(0);
}

/// The metrics of a service's requests. Their handles are looked up once.
pub(crate) struct UpstreamMeters {
    pub(crate) answered: Counter,
    pub(crate) unreachable: Counter,
    pub(crate) lost: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) refused: Counter,
    pub(crate) retried: Counter,
    pub(crate) instances: Gauge,
}

impl UpstreamMeters {
    pub(crate) fn new(service: Service) -> Self {
        let name = service.name();
        let of = |result: &'static str| counter!(REQUESTS, "service" => name, "result" => result);
        Self {
            answered: of("answered"),
            unreachable: of("unreachable"),
            lost: of("lost"),
            timed_out: of("timed_out"),
            unavailable: of("unavailable"),
            refused: of("refused"),
            retried: counter!(RETRIES, "service" => name),
            instances: gauge!(INSTANCES, "service" => name),
        }
    }
}

/// A gauge for each state of an instance's circuit, in the order of [`CircuitState::ALL`].
pub(crate) fn circuit(service: Service, address: SocketAddr) -> [Gauge; 3] {
    CircuitState::ALL.map(|state| {
        gauge!(CIRCUIT, "service" => service.name(), "address" => address.to_string(),
            "state" => state.as_str())
    })
}

pub(crate) fn stream_opened() {
    gauge!(STREAMS).increment(1);
}

pub(crate) fn stream_closed() {
    gauge!(STREAMS).decrement(1);
}
