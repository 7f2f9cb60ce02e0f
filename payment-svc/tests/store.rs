//! Statements, constraints, and states that come back from their rows as they went in.

use std::time::Duration;

use mailbox::LockPolicy;
use payment_svc::{
    domain::{
        CardDisplay, ChargeOutcome, CompensationState, DeclineCode, Event, Instrument, Operation,
        Token,
    },
    input::{Fact, Input, Request, Source},
    store,
};
use proto::{OrderId, SealKeyRing};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    LEASE, OTHER_KEY, SEAL_KEY, Shop, a_shop, an_order, by_card, by_wallet, deferred, seal_key, usd,
};

async fn execute(shop: &mut Shop, statement: &str) -> Result<u64, String> {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    let done = statement.execute(shop.mailbox.db().await).await;
    done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
}

/// The payment as it is read back: its status and its card's last digits.
async fn found(shop: &mut Shop, order: OrderId) -> String {
    let root = store::payments::find(shop.mailbox.db().await, order, None).await.unwrap().unwrap();
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

/// An entry of `c-1`'s account.
fn entry(kind: &str, debit: &str, credit: &str, amount: &str) -> String {
    format!(
        "insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, at)
        values ('c-1', gen_random_uuid(), '{kind}', '{debit}', '{credit}', {amount}, 'USD', now())"
    )
}

/// A refund of every payment there is; `ends` are its reason and its end.
fn refund(cause: &str, state: &str, ends: &str) -> String {
    format!(
        "insert into refunds (order_id, number, refund_id, customer_id, amount, currency, cause,
            state, begun_at, reason, ended_at)
        select order_id, 1, gen_random_uuid(), customer_id, 1, currency, '{cause}', '{state}', now(),
            {ends}
        from payments"
    )
}

/// A charge of every payment there is, declined so many times.
fn declined_charge(provider: &str, times: u32) -> String {
    format!(
        "insert into declined_charges (order_id, revision, amount, currency, provider, code, detail,
            declined_at)
        select order_id, 1, 1, currency, '{provider}', 'card_declined', '', now()
        from payments, generate_series(1, {times})"
    )
}

/// The ledger moves the accounts, and nothing else does: what an account has is always the sum of
/// its entries.
#[tokio::test]
async fn accounts_move_by_their_entries_alone() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;

    execute(&mut shop, &entry("deposit", "outside", "available", "7.50")).await.unwrap();
    execute(&mut shop, &entry("hold", "available", "held", "2.50")).await.unwrap();
    assert_eq!(shop.balance("c-1").await, (usd("55.00"), usd("2.50")));

    for (statement, why) in [
        ("update accounts set balance = balance + 1", "alone"),
        ("update accounts set held = 0", "alone"),
        (
            "insert into accounts (customer_id, currency, balance, held, created_at)
             values ('c-2', 'USD', 1, 0, now())",
            "alone",
        ),
        (&entry("deposit", "outside", "available", "1").replace("c-1", "nobody"), "has an account"),
        (&entry("deposit", "outside", "available", "1").replace("USD", "EUR"), "has an account"),
    ] {
        let refused = execute(&mut shop, statement).await.unwrap_err();
        assert!(refused.contains(why), "{statement}: {refused}");
    }
    assert_eq!(shop.balance("c-1").await, (usd("55.00"), usd("2.50")));
}

/// Whoever reads the tables cannot charge the card, and a token outlives neither its charge nor a
/// change of the keys.
#[tokio::test]
async fn a_cards_token_stands_in_no_row_as_it_is() {
    let mut shop = a_shop().await;
    let order = an_order();
    let (first, second) =
        (by_card(order, "tok_visa", "20.00"), by_card(order, "tok_slow", "30.00"));
    let reserved = shop.reserved(order, first);
    let again = shop.reserved_again(order, 2, second);
    shop.hear([reserved, again]).await;

    let dump = shop.mailbox.dump().await;
    let dump = format!("{dump:?}");
    // `746f6b5f` is how a column of bytes shows it.
    assert!(!dump.contains("tok_") && !dump.contains("746f6b5f"), "a token stands in a table");
    let sealed: (bool, bool) =
        sqlx::query_as("select token is not null, tried_token is not null from payments")
            .fetch_one(shop.mailbox.db().await)
            .await
            .unwrap();
    assert_eq!(sealed, (true, true));

    let outcome = ChargeOutcome::Captured { reference: "ch".into(), face: None };
    let event = Event::ChargeAnswered { revision: 1, outcome };
    shop.tell(Input::Answered { order, event, attempts: 0, trace: None }).await;
    let left: (bool, bool) =
        sqlx::query_as("select token is not null, tried_token is not null from payments")
            .fetch_one(shop.mailbox.db().await)
            .await
            .unwrap();
    assert_eq!(left, (false, false), "it is cleared at its end");
}

