//! Knobs: what goes wrong on purpose, and stays as it went.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Simulator, a_charge, order};

#[tokio::test]
async fn charges_are_declined_whatever_their_token_and_stay_declined() {
    let simulator = Simulator::start_with(&["--decline-percent", "100"]);

    let first = simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    let again = simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;

    assert_eq!(
        (&first.body["status"], &first.body["code"]),
        (&"declined".into(), &"card_declined".into())
    );
    assert_eq!((again.replayed, again.body), (true, first.body));
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_and_is_given_when_asked_again() {
    let simulator = Simulator::start_with(&["--lost-percent", "100"]);
    let refund = json!({"idempotency_key": "r1", "charge": "k1", "amount": "59.98"});

    for (path, body) in [("/charges", a_charge("k1", "tok_visa")), ("/refunds", refund)] {
        let lost = match simulator.post(path, &body).await {
            Ok(answer) => answer.bytes().await.map(drop),
            Err(error) => Err(error),
        };
        assert!(lost.is_err(), "the answer to {path} got lost");
        let again = simulator.ask(path, &body).await;
        assert_eq!((again.status.as_u16(), again.replayed), (200, true));
    }
    let ledger = simulator.get(&format!("/ledger?order_id={}", order(1))).await.body;
    let account = &ledger["items"][0];
    assert_eq!((&account["captures"], &account["refunds"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_refused_refund_stays_refused_and_moves_nothing() {
    let simulator = Simulator::start_with(&["--refused-refund-percent", "100"]);
    simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    let refund = json!({"idempotency_key": "r1", "charge": "k1", "amount": "59.98"});

    for _ in 0..2 {
        let refused = simulator.ask("/refunds", &refund).await;
        assert_eq!(refused.problem(), (409, "refund_refused"));
    }

    assert_eq!(simulator.get("/refunds/r1").await.status, 404);
    let ledger = simulator.get(&format!("/ledger?order_id={}", order(1))).await.body;
    assert_eq!(ledger["items"][0]["refunded"], "0.00");
}

#[tokio::test]
async fn a_slow_or_silent_provider_answers_late() {
    for settings in [&["--latency", "300ms"][..], &["--silence", "1s", "--silence-every", "1s"]] {
        let simulator = Simulator::start_with(settings);
        let slow = async |simulator: &Simulator, key: &str| {
            let start = Instant::now();
            let charged = simulator.ask("/charges", &a_charge(key, "tok_visa")).await;
            assert_eq!(charged.status, 200);
            start.elapsed()
        };

        // Of two requests in a row the second one meets the silence at its beginning.
        slow(&simulator, "k1").await;
        let took = slow(&simulator, "k2").await;

        assert!(took >= Duration::from_millis(250), "{settings:?} took {took:?}");
    }
}
