//! A notice, a contact or a delivery whose row another session holds: others are told meanwhile.

use std::pin::pin;

use axum::http::HeaderMap;
use mailbox::{Command, testing::Person};
use notify_svc::{
    domain::Contact,
    input::{DeliveryEnd, Input, Request},
};
use proto::CustomerId;

use super::{CUSTOMER, Shop, a_shop, an_order};

/// Submits two commands while a row is held: the one that does not need the row is executed first,
/// the one that needs it once the row is free.
async fn the_other_goes_on(shop: &Shop, select: &str, needs_it: Input, other: Input) {
    let (mailbox, _running) = shop.running().await;
    let person = Person::holds(&shop.database.url(), select).await;
    let mut waits = pin!(mailbox.submit(Command::new(needs_it)));
    let goes_on = tokio::select! {
        biased;
        early = &mut waits => unreachable!("the row is held: {early:?}"),
        outcome = mailbox.submit(Command::new(other)) => outcome,
    };
    goes_on.unwrap();
    person.ends().await;
    waits.await.unwrap();
}

#[tokio::test]
async fn a_notice_that_somebody_holds_delays_its_order_alone() {
    let mut shop = a_shop().await.with_contact().await;
    let orders: Vec<_> = (0..61).map(|_| an_order()).collect();
    let confirmed: Vec<_> = orders.iter().map(|order| shop.confirmed(*order)).collect();
    shop.hear(confirmed).await;
    drop(shop.handed());
    let select = format!("select * from notices where order_id = '{}'", orders[30]);
    let person = Person::holds(&shop.database.url(), &select).await;

    let cancelled: Vec<_> = orders.iter().map(|order| shop.cancelled(*order)).collect();
    shop.hear(cancelled).await;

    let handed: Vec<_> = shop.handed().iter().map(|job| job.order.unwrap()).collect();
    assert_eq!(handed.len(), 60);
    assert!(!handed.contains(&orders[30]));
    person.ends().await;
    shop.mailbox.until_nothing_waits().await;
    let handed: Vec<_> = shop.handed().iter().map(|job| job.order.unwrap()).collect();
    assert_eq!(handed, [orders[30]]);
}

#[tokio::test]
async fn a_contact_that_somebody_holds_delays_its_customer_alone() {
    let shop = a_shop().await.with_contact().await;
    let put = |customer: &str| {
        Input::Request(Request::PutContact {
            customer: CustomerId::parse(customer).unwrap(),
            contact: Contact::default(),
            conditions: HeaderMap::new(),
        })
    };
    let select = format!("select * from contacts where customer_id = '{CUSTOMER}'");
    the_other_goes_on(&shop, &select, put(CUSTOMER), put("another")).await;
}

/// `load` does not lock these rows: which item needs the held row shows only when its write fails.
#[tokio::test]
async fn a_notification_or_its_delivery_that_somebody_holds_delays_its_record_alone() {
    for table in ["notifications", "deliveries"] {
        let mut shop = a_shop().await.with_contact().await;
        let confirmed = [shop.confirmed(an_order()), shop.confirmed(an_order())];
        shop.hear(confirmed).await;
        let jobs = shop.handed();
        let [held, other] = &jobs[..] else { panic!("two mails, not {}", jobs.len()) };
        let delivered = |id, order| {
            Input::Ended(Box::new(DeliveryEnd { id, order, attempts: 1, outcome: Ok(None) }))
        };
        let select = format!("select * from {table} where notification_id = '{}'", held.id);

        let (needs_it, goes_on) =
            (delivered(held.id, held.order), delivered(other.id, other.order));
        the_other_goes_on(&shop, &select, needs_it, goes_on).await;

        assert_eq!(shop.said_of_orders().await.len(), 2, "{table}: both are recorded as sent");
        assert_eq!(shop.count("deliveries").await, 0);
    }
}
