//! What this service counts, beside what the mailbox and the edge count for all.
//!
//! A description names its labels in backquotes; docs/metrics.md is made of it.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const PAYMENTS: &str = "payments_total";
const CALLS: &str = "provider_calls_total";
const CALL_SECONDS: &str = "provider_call_seconds";
const WEBHOOKS: &str = "provider_webhooks_total";
const IN_FLIGHT: &str = "provider_calls_in_flight";

pub fn describe() {
    describe_counter!(PAYMENTS, "Events said about payments, by `outcome`");
    describe_counter!(
        CALLS,
        "Calls to the payment provider, by `kind` and `result`: a call that has lapsed waited too long"
    );
    describe_counter!(WEBHOOKS, "Events of providers' webhooks by `result`: what became of them");
    describe_histogram!(
        CALL_SECONDS,
        Unit::Seconds,
        "Time that a call to the payment provider took, by `kind`"
    );
    describe_gauge!(IN_FLIGHT, "Calls to the payment provider that this process waits for");
    for outcome in ["captured", "declined", "refunded", "refund_refused", "voided"] {
        let _shown = counter!(PAYMENTS, "outcome" => outcome);
    }
    for kind in ["charge", "refund"] {
        for result in ["answered", "lapsed", "refused", "unknown"] {
            let _shown = counter!(CALLS, "kind" => kind, "result" => result);
        }
    }
    for result in ["bad_signature", "no_answer"] {
        let _shown = counter!(WEBHOOKS, "result" => result);
    }
}

/// Counts the events announced about payments in one committed batch.
pub(crate) fn payments(outcome: &'static str, count: u64) {
    counter!(PAYMENTS, "outcome" => outcome).increment(count);
}

pub(crate) fn call(kind: &'static str, result: &'static str) {
    counter!(CALLS, "kind" => kind, "result" => result).increment(1);
}

/// How long the provider took to answer, or not to.
pub(crate) fn call_took(kind: &'static str, time: Duration) {
    histogram!(CALL_SECONDS, "kind" => kind).record(time);
}

pub(crate) fn webhook(result: &'static str) {
    counter!(WEBHOOKS, "result" => result).increment(1);
}

pub(crate) fn calls_in_flight(count: usize) {
    gauge!(IN_FLIGHT).set(u32::try_from(count).unwrap_or(u32::MAX));
}
