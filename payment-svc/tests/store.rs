//! Statements, constraints, and states that come back from their rows as they went in.

use std::time::Duration;

use payment_svc::{
    domain::{CardDisplay, ChargeOutcome, DeclineCode, Event, Instrument},
    input::{Input, Request},
    store,
};
use proto::OrderId;
use sqlx::AssertSqlSafe;

use super::{LEASE, Shop, a_shop, an_order, by_card, by_wallet, deferred};

async fn execute(shop: &mut Shop, statement: &str) -> Result<u64, String> {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    let done = statement.execute(shop.mailbox.db().await).await;
    done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
}

/// The payment as it is read back: its status and its card's last digits.
async fn found(shop: &mut Shop, order: OrderId) -> String {
    let root = store::payments::find(shop.mailbox.db().await, order).await.unwrap().unwrap();
    format!("{:?} {:?}", root.payment.status(), root.payment.face().map(|face| &face.last4))
}

#[tokio::test]
async fn every_state_is_kept_and_found_again() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let orders: Vec<_> = (0..6).map(|_| an_order()).collect();
    let face = Some(CardDisplay { brand: "visa".into(), last4: "1234".into() });
    let captured = ChargeOutcome::Captured { reference: "ch".into(), face };
    let declined = ChargeOutcome::Declined { code: DeclineCode::ExpiredCard, detail: "no".into() };
    let heard = vec![
        shop.reserved(orders[0], deferred("c-1", "20.00")),
        shop.reserved(orders[1], by_wallet("c-1", "20.00")),
        shop.reserved(orders[2], by_card(orders[2], "tok_visa", "20.00")),
        shop.reserved(orders[3], by_card(orders[3], "tok_unknown", "20.00")),
        shop.reserved(orders[4], by_card(orders[4], "tok_visa", "20.00")),
        shop.cancelled(orders[5]),
    ];
    shop.hear(heard).await;
    for (order, outcome) in [(orders[3], captured), (orders[4], declined)] {
        let event = Event::ChargeAnswered { revision: 1, outcome };
        shop.tell(Input::Answered { order, event, attempts: 0, trace: None }).await;
    }

    let mut all = Vec::new();
    for order in &orders {
        all.push(found(&mut shop, *order).await);
    }

    assert_eq!(
        all,
        [
            "Pending None",
            "Captured None",
            "Processing Some(\"4242\")",
            "Captured Some(\"1234\")",
            "Declined Some(\"4242\")",
            "Voided None",
        ]
    );
}

#[tokio::test]
async fn the_ledger_is_only_ever_added_to() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;

    for statement in [
        "update ledger_entries set amount = 1",
        "delete from ledger_entries",
        "truncate ledger_entries",
    ] {
        let refused = execute(&mut shop, statement).await.unwrap_err();
        assert!(refused.contains("only ever added to"), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn the_schema_refuses_what_no_decision_makes() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();
    let reserved = shop.reserved(order, by_wallet("c-1", "20.00"));
    shop.hear([reserved]).await;

    for (statement, constraint) in [
        ("update accounts set balance = -1", "accounts_available_not_negative"),
        ("update accounts set held = 31", "accounts_available_not_negative"),
        ("update accounts set held = -1", "accounts_held_not_negative"),
        ("update payments set refunded = 21", "payments_refunds_within"),
        ("update payments set refunding = 21", "payments_refunds_within"),
        ("update payments set refunded = null", "payments_refunds_within"),
        ("update payments set tried = null", "payments_tried_whole"),
        ("update payments set customer_id = null", "payments_due_whole"),
        ("update payments set compensation = 'maybe'", "payments_undoing_known"),
        (
            "insert into ledger_entries select customer_id, gen_random_uuid(), 'refund', debit,
             credit, amount, currency, order_id, at from ledger_entries",
            "ledger_entries_movement_known",
        ),
    ] {
        let refused = execute(&mut shop, statement).await.unwrap_err();
        assert!(refused.contains(constraint), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_by_one() {
    let mut shop = a_shop().await;
    let order = an_order();
    let reserved = shop.reserved(order, by_card(order, "tok_visa", "20.00"));
    shop.hear([reserved]).await;
    let lapse = "update provider_calls set leased_until = clock_timestamp()";
    execute(&mut shop, lapse).await.unwrap();

    let first = store::provider_calls::lease(shop.mailbox.db().await, LEASE, 10).await.unwrap();
    let second = store::provider_calls::lease(shop.mailbox.db().await, LEASE, 10).await.unwrap();

    assert_eq!(first.len(), 1);
    assert_eq!((first[0].attempts, first[0].call.key()), (1, format!("{order}.charge.1")));
    assert!(second.is_empty());
    store::provider_calls::postpone(shop.mailbox.db().await, &first[0], Duration::ZERO)
        .await
        .unwrap();
    let third = store::provider_calls::lease(shop.mailbox.db().await, LEASE, 10).await.unwrap();
    assert_eq!(third[0].attempts, 2);
}

#[tokio::test]
async fn a_wallet_that_pays_a_deferred_order_is_locked_though_the_request_does_not_name_it() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();
    let reserved = shop.reserved(order, deferred("c-1", "20.00"));
    shop.hear([reserved]).await;

    let pay = Request::Pay { order, instrument: Instrument::Wallet, amount: None, trace: None };

    assert_eq!(shop.ask(pay).await.status, 201);
}
