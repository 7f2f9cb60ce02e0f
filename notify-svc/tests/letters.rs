//! What staff send: notifications on request, templates, and their preview.

use serde_json::{Value, json};
use service_kit::testing::is_found;

use super::{
    CUSTOMER, an_order,
    http::{Server, a_server},
    sink,
};

const UNKNOWN: &str = "01932c1e-0000-7000-8000-000000000000";

impl Server {
    async fn send(&self, channel: &str, body: Value) -> (u16, Value) {
        let answer = self.http.post(&format!("/v1/notifications/{channel}"), &body).await;
        (answer.status.as_u16(), answer.body)
    }
}

#[tokio::test]
async fn a_letter_on_each_channel_is_queued_shown_and_sent() {
    let mut server = a_server().await;
    let letters = [
        (
            "email",
            json!({"to": "jane@shop.example", "template": "order_shipped",
            "data": {"order_id": "42", "carrier": "Parcel", "tracking_number": "1Z9"}}),
        ),
        ("email", json!({"to": "jane@shop.example", "subject": "Hello", "text": "One\nTwo"})),
        ("sms", json!({"to": "+49 30 1234", "text": "Hello"})),
        ("push", json!({"to": "token-1", "subject": "Hello", "text": "There"})),
    ];
    let mut ids = Vec::new();
    for (channel, body) in letters {
        let (status, told) = server.send(channel, body.clone()).await;
        assert_eq!((status, &told["status"]), (202, &json!("queued")), "{told}");
        assert_eq!(told["template"], body["template"]);
        assert_eq!((&told["channel"], &told["attempts"]), (&json!(channel), &json!(0)));
        assert_eq!((&told["order_id"], &told["customer_id"]), (&json!(null), &json!(null)));
        let id = told["id"].as_str().unwrap().to_owned();
        let shown = server.http.get(&format!("/v1/notifications/{id}")).await;
        assert_eq!(shown.body, told);
        ids.push(id);
    }

    let ended = tokio_util::sync::CancellationToken::new();
    let (room, sink) = (sink::room(&server.shop, &server.mailbox), sink::a_sink().await);
    let workers = sink::deliver_all(&mut server.shop, &sink, &room, &ended);
    for id in &ids {
        let path = format!("/v1/notifications/{id}");
        backends::testing::eventually("it is sent", super::SOON, async || {
            let shown = server.http.get(&path).await.body;
            if shown["status"] == "sent" { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    }
    workers.end(&ended).await;

    let of = |id: &str| sink.log.newest(10, |it| it.id == id).remove(0);
    assert_eq!(of(&ids[0]).subject, "Your order 42 is on its way");
    assert!(of(&ids[0]).html.unwrap().contains("Parcel"));
    assert_eq!((of(&ids[1]).text.trim_end(), of(&ids[1]).html), ("One\nTwo", None));
    assert_eq!((of(&ids[2]).to, of(&ids[2]).text), ("+49 30 1234".into(), "Hello".into()));
    assert_eq!((of(&ids[3]).subject, of(&ids[3]).text), ("Hello".into(), "There".into()));
    assert!(server.shop.said_of_orders().await.is_empty(), "nothing is published without an order");
}

#[tokio::test]
async fn a_letter_about_an_order_is_one_of_its_notifications_and_published() {
    let mut server = a_server().await;
    let contact = json!({"email": "ivan@shop.example", "language": "ru"});
    server.put(&format!("/v1/customers/{CUSTOMER}/contact"), contact).await;
    let order = an_order();
    let unknown = json!({"to": "+4930123", "text": "Hi", "order_id": order.to_string()});
    let refused = server.http.post("/v1/notifications/sms", &unknown).await;
    assert_eq!((refused.code(), refused.pointer()), ((422, "invalid_value"), "/order_id"));
    let shipped = server.shop.shipped(order);
    server.shop.hear([shipped]).await;

    for _ in 0..2 {
        let letter = json!({"to": "+4930123", "template": "order_delivered",
            "order_id": order.to_string(), "data": {"order_id": order.to_string()}});
        let (status, told) = server.send("sms", letter).await;
        assert_eq!((status, &told["customer_id"]), (202, &json!(CUSTOMER)));
        assert_eq!(told["order_id"], json!(order.to_string()));
    }

    let (_, list) = server.get(&format!("/v1/notifications?order_id={order}")).await;
    let channels: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|it| &it["channel"]).collect();
    assert_eq!(channels, ["email", "sms", "sms"]);
    let ended = tokio_util::sync::CancellationToken::new();
    let (room, sink) = (sink::room(&server.shop, &server.mailbox), sink::a_sink().await);
    let workers = sink::deliver_all(&mut server.shop, &sink, &room, &ended);
    backends::testing::eventually("all are sent", super::SOON, async || {
        let sent = sink.messages().len();
        if sent == 3 { Ok(()) } else { Err(sent) }
    })
    .await;
    workers.end(&ended).await;
    assert_eq!(server.shop.said_of_orders().await, ["NotificationSent"; 3]);
    let texts = sink.log.newest(10, |it| it.channel == "sms");
    assert_eq!(texts[0].text, format!("Ваш заказ {order} доставлен."));
}

#[tokio::test]
async fn a_repeated_letter_is_sent_once() {
    let mut server = a_server().await;
    let body = json!({"to": "jane@shop.example", "subject": "Hello", "text": "There"});
    let key = [("idempotency-key", "letter-1")];

    let first = server.http.post_with("/v1/notifications/email", &key, &body).await;
    let again = server.http.post_with("/v1/notifications/email", &key, &body).await;
    let other = json!({"to": "jane@shop.example", "subject": "Hello", "text": "Else"});
    let other = server.http.post_with("/v1/notifications/email", &key, &other).await;

    assert_eq!((first.status.as_u16(), again.header("idempotency-replayed")), (202, "true"));
    assert_eq!(first.body, again.body);
    let at = format!("/v1/notifications/{}", first.body["id"].as_str().unwrap());
    assert_eq!((first.header("location"), again.header("location")), (at.as_str(), at.as_str()));
    assert_eq!(other.code(), (422, "idempotency_key_reused"));
    assert_eq!(server.shop.handed().len(), 1);
}

/// Sends letters that are wrong: each is refused with this code, at this place.
async fn refused(server: &Server, letters: &[(&str, Value, &str, &str)]) {
    for (channel, body, code, pointer) in letters {
        let answer = server.http.post(&format!("/v1/notifications/{channel}"), body).await;
        assert_eq!((answer.code(), answer.pointer()), ((422, *code), *pointer), "{body}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_letter_is_told_with_its_place() {
    let server = a_server().await;
    let wrong = "invalid_value";
    let mail =
        |to: &str, subject: &str, text: &str| json!({"to": to, "subject": subject, "text": text});
    let (to, long) = ("jane@shop.example", "é".repeat(10_001));
    let rows = [
        ("email", json!({"subject": "a", "text": "b"}), "missing_field", "/to"),
        ("email", json!({"to": to}), "missing_field", "/subject"),
        ("email", json!({"to": to, "subject": "a"}), "missing_field", "/text"),
        ("sms", json!({"to": "+4930123"}), "missing_field", "/text"),
        ("email", mail("a\nb@c.example", "a", "b"), wrong, "/to"),
        ("email", mail("nobody", "a", "b"), wrong, "/to"),
        ("sms", mail("+49\n30123", "a", "b"), wrong, "/to"),
        ("push", mail("a\r\nb", "a", "b"), wrong, "/to"),
        ("push", mail("", "a", "b"), wrong, "/to"),
        ("email", mail(to, "a\r\nBcc: x", "b"), wrong, "/subject"),
        ("push", mail("a", "a\nb", "b"), wrong, "/subject"),
        ("email", mail(to, &"a".repeat(201), "b"), wrong, "/subject"),
        ("email", mail(to, "a", &long), wrong, "/text"),
        ("email", mail(to, "a", ""), wrong, "/text"),
    ];
    refused(&server, &rows).await;
    let longest = mail(to, &"a".repeat(200), &"é".repeat(10_000));
    assert_eq!(server.send("email", longest).await.0, 202);
}

#[tokio::test]
async fn what_is_wrong_with_a_template_or_an_order_is_told_with_its_place() {
    let server = a_server().await;
    let wrong = "invalid_value";
    let due = |name: &str, value: Value| {
        let mut body = json!({"to": "jane@shop.example", "template": "payment_due"});
        body[name] = value;
        body
    };
    let rows = [
        ("email", due("template", json!("birthday")), "unknown_template", "/template"),
        ("email", due("text", json!("b")), wrong, "/text"),
        ("email", due("data", json!(7)), wrong, "/data"),
        ("email", due("data", json!({"amount": 7})), wrong, "/data/amount"),
        ("email", due("data", json!({"amount": "a".repeat(201)})), wrong, "/data/amount"),
        ("email", due("order_id", json!("7")), wrong, "/order_id"),
        ("email", due("order_id", json!(UNKNOWN)), wrong, "/order_id"),
        ("email", due("fax", json!("1")), "unknown_field", "/fax"),
    ];
    refused(&server, &rows).await;
}

#[tokio::test]
async fn templates_are_listed_page_by_page_with_their_fields() {
    let server = a_server().await;

    let (_, first) = server.get("/v1/templates?limit=4").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, rest) = server.get(&format!("/v1/templates?cursor={cursor}")).await;

    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        [names(&first), names(&rest)].concat(),
        [
            "order_confirmation",
            "payment_due",
            "order_cancelled",
            "payment_refunded",
            "order_shipped",
            "order_delivered"
        ]
    );
    assert_eq!(rest["next_cursor"], Value::Null);
    assert_eq!(
        first["items"][0],
        json!({"name": "order_confirmation", "channels": ["email", "sms", "push"],
               "fields": ["order_id", "items", "total"]})
    );
}

#[tokio::test]
async fn a_preview_shows_what_a_mail_would_say_and_is_not_kept() {
    let mut server = a_server().await;
    let path = "/v1/templates/payment_refunded/preview";
    let data = json!({"data": {"order_id": "42", "amount": "<5.00 EUR>"}, "language": "ru"});

    let shown = server.http.post(path, &data).await;
    let empty = server.http.ask("POST", path, &[], None).await;

    assert_eq!(shown.status, 200);
    assert_eq!(shown.body["subject"], "Деньги за заказ 42 возвращаются");
    assert_eq!(shown.body["text"], "Мы вернули <5.00 EUR> за ваш заказ 42.\n");
    assert!(shown.body["html"].as_str().unwrap().contains("&lt;5.00 EUR&gt;"));
    assert_eq!(
        (empty.status.as_u16(), &empty.body["subject"]),
        (200, &json!("Your money for order  is on its way"))
    );
    let key = [("idempotency-key", "preview-1")];
    server.http.post_with(path, &key, &data).await;
    let again = server.http.post_with(path, &key, &data).await;
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("", &shown.body));
    assert!(!is_found(&mut server.shop.mailbox, "5.00 EUR").await);
    let no_key = [("idempotency-key", "preview 1")];
    let refused = server.http.post_with(path, &no_key, &data).await;
    assert_eq!(refused.code(), (400, "bad_header"));
    for (path, body, wanted) in [
        ("/v1/templates/birthday/preview", json!({}), (404, "not_found")),
        (path, json!({"data": {"amount": 5}}), (422, "invalid_value")),
        (path, json!({"to": "x"}), (422, "unknown_field")),
    ] {
        assert_eq!(server.http.post(path, &body).await.code(), wanted, "{path} {body}");
    }
}
