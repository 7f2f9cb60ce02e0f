//! Reactions: given rows, when a message comes, then rows, events and what the worker gets.

use mailbox::testing::{message, reacts_once, reacts_whole};
use notify_svc::{
    domain::{Channel, Contact, Failure, Language, Template},
    input::{DeliveryEnd, Input},
};
use proto::{Event, NotificationId, OrderId, notifications::notification_event, topic};

use super::{a_shop, an_order};

fn ended(
    order: OrderId,
    id: NotificationId,
    outcome: Result<Option<String>, (Failure, String)>,
) -> Input {
    Input::Ended(Box::new(DeliveryEnd { id, order: Some(order), attempts: 1, outcome }))
}

#[tokio::test]
async fn a_confirmed_order_is_queued_and_handed_to_the_worker() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();

    let confirmed = shop.confirmed(order);
    shop.hear([confirmed]).await;

    let jobs = shop.handed();
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].order, jobs[0].template), (Some(order), Some(Template::OrderConfirmation)));
    assert_eq!(jobs[0].to.as_deref(), Some("jane@shop.example"));
    assert_eq!(jobs[0].fields["total"], "60.00 USD");
    assert_eq!(jobs[0].fields["items"], "2 × Blue mug (30.00 USD)\n");
    assert_eq!(shop.count("deliveries").await, 1);
    assert!(shop.said_of_orders().await.is_empty(), "nothing is sent yet");
}

#[tokio::test]
async fn without_an_address_it_has_failed_at_once() {
    let mut shop = a_shop().await;

    let confirmed = shop.confirmed(an_order());
    shop.hear([confirmed]).await;

    assert!(shop.handed().is_empty());
    assert_eq!(shop.count("deliveries").await, 0);
    assert_eq!(shop.said_of_orders().await, ["NotificationFailed"]);
}

#[tokio::test]
async fn what_was_delivered_is_said_once() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();
    let confirmed = shop.confirmed(order);
    shop.hear([confirmed]).await;
    let id = shop.handed()[0].id;

    for _ in 0..2 {
        shop.mailbox.tell(ended(order, id, Ok(None))).await;
    }

    assert_eq!(shop.said_of_orders().await, ["NotificationSent"]);
    assert_eq!(shop.count("deliveries").await, 0);
}

#[tokio::test]
async fn what_failed_for_good_is_said_with_its_channel_and_revision() {
    let phone = Some("+4930123456".to_owned());
    let contact = Contact { phone, language: Some("ru-RU".to_owned()), ..Contact::default() };
    let mut shop = a_shop().await.with(contact).await;
    let order = an_order();
    let shipped = shop.shipped(order);
    shop.hear([shipped]).await;
    let job = shop.handed().remove(0);
    assert_eq!((job.channel, job.language), (Channel::Sms, Language::Russian));

    let refused = Err((Failure::Refused, "status 422".to_owned()));
    shop.mailbox.tell(ended(order, job.id, refused)).await;

    let rows = shop.mailbox.outbox().await;
    let event = Event::decode(topic::NOTIFICATIONS, &rows[0].payload).unwrap().unwrap();
    let Event::Notifications(notification_event::Event::NotificationFailed(said)) = event else {
        panic!("{event:?}")
    };
    assert_eq!((said.channel.as_str(), said.template.as_str()), ("sms", "order_shipped"));
    assert_eq!((said.failure.as_str(), said.revision), ("refused", 2));
    assert_eq!(shop.count("deliveries").await, 0);
}

#[tokio::test]
async fn every_piece_of_news_is_told_and_none_twice() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();

    let messages = [
        shop.awaiting_payment(order, 1),
        // Another event id for the same fact.
        shop.awaiting_payment(order, 1),
        shop.awaiting_payment(order, 2),
        shop.confirmed(order),
        shop.cancelled(order),
        shop.refunded(order),
        shop.refunded(order),
        shop.shipped(order),
        shop.shipped(order),
        shop.delivered(order),
    ];
    shop.hear(messages).await;

    let told: Vec<_> =
        shop.handed().into_iter().map(|job| job.template.unwrap().as_str()).collect();
    assert_eq!(
        told,
        [
            "payment_due",
            "payment_due",
            "order_confirmation",
            "order_cancelled",
            "payment_refunded",
            "payment_refunded",
            "order_shipped",
            "order_delivered"
        ]
    );
    assert_eq!(shop.count("notices").await, 1);
}

#[tokio::test]
async fn what_does_not_decode_parks_its_key() {
    let mut shop = a_shop().await;
    let poison = message(
        topic::PAYMENTS,
        &an_order().to_string(),
        "shop.payments.v1.PaymentRefunded",
        1,
        vec![0xff],
    );
    assert_eq!(shop.mailbox.hear(vec![poison]).await, 1);
}

#[tokio::test]
async fn every_reaction_takes_effect_once_and_whole() {
    let mut shop = a_shop().await.with_contact().await;
    let order = an_order();
    let messages = [
        shop.awaiting_payment(order, 1),
        shop.confirmed(order),
        shop.cancelled(order),
        shop.refunded(order),
        shop.shipped(order),
        shop.delivered(order),
    ];
    for message in messages.clone() {
        reacts_once(&mut shop.mailbox, message).await;
    }
    let other = an_order();
    let messages = [
        shop.awaiting_payment(other, 1),
        shop.confirmed(other),
        shop.cancelled(other),
        shop.refunded(other),
        shop.shipped(other),
        shop.delivered(other),
    ];
    for message in messages {
        reacts_whole(&mut shop.mailbox, message).await;
    }
}
