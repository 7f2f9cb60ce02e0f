//! From a queued notification to what a person gets, and to its record.

use std::time::Duration;

use backends::testing::eventually;
use notify_svc::{
    carriers::{guard::AddressPolicy, webhook::WebhookCarrier},
    deliveries::{DeliveryRoom, deliver},
    domain::{Channel, Contact},
    store::notifications::NotificationRow,
};
use proto::OrderId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    SOON, a_shop, an_order,
    sink::{Sink, a_sink, deliver_all, room},
};

const DUE: &str = "update deliveries set leased_until = clock_timestamp()";

fn contact(email: &str, phone: &str, push_token: &str) -> Contact {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (email, phone, push_token) = (some(email), some(phone), some(push_token));
    Contact { email, phone, push_token, language: None }
}

/// The first notification of an order, once `fits` is true of it.
async fn until(
    room: &DeliveryRoom,
    order: OrderId,
    fits: impl Fn(&NotificationRow) -> bool,
) -> NotificationRow {
    eventually("the notification is so", SOON, async || {
        let mut db = room.pool.acquire().await.unwrap();
        let found =
            notify_svc::store::notifications::of_order(&mut db, (order, None), None, 1).await;
        let row = found.unwrap().pop().ok_or_else(String::new)?;
        if fits(&row) { Ok(row) } else { Err(format!("{row:?}")) }
    })
    .await
}

fn has_ended(row: &NotificationRow) -> bool {
    ["sent", "failed"].contains(&row.status.as_str())
}

/// What becomes of a confirmation to this contact, and what the sink has of it.
async fn confirmed(
    contact: Contact,
    change: impl Fn(&mut DeliveryRoom),
) -> (NotificationRow, Sink) {
    let mut shop = a_shop().await.with(contact).await;
    let (mailbox, _running) = shop.running().await;
    let (sink, ended, order) = (a_sink().await, CancellationToken::new(), an_order());
    let mut room = room(&shop, &mailbox);
    change(&mut room);
    let workers = deliver_all(&mut shop, &sink, &room, &ended);
    let message = shop.confirmed(order);
    shop.hear([message]).await;
    let row = until(&room, order, has_ended).await;
    let said = shop.said_of_orders().await;
    let wanted = if row.status == "sent" { "NotificationSent" } else { "NotificationFailed" };
    assert_eq!(said, [wanted]);
    assert_eq!(shop.count("deliveries").await, 0);
    workers.end(&ended).await;
    (row, sink)
}

#[tokio::test]
async fn a_mail_is_delivered_once_in_text_and_html_and_recorded() {
    let (row, sink) = confirmed(contact("jane@shop.example", "+49301234", "token"), |_| {}).await;

    let [mail] = &sink.messages()[..] else { panic!("one mail: {:?}", sink.messages()) };
    let order = OrderId::new(row.order_id.unwrap());
    assert_eq!(mail.subject, format!("Your order {order} is confirmed"));
    assert_eq!((mail.to.as_str(), mail.channel.as_str()), ("jane@shop.example", "email"));
    assert_eq!(mail.from.as_deref(), Some("shop@shop.example"));
    assert!(mail.text.contains("2 × Blue mug (30.00 USD)\n\nTotal: 60.00 USD"), "{}", mail.text);
    let html = mail.html.as_deref().unwrap();
    assert!(html.contains("<li>2 × Blue mug (30.00 USD)</li>"), "{html}");
    assert_eq!(mail.id, row.notification_id.to_string());
    assert_eq!((row.status.as_str(), row.attempts, row.channel.as_str()), ("sent", 1, "email"));
    assert!(row.provider_id.is_some() && row.sent_at.is_some() && row.detail.is_none());
}

#[tokio::test]
async fn a_customer_reads_in_their_language() {
    let language = Some("ru-RU".to_owned());
    let contact = Contact { language, ..contact("ivan@shop.example", "", "") };
    let (row, sink) = confirmed(contact, |_| {}).await;

    let mail = &sink.messages()[0];
    let order = OrderId::new(row.order_id.unwrap());
    assert_eq!(mail.subject, format!("Ваш заказ {order} подтверждён"));
    assert!(mail.text.contains("Итого: 60.00 USD"), "{}", mail.text);
}

