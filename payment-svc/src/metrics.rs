//! What this service counts.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const PAYMENTS: &str = "payments_total";
const CALLS: &str = "provider_calls_total";
const WEBHOOKS: &str = "provider_webhooks_total";
const IN_FLIGHT: &str = "provider_calls_in_flight";

pub(crate) fn describe() {
    describe_counter!(PAYMENTS, "Events said about payments, by outcome");
    describe_counter!(
        CALLS,
        "Calls to the payment provider, by kind and result (a call lapses that waited for too long)"
    );
    describe_counter!(WEBHOOKS, "Events of providers' webhooks, by what became of them");
    describe_gauge!(IN_FLIGHT, "Calls to the payment provider that this process waits for");
}

/// Counts the events announced about payments in one committed batch.
pub(crate) fn payments(outcome: &'static str, count: u64) {
    counter!(PAYMENTS, "outcome" => outcome).increment(count);
}

pub(crate) fn call(kind: &'static str, result: &'static str) {
    counter!(CALLS, "kind" => kind, "result" => result).increment(1);
}

pub(crate) fn webhook(result: &'static str) {
    counter!(WEBHOOKS, "result" => result).increment(1);
}

pub(crate) fn calls_in_flight(count: usize) {
    gauge!(IN_FLIGHT).set(u32::try_from(count).unwrap_or(u32::MAX));
}
