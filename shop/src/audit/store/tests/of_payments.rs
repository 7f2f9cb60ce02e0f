//! Payment-svc's tables.

use super::*;

async fn some_money() -> Tables {
    let mut tables = Tables::of(PAYMENTS).await;
    tables
        .run(
            "insert into accounts (customer_id, currency, created_at) values ('ann', 'USD', now());
            insert into holds (customer_id, order_id, amount, state) values ('ann', '01932c1e-5a4b-7c3d-8e2f-000000000007', 5, 'held');
            insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at)
            values
                ('ann', gen_random_uuid(), 'deposit', 'outside', 'available', 100, 'USD', null, now()),
                ('ann', gen_random_uuid(), 'hold', 'available', 'held', 5, 'USD', '01932c1e-5a4b-7c3d-8e2f-000000000007', now()),
                ('ann', gen_random_uuid(), 'capture', 'available', 'shop', 30, 'USD', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', now()),
                ('ann', gen_random_uuid(), 'refund', 'shop', 'available', 20, 'USD', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', now());
            insert into payments (
                order_id, customer_id, revision, due, currency, instrument, tried_token, tried_provider, phase, tried_revision, tried, tried_method,
                refunded, refunds, compensation, version, heard_orders, heard_stock, created_at, updated_at
            )
            values
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 1, 30, 'USD', 'wallet', null, null, 'captured', 1, 30, 'wallet', 20, 2, 'refunded', 2, 3, 1, now(), now()),
                ('01932c1e-5a4b-7c3d-8e2f-000000000002', 'ann', 1, 7, 'USD', 'card', '\\x01', 'simulator', 'charging', 1, 7, 'card', null, null, 'not_asked', 0, 0, 1, now(), now());
            insert into refunds (order_id, number, refund_id, customer_id, amount, currency, cause, state, reason, begun_at, ended_at)
            values
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 1, gen_random_uuid(), 'ann', 5, 'USD', 'staff', 'refused', 'no', now(), now()),
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 2, gen_random_uuid(), 'ann', 20, 'USD', 'order_cancelled', 'refunded', null, now(), now());
            insert into provider_calls (order_id, customer_id, kind, number, amount, currency, attempts, leased_until)
            values ('01932c1e-5a4b-7c3d-8e2f-000000000002', 'ann', 'charge', 1, 7, 'USD', 0, now());",
        )
        .await;
    tables
}

#[tokio::test]
async fn accounts_that_are_not_their_entries_are_found() {
    let mut tables = some_money().await;
    let found = money::accounts(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "alter table accounts disable trigger all; update accounts set balance = 91",
        "alter table accounts disable trigger all; update accounts set held = 6",
        "update holds set state = 'released'",
        "alter table ledger_entries disable trigger all; insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, at) values ('ann', gen_random_uuid(), 'deposit', 'outside', 'available', 1, 'USD', now())",
        "update accounts set currency = 'EUR'",
        "alter table ledger_entries disable trigger all; insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, at) values ('bob', gen_random_uuid(), 'deposit', 'outside', 'available', 1, 'USD', now())",
    ] {
        assert_eq!(wrong_after!(tables, money::accounts, change), 1, "{change}");
    }
}

#[tokio::test]
async fn payments_that_are_not_their_entries_are_found() {
    let mut tables = some_money().await;
    let found = money::captures(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "update payments set tried = 31 where phase = 'captured'",
        "update payments set refunded = 0 where phase = 'captured'",
        "update payments set tried_method = 'card' where phase = 'captured'",
        "update payments set currency = 'EUR' where phase = 'captured'",
        "insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at) values ('ann', gen_random_uuid(), 'capture', 'available', 'shop', 7, 'USD', '01932c1e-5a4b-7c3d-8e2f-000000000002', now())",
    ] {
        assert_eq!(wrong_after!(tables, money::captures, change), 1, "{change}");
    }
}

