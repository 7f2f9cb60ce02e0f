//! The simulator as a provider, over HTTP.

use std::{sync::Arc, time::Duration};

use chassis::Tasks;
use payment_svc::{
    domain::{Call, ChargeOutcome, DeclineCode, Operation, PaymentProvider, Token},
    provider::{Provider, ProviderError, Simulator},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{an_order, usd};

/// A simulator of the test's own.
struct RunningSimulator {
    client: Simulator,
    _tasks: JoinSet<()>,
}

async fn a_simulator(slow: Duration, timeout: Duration) -> RunningSimulator {
    let file = std::env::temp_dir().join(format!("ledger-{}.jsonl", mailbox::testing::new_id()));
    let (ledger, writer) = simulator::Ledger::open(&file).unwrap();
    let detached = Tasks::new(Duration::from_secs(1)).detached();
    let state = simulator::AppState {
        ledger,
        detached,
        slow,
        knobs: simulator::Knobs::default(),
        began: tokio::time::Instant::now(),
    };
    let routes = simulator::routes(state, simulator::StripeAccount::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        writer.run(CancellationToken::new()).await.unwrap();
        std::fs::remove_file(file).unwrap();
    });
    tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    RunningSimulator { client: Simulator::new(&url, timeout).unwrap(), _tasks: tasks }
}

fn a_charge(token: &str) -> (Call, String) {
    let operation = Operation::Charge { revision: 1, token: Token::new(token) };
    let call = Call {
        order: an_order(),
        amount: usd("20.00"),
        provider: PaymentProvider::Simulator,
        operation,
    };
    let key = call.key();
    (call, key)
}

#[tokio::test]
async fn tokens_are_captured_or_declined_as_published() {
    let simulator = a_simulator(Duration::ZERO, Duration::from_secs(5)).await;
    for (token, wanted) in [
        ("tok_visa", None),
        ("tok_slow", None),
        ("tok_declined", Some(DeclineCode::CardDeclined)),
        ("tok_insufficient", Some(DeclineCode::InsufficientFunds)),
        ("tok_expired", Some(DeclineCode::ExpiredCard)),
        ("tok_nobody_gave", Some(DeclineCode::CardDeclined)),
    ] {
        let (call, key) = a_charge(token);

        let outcome = simulator.client.charge(&key, &call, token).await.unwrap();

        match (outcome, wanted) {
            (ChargeOutcome::Captured { face, .. }, None) => {
                assert_eq!(&*face.unwrap().last4, "4242", "{token}");
            }
            (ChargeOutcome::Declined { code, .. }, Some(wanted)) => {
                assert_eq!(code, wanted, "{token}");
            }
            (outcome, _) => panic!("{token}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_by_its_key_and_refunded_by_it() {
    let running = a_simulator(Duration::ZERO, Duration::from_secs(5)).await;
    let simulator = &running.client;
    let (call, key) = a_charge("tok_lost");
    assert_eq!(simulator.charge_of(&key, &call, Duration::ZERO).await.unwrap(), None);

    let lost = simulator.charge(&key, &call, "tok_lost").await;
    assert!(lost.is_err(), "{lost:?}");

    let Some(ChargeOutcome::Captured { reference, .. }) =
        simulator.charge_of(&key, &call, Duration::ZERO).await.unwrap()
    else {
        panic!("it is captured")
    };
    let operation = Operation::Refund { number: 1, reference: Arc::clone(&reference) };
    let refund = Call { operation, ..call.clone() };
    assert!(!simulator.refund_of(&refund.key(), &refund, &reference).await.unwrap());
    for _ in 0..2 {
        simulator.refund(&refund.key(), &refund, &reference).await.unwrap();
    }
    assert!(simulator.refund_of(&refund.key(), &refund, &reference).await.unwrap());
    let more = Call {
        operation: Operation::Refund { number: 2, reference: Arc::clone(&reference) },
        ..refund
    };
    let refused = simulator.refund(&more.key(), &more, &reference).await;
    assert!(matches!(refused, Err(ProviderError::Refused(_))), "{refused:?}");
    let unknown = simulator.refund("another", &more, "nobody's charge").await;
    assert!(matches!(unknown, Err(ProviderError::Refused(_))), "{unknown:?}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_unknown_and_does_not_tell_the_address() {
    let running = a_simulator(Duration::from_mins(1), Duration::from_millis(200)).await;
    let simulator = &running.client;
    let (call, key) = a_charge("tok_slow");

    let unknown = simulator.charge(&key, &call, "tok_slow").await.unwrap_err().to_string();

    assert!(unknown.contains("timed out"), "{unknown}");
    assert!(!unknown.contains("127.0.0.1"), "{unknown}");
}
