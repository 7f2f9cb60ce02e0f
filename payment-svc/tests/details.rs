//! A card's sealed details: a customer wrote what is in them, so nothing in them may park a
//! message.

use payment_svc::domain::Operation;
use proto::{
    OrderId, SealKey, limits,
    orders::{self, PaymentMethod},
    payments,
};

use super::{
    OTHER_KEY, a_shop, an_order, by_card, by_wallet, reactions::decline_code, seal_key, terms,
};

fn sealed(order: OrderId, plain: &[u8]) -> orders::Terms {
    let details = Some(seal_key().seal(order, plain));
    orders::Terms { details, ..terms("c-1", "20.00", PaymentMethod::Card) }
}

/// Whatever somebody wrote instead of a token declines the card, and holds up no order.
#[tokio::test]
async fn details_that_are_no_token_are_a_decline_and_stop_nothing() {
    let mut shop = a_shop().await;
    let long = "é".repeat(limits::TOKEN_CHARS_MAX + 1);
    let mut nothing = sealed(an_order(), b"");
    nothing.details = None;

    for (case, wrong) in [
        ("too long", long.as_bytes()),
        ("empty", b""),
        ("NUL", b"tok\0visa"),
        ("no UTF-8", b"\xff\xfe"),
    ] {
        let order = an_order();
        let reserved = shop.reserved(order, sealed(order, wrong));
        let cancelled = shop.cancelled(order);
        shop.hear([reserved, cancelled]).await;
        let told = shop.told().await;
        let last: Vec<_> = told.iter().rev().take(2).collect();
        assert_eq!(last, [&("PaymentVoided", 2), &("PaymentDeclined", 1)], "{case}");
    }
    // Sealed details that were copied from another order, and none at all.
    let copied = shop.reserved(an_order(), by_card(an_order(), "tok_visa", "20.00"));
    let missing = shop.reserved(an_order(), nothing);
    shop.hear([copied, missing]).await;

    let outbox = shop.outbox().await;
    let declines: Vec<_> = outbox.iter().rev().take(2).map(decline_code).collect();
    assert_eq!(declines, [payments::DeclineCode::CardDeclined; 2]);
    assert_eq!(shop.count("provider_calls").await, 0, "nobody is asked about it");
}

#[tokio::test]
async fn a_token_as_long_as_order_svc_takes_it_goes_to_the_provider() {
    let mut shop = a_shop().await;
    let order = an_order();
    let token = "é".repeat(limits::TOKEN_CHARS_MAX);

    let reserved = shop.reserved(order, sealed(order, token.as_bytes()));
    shop.hear([reserved]).await;

    let handed = shop.calls.try_recv().unwrap();
    assert!(matches!(handed.call.operation, Operation::Charge { token: ref asked, .. }
        if asked.expose() == token));
}

/// A wrong key is the operator's mistake, not the customer's: the order stays parked until the
/// right key is set.
#[tokio::test]
async fn details_sealed_with_a_key_that_is_not_ours_park_their_order_alone() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let (order, other) = (an_order(), an_order());
    let key = SealKey::parse(OTHER_KEY).unwrap();
    let mut foreign = by_card(order, "tok_visa", "20.00");
    foreign.details = Some(key.seal(order, b"tok_visa"));

    let foreign = shop.reserved(order, foreign);
    let fine = shop.reserved(other, by_wallet("c-1", "20.00"));
    let parked = shop.mailbox.hear(vec![foreign, fine]).await;

    assert_eq!(parked, 1);
    assert_eq!(shop.told().await, [("PaymentCaptured", 1)]);
}

/// No token looks like a card number, and whoever smuggles one in is declined: it goes no further.
#[tokio::test]
async fn a_card_number_in_the_sealed_details_reaches_no_row_and_no_provider() {
    let mut shop = a_shop().await;
    let order = an_order();

    let reserved = shop.reserved(order, sealed(order, b"5555 5555 5555 4444"));
    shop.hear([reserved]).await;

    assert_eq!(decline_code(&shop.outbox().await[0]), payments::DeclineCode::CardDeclined);
    assert!(shop.calls.try_recv().is_err(), "nobody is asked about it");
    let dump = format!("{:?}", shop.mailbox.dump().await);
    assert!(!dump.contains("5555 5555 5555 4444") && !dump.contains("3535353520353535"));
}