/// A process without the key leaves the token as it is, for one that has it.
#[tokio::test]
async fn a_token_whose_key_is_missing_for_a_while_is_kept() {
    let mut shop = a_shop().await;
    let order = an_order();
    let reserved = shop.reserved(order, by_card(order, "tok_visa", "20.00"));
    shop.hear([reserved]).await;
    let other = SealKeyRing::parse(OTHER_KEY).unwrap();
    let token = async |db: &mut PgConnection, keys: &SealKeyRing| {
        let lapse = "update provider_calls set leased_until = clock_timestamp()";
        sqlx::raw_sql(lapse).execute(&mut *db).await.unwrap();
        let left = store::provider_calls::lease(db, LEASE, 1, keys).await.unwrap().remove(0);
        let Operation::Charge { token, .. } = left.unwrap().call.operation else {
            panic!("a refund")
        };
        token
    };

    let db = shop.mailbox.db().await;
    assert_eq!(token(db, &other).await, Token::unreadable());
    let input = Input::Heard(Box::new(Fact {
        order,
        source: Source::Orders,
        customer: None,
        event: Event::OrderCancelled { revision: 1 },
        trace: None,
    }));
    let mut world = store::load(db, &[&input], LockPolicy::Wait, LEASE, &other).await.unwrap();
    let mut payment = world.root(order).unwrap().payment.clone();
    payment.compensation = CompensationState::Owed { revision: 1 };
    world.put_payment(payment, chassis::clock::now());
    store::save(db, &world, LEASE, &other).await.unwrap();

    let rotated = SealKeyRing::parse(&format!("{OTHER_KEY}\n{SEAL_KEY}")).unwrap();
    assert_eq!(token(db, &rotated).await.expose(), "tok_visa");
}

#[tokio::test]
async fn the_schema_refuses_what_no_decision_makes() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();
    let reserved = shop.reserved(order, by_wallet("c-1", "20.00"));
    shop.hear([reserved]).await;

    for (statement, constraint) in [
        (&*entry("capture", "available", "shop", "30.01"), "accounts_available_not_negative"),
        (&entry("hold", "available", "held", "30.01"), "accounts_available_not_negative"),
        (&entry("release", "held", "available", "1"), "accounts_held_not_negative"),
        ("update payments set refunded = 21", "payments_refunds_within"),
        ("update payments set refunding = 21", "payments_refunds_within"),
        ("update payments set refunded = null", "payments_refunds_within"),
        ("update payments set tried = null", "payments_tried_whole"),
        ("update payments set customer_id = null", "payments_due_whole"),
        ("update payments set compensation = 'maybe'", "payments_undoing_known"),
        ("update payments set cancelled_revision = 1", "payments_owed_has_revision"),
        ("update payments set refunds = null", "payments_refunds_within"),
        (&entry("refund", "outside", "available", "1"), "ledger_entries_movement_known"),
        (&entry("deposit", "outside", "available", "0"), "ledger_entries_amount_positive"),
        (&declined_charge("nobody", 1), "declined_charges_provider_known"),
        (&declined_charge("simulator", 2), "declined_charges_pkey"),
        (&refund("staff", "refused", "null, now()"), "refunds_reason_of_refused"),
        (&refund("staff", "processing", "null, now()"), "refunds_ended"),
        (&refund("staff", "refunded", "null, null"), "refunds_ended"),
        (&refund("nobody", "refunded", "null, now()"), "refunds_cause_known"),
        (&refund("staff", "lost", "null, now()"), "refunds_state_known"),
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

    let first = store::provider_calls::lease(shop.mailbox.db().await, LEASE, 10, &seal_key())
        .await
        .unwrap();
    let second = store::provider_calls::lease(shop.mailbox.db().await, LEASE, 10, &seal_key())
        .await
        .unwrap();

    let [Ok(first)] = &first[..] else { panic!("{first:?}") };
    assert_eq!((first.attempts, first.call.key()), (1, format!("{order}.charge.1")));
    assert!(second.is_empty());
    store::provider_calls::postpone(shop.mailbox.db().await, first, Duration::ZERO).await.unwrap();
    let third = store::provider_calls::lease(shop.mailbox.db().await, LEASE, 10, &seal_key())
        .await
        .unwrap();
    assert_eq!(third[0].as_ref().unwrap().attempts, 2);
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