#[tokio::test]
async fn without_a_mail_address_it_is_an_sms_and_without_a_number_a_push() {
    for (contact, channel, to) in [
        (contact("", "+49301234", "token"), "sms", "+49301234"),
        (contact("", "", "token"), "push", "token"),
    ] {
        let (row, sink) = confirmed(contact, |_| {}).await;
        let [message] = &sink.messages()[..] else { panic!("{:?}", sink.messages()) };
        let order = OrderId::new(row.order_id.unwrap());
        assert_eq!((message.channel.as_str(), message.to.as_str()), (channel, to));
        assert_eq!(message.text, format!("Your order {order} over 60.00 USD is confirmed."));
        assert_eq!(message.id, row.notification_id.to_string());
        assert_eq!((row.status.as_str(), row.channel.as_str()), ("sent", channel));
        assert!(row.provider_id.is_some());
    }
}

#[tokio::test]
async fn what_a_provider_refuses_for_good_is_not_tried_again() {
    for contact in [
        contact("refused@sink.example", "", ""),
        contact("", "+15550100001", ""),
        contact("", "", "refused"),
    ] {
        let (row, sink) = confirmed(contact, |_| {}).await;
        assert_eq!((row.failure.as_deref(), row.attempts), (Some("refused"), 1), "{row:?}");
        let why = row.detail.unwrap();
        assert!(why.contains("550") || why.contains("status 422"), "{why}");
        assert!(!why.contains("refused@sink.example"), "{why}");
        assert!(sink.messages().is_empty() && row.sent_at.is_none());
    }
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_and_taken() {
    for contact in [
        contact("once@sink.example", "", ""),
        contact("", "+15550100003", ""),
        contact("", "", "once"),
    ] {
        let (row, sink) = confirmed(contact, |_| {}).await;
        assert_eq!((row.status.as_str(), row.attempts), ("sent", 2), "{row:?}");
        assert_eq!(sink.messages().len(), 1);
    }
}

#[tokio::test]
async fn what_is_never_taken_is_given_up() {
    for contact in [
        contact("later@sink.example", "", ""),
        contact("closes@sink.example", "", ""),
        contact("hangs@sink.example", "", ""),
        contact("", "+15550100002", ""),
        contact("", "", "closes"),
        contact("", "", "hangs"),
    ] {
        let (row, sink) = confirmed(contact, |room| {
            room.give_up_after = Duration::ZERO;
            room.attempt_timeout = Duration::from_millis(300);
        })
        .await;
        assert_eq!((row.failure.as_deref(), row.attempts), (Some("undelivered"), 1), "{row:?}");
        assert!(!row.detail.unwrap().is_empty());
        assert!(sink.messages().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_is_away_delays_a_mail_and_shows_why() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let (ended, order) = (CancellationToken::new(), an_order());
    let room = room(&shop, &mailbox);
    let mut sink = a_sink().await;
    let smtp = std::mem::replace(&mut sink.smtp, ([127, 0, 0, 1], 1).into());
    let workers = deliver_all(&mut shop, &sink, &room, &ended);
    let message = shop.confirmed(order);
    shop.hear([message]).await;

    let row = until(&room, order, |row| row.detail.is_some()).await;

    assert_eq!(row.status, "sending");
    assert!(row.detail.unwrap().contains("refused"));
    assert!(shop.said_of_orders().await.is_empty());
    workers.end(&ended).await;
    sink.smtp = smtp;
    let (_none, jobs) = mpsc::channel(1);
    let carrier = (Channel::Email, sink.mailer());
    let ended = CancellationToken::new();
    let mut working = tokio::task::JoinSet::new();
    working.spawn(deliver(carrier, jobs, room.clone(), ended.clone()));
    shop.run(DUE).await;
    let row = until(&room, order, has_ended).await;
    assert!(row.status == "sent" && row.attempts > 1 && row.detail.is_none(), "{row:?}");
    ended.cancel();
    working.join_next().await.unwrap().unwrap().unwrap();
}

/// One that hangs holds one connection, and the others go on beside it.
#[tokio::test]
async fn a_mail_without_an_answer_does_not_delay_the_others() {
    let mut shop = a_shop().await.with(contact("hangs@sink.example", "", "")).await;
    let (mailbox, _running) = shop.running().await;
    let (sink, ended) = (a_sink().await, CancellationToken::new());
    let room = room(&shop, &mailbox);
    let workers = deliver_all(&mut shop, &sink, &room, &ended);
    let (hangs, goes) = (an_order(), an_order());
    let message = shop.confirmed(hangs);
    shop.hear([message]).await;
    until(&room, hangs, |row| row.status == "sending").await;

    let mut shop = shop.with_contact().await;
    let message = shop.confirmed(goes);
    shop.hear([message]).await;

    until(&room, goes, |row| row.status == "sent").await;
    assert_eq!(until(&room, hangs, |_| true).await.status, "sending");
    workers.end(&ended).await;
}

#[tokio::test]
async fn a_webhook_does_not_reach_into_this_network() {
    let mut shop = a_shop().await.with(contact("", "+49301234", "")).await;
    let (mailbox, _running) = shop.running().await;
    let (sink, order) = (a_sink().await, an_order());
    let mut room = room(&shop, &mailbox);
    room.give_up_after = Duration::ZERO;
    let by_name = sink.provider(Channel::Sms);
    let mut by_address = by_name.clone();
    by_address.url.set_host(Some("127.0.0.1")).unwrap();
    for endpoint in [by_name, by_address] {
        let endpoint = notify_svc::carriers::webhook::WebhookEndpoint {
            addresses: AddressPolicy::PublicOnly,
            ..endpoint
        };
        let message = shop.awaiting_payment(order, 1);
        shop.hear([message]).await;
        let (hand, jobs) = mpsc::channel(1);
        hand.send(shop.handed()).await.unwrap();
        drop(hand);
        let carrier = (Channel::Sms, WebhookCarrier::new(Some(endpoint)).unwrap());
        deliver(carrier, jobs, room.clone(), CancellationToken::new()).await.unwrap();
    }

    let row = until(&room, order, has_ended).await;
    assert_eq!(row.failure.as_deref(), Some("undelivered"));
    assert!(sink.messages().is_empty());
}

#[tokio::test]
async fn what_is_signed_with_another_secret_is_refused() {
    let mut shop = a_shop().await.with(contact("", "", "token")).await;
    let (mailbox, _running) = shop.running().await;
    let (sink, order) = (a_sink().await, an_order());
    let room = room(&shop, &mailbox);
    let mut endpoint = sink.provider(Channel::Push);
    endpoint.secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let message = shop.confirmed(order);
    shop.hear([message]).await;
    let (hand, jobs) = mpsc::channel(1);
    hand.send(shop.handed()).await.unwrap();
    drop(hand);

    let carrier = (Channel::Push, WebhookCarrier::new(Some(endpoint)).unwrap());
    deliver(carrier, jobs, room.clone(), CancellationToken::new()).await.unwrap();

    let row = until(&room, order, has_ended).await;
    assert_eq!(row.detail.as_deref(), Some("status 401"));
    assert!(sink.messages().is_empty());
}

#[tokio::test]
async fn what_a_dead_process_had_in_hand_is_delivered_when_its_lease_is_over() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let order = an_order();
    let message = shop.confirmed(order);
    shop.hear([message]).await;
    drop(shop.handed());
    let (sink, ended) = (a_sink().await, CancellationToken::new());
    let room = room(&shop, &mailbox);
    let workers = deliver_all(&mut shop, &sink, &room, &ended);

    shop.run(DUE).await;
    until(&room, order, has_ended).await;

    assert_eq!(sink.messages().len(), 1);
    workers.end(&ended).await;
}

/// A delivery that waits in a slow process may have been made by another process meanwhile.
#[tokio::test]
async fn a_mail_that_somebody_else_has_taken_over_is_not_sent_again() {
    let mut shop = a_shop().await.with_contact().await;
    let (mailbox, _running) = shop.running().await;
    let order = an_order();
    let message = shop.confirmed(order);
    shop.hear([message]).await;
    let stale = shop.handed();
    shop.run(DUE).await;
    let (sink, ended) = (a_sink().await, CancellationToken::new());
    let room = room(&shop, &mailbox);
    let workers = deliver_all(&mut shop, &sink, &room, &ended);
    until(&room, order, has_ended).await;
    workers.end(&ended).await;

    let (hand, jobs) = mpsc::channel(1);
    hand.send(stale).await.unwrap();
    drop(hand);
    let carrier = (Channel::Email, sink.mailer());
    deliver(carrier, jobs, room, CancellationToken::new()).await.unwrap();

    assert_eq!(sink.messages().len(), 1);
}