#[tokio::test]
async fn payments_that_are_not_their_refunds_are_found() {
    let mut tables = some_money().await;
    let found = money::refunds(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from refunds",
        "delete from refunds where number = 1",
        "update refunds set amount = 19 where number = 2",
        "update refunds set cause = 'staff' where number = 2",
        "update refunds set customer_id = 'bob' where number = 2",
        "update refunds set currency = 'EUR' where number = 1",
        "update refunds set state = 'processing', reason = null, ended_at = null where number = 1",
        "update payments set refunded = 10 where phase = 'captured'",
        "update payments set refunding = 5 where phase = 'captured'",
        "update payments set compensation = 'voided' where phase = 'captured'",
        "update payments set refunds = 1 where phase = 'captured'",
    ] {
        assert_eq!(wrong_after!(tables, money::refunds, change), 1, "{change}");
    }
}

#[tokio::test]
async fn calls_that_nobody_waits_for_are_found_and_the_reverse() {
    let mut tables = some_money().await;
    let found = money::calls(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from provider_calls",
        "update provider_calls set kind = 'refund'",
        "update provider_calls set amount = 8",
        "update provider_calls set number = 2",
        "update provider_calls set customer_id = 'bob'",
        "update payments set phase = 'declined', tried_token = null, decline_code = 'card_declined' where phase = 'charging'",
    ] {
        assert_eq!(wrong_after!(tables, money::calls, change), 1, "{change}");
    }
}

#[tokio::test]
async fn payments_are_read_in_ten_thousandths() {
    let mut tables = some_money().await;
    let mut orders = Orders::default();
    payments::payments(&mut tables.db, None, &mut orders).await.unwrap();
    let paid = orders.of(id()).payment.unwrap();
    assert_eq!((paid.captured, paid.refunded), (Some(300_000), 200_000));
    assert_eq!(
        (paid.compensation, paid.call_until, paid.is_by_card),
        (CompensationState::Refunded, 0, false)
    );
    assert_eq!((paid.refunds, paid.refused, &paid.currency, paid.has_hold), (1, 1, b"USD", false));
    let second = Uuid::parse_str("01932c1e-5a4b-7c3d-8e2f-000000000002").unwrap();
    let calling = orders.of(second.as_u128()).payment.unwrap();
    assert_eq!((calling.captured, calling.call_until > 0, calling.is_by_card), (None, true, true));
}

#[tokio::test]
async fn holds_that_are_not_their_entries_are_found() {
    let mut tables = some_money().await;
    let found = money::held(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "update holds set state = 'released'",
        "update holds set amount = 4",
        "delete from holds",
        "insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at) values ('ann', gen_random_uuid(), 'capture', 'held', 'shop', 2, 'USD', '01932c1e-5a4b-7c3d-8e2f-000000000007', now())",
    ] {
        assert_eq!(wrong_after!(tables, money::held, change), 1, "{change}");
    }
    let held = payments::holds(&mut tables.db).await.unwrap();
    let order = Uuid::parse_str("01932c1e-5a4b-7c3d-8e2f-000000000007").unwrap();
    assert_eq!((held.len(), held[0].0, held[0].1 > 0), (1, order.as_u128(), true));
}

#[tokio::test]
async fn money_that_was_told_of_and_is_not_there_is_found() {
    let mut tables = some_money().await;
    tables
        .run(
            r#"insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
            select 'ann', 'POST /v1/accounts/ann/deposit', 'k', '', 201, '{}',
                convert_to(json_build_object('entry_id', entry_id, 'account', json_build_object('customer_id', 'ann'))::text, 'UTF8')
            from ledger_entries where kind = 'deposit';
            insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
            values ('ann', 'POST /v1/payments', 'k', '', 201, '{}',
                convert_to('{"order_id": "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f"}', 'UTF8'));"#,
        )
        .await;
    let found = money::answers(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (2, 0));
    for change in [
        "update payments set phase = 'waiting', refunded = null, refunds = null, tried_revision = null, tried = null, tried_method = null where phase = 'captured'",
        "alter table ledger_entries disable trigger ledger_entries_stay; delete from ledger_entries where kind = 'deposit'",
    ] {
        assert_eq!(wrong_after!(tables, money::answers, change), 1, "{change}");
    }
}
