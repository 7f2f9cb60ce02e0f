//! What must not be kept is planted wherever a request takes text, and then looked for in all that
//! a stack keeps.

mod sweep;

use e2e::{Customer, PlacedOrder, Product, Shop, in_a_shop_of_its_own};
use proto::topic;
use serde_json::{Value, json};

use self::sweep::{Place, everything};

/// A card number that is not one of the published test numbers, as people write it.
const WRITTEN: [&str; 3] = ["4012888888881881", "4012 8888 8888 1881", "4012-8888-8888-1881"];
/// A published one, which may be paid with.
const PUBLISHED: &str = "4111111111111111";
/// An id that nothing has.
const NOBODY: &str = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";

/// Where each of these words is found.
fn found(places: &[Place], words: &[&str]) -> Vec<String> {
    let at = |word: &str| {
        let holding = places.iter().filter(|place| place.holds(word));
        holding.map(|place| format!("{word} in {}", place.name)).collect::<Vec<_>>()
    };
    words.iter().flat_map(|word| at(word)).collect()
}

/// The names of the places that hold the word; a leaf counts as its table.
fn places_of<'a>(places: &'a [Place], word: &str) -> Vec<&'a str> {
    places.iter().filter(|place| place.holds(word)).map(|place| place.name.as_str()).collect()
}

/// A sweep that misses whole rooms would find nothing there: what has to be in each is looked for.
fn sees_every_room(places: &[Place], order: &PlacedOrder) {
    let at = places_of(places, &order.id);
    for database in ["orders", "payments", "stock", "notify"] {
        let table = format!("table {database}.");
        assert!(at.iter().any(|place| place.starts_with(&table)), "{database} is not in {at:?}");
    }
    let topics = [topic::ORDERS, topic::PAYMENTS, topic::STOCK, topic::NOTIFICATIONS];
    for topic in topics {
        assert!(at.contains(&format!("topic {topic}").as_str()), "{topic} is not in {at:?}");
    }
    assert!(at.contains(&"file simulator-ledger.jsonl"), "{at:?}");
    for process in shop::processes::OURS.into_iter().chain(["postgres", "kafka"]) {
        let log = format!("log {process}.log");
        assert!(places.iter().any(|place| place.name == log), "{log} was not read");
    }
}

/// Requests with this text in every place where people write: method, path and body.
fn requests(order: &PlacedOrder, mug: &Product, text: &str) -> Vec<(&'static str, String, Value)> {
    let line = json!({"sku": mug.sku, "quantity": 1});
    let extra = json!({"description": text, "quantity": 1, "unit_price": "1.00"});
    let card = |token: &str| json!({"method": "card", "token": token});
    let placed = |member: &str, value: Value| {
        let mut body = json!({"customer_id": "someone", "items": [line]});
        body[member] = value;
        body
    };
    let number = json!({"type": "credit_card", "card_number": text, "expiry": "12/99"});
    let token = json!({"type": "card", "token": text});
    let paid = |method: &Value| json!({"order_id": order.id, "payment_method": method});
    let reason = json!({"reason": text});
    let replay = json!({"service": "order-svc", "dry_run": false, "reason": text});
    let bulk = json!({"action": "release", "filter": {"service": "order-svc"}, "expected": 0,
        "reason": text});
    let mail =
        |subject: &str, text: &str| json!({"to": "a@b.example", "subject": subject, "text": text});
    let data = json!({"to": "a@b.example", "template": "payment_due", "data": {"amount": text}});
    let contact = "/v1/customers/someone/contact";
    let parked = format!("/v1/parked/order-svc/{}/{NOBODY}", topic::STOCK);
    let requests = [
        ("POST", "/v1/orders".to_owned(), placed("note", json!(text))),
        ("POST", "/v1/orders".to_owned(), placed("items", json!([extra]))),
        ("POST", "/v1/orders".to_owned(), placed("payment", card(text))),
        ("PUT", order.path(""), json!({"items": [extra]})),
        ("POST", order.path("/cancel"), reason.clone()),
        ("POST", order.path("/ship"), json!({"carrier": text, "tracking_number": "1Z"})),
        ("POST", order.path("/ship"), json!({"carrier": "post", "tracking_number": text})),
        ("POST", "/v1/payments".to_owned(), paid(&number)),
        ("POST", "/v1/payments".to_owned(), paid(&token)),
        ("PUT", format!("/v1/products/{}", mug.sku), json!({"name": text, "price": "1.00"})),
        (
            "POST",
            format!("/v1/products/{}/stock", mug.sku),
            json!({"warehouse": "main", "delta": 1, "reason": text}),
        ),
        ("PUT", "/v1/warehouses/far".to_owned(), json!({"name": text, "priority": 9})),
        ("POST", "/v1/reservations".to_owned(), json!({"reference": text, "items": [line]})),
        ("POST", "/v1/notifications/email".to_owned(), mail(text, "Hello")),
        ("POST", "/v1/notifications/email".to_owned(), mail("Hello", text)),
        ("POST", "/v1/notifications/email".to_owned(), data),
        ("POST", "/v1/notifications/sms".to_owned(), json!({"to": "+4930123", "text": text})),
        ("POST", "/v1/notifications/push".to_owned(), json!({"to": "phone-1", "text": text})),
        ("PUT", contact.to_owned(), json!({"language": text})),
        ("POST", format!("{parked}/discard"), reason.clone()),
        ("POST", format!("{parked}/replace"), json!({"payload": "AAAA", "reason": text})),
        ("POST", "/v1/consumers/order-svc/pause".to_owned(), reason.clone()),
        ("POST", "/v1/consumers/order-svc/resume".to_owned(), reason.clone()),
        ("POST", "/v1/lanes/order-svc/pause".to_owned(), reason.clone()),
        ("POST", "/v1/lanes/order-svc/resume".to_owned(), reason),
        ("POST", "/v1/replays".to_owned(), replay),
        ("POST", "/v1/parked/bulk".to_owned(), bulk),
    ];
    requests.into()
}

#[test]
fn a_card_number_is_refused_wherever_people_write_and_kept_nowhere() {
    in_a_shop_of_its_own(&[], async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
        shop.expect(&order, "payment_pending").await;

        let mut taken = Vec::new();
        for text in WRITTEN {
            for text in [text.to_owned(), format!("card: {text}!")] {
                for (method, path, body) in requests(&order, &mug, &text) {
                    let told = shop.ask(method, &path).json(&body).await;
                    let is_refused = (told.status, told.code()) == (422, "card_number_refused");
                    if !is_refused || told.text.contains(text.as_str()) {
                        taken.push(told.to_string());
                    }
                }
            }
            // Neither a search nor a path is a text that is kept; neither may be logged.
            let query = text.replace(' ', "%20");
            shop.get(&format!("/v1/products?q={query}")).await.with(200);
            shop.get(&format!("/v1/orders/{query}")).await.refused(404, "not_found");
            shop.get(&format!("/v1/nothing/{query}")).await.refused(404, "not_found");
        }
        let method = json!({"type": "credit_card", "card_number": PUBLISHED, "expiry": "12/99"});
        shop.paying(&order, &method).await.with(201);
        shop.expect(&order, "confirmed").await;
        shop.notification(&order, "order_confirmation", "failed").await;
        shop.is_well().await;

        let places = everything(shop).await;
        sees_every_room(&places, &order);
        let kept = found(&places, &[&WRITTEN[..], &[PUBLISHED]].concat());
        assert!(kept.is_empty(), "kept: {kept:#?}\ntaken: {taken:#?}");
        assert!(taken.is_empty(), "{taken:#?}");
    });
}

/// What a customer wrote, and what was written to them. Each word is used in one place.
const WORDS: [&str; 10] = [
    "canary-note",
    "canary-mail",
    "4930987654321",
    "canary-push",
    "canary-cancel",
    "canary-subject",
    "canary-text",
    "canary-field",
    "canary-waits",
    "canary-preview",
];
/// What staff put into an order travels with its events, and so has to be nothing personal.
const TRAVELS: [&str; 3] = ["wraps-in-blue", "carrier-pigeon", "tracked-by-42"];
/// What staff write about goods is no customer's, and stays; each with its table.
const STAYS: [(&str, &str); 2] = [
    ("for-the-fair", "table stock.reservations"),
    ("counted-anew", "table stock.stock_adjustments"),
];

#[test]
fn after_an_erasure_nothing_is_left_of_what_a_customer_wrote() {
    in_a_shop_of_its_own(&[], async |shop| {
        let customer = shop.welcomes("100.00").await;
        let shipped = tells_all_there_is_to_tell(shop, &customer).await;
        let before = everything(shop).await;
        sees_every_room(&before, &shipped);
        let kept_at = [
            ("canary-note", "table orders.order_texts"),
            ("canary-note", "table orders.idempotency_keys"),
            ("canary-cancel", "table orders.order_texts"),
            ("canary-mail", "table notify.contacts"),
            ("canary-text", "table notify.notifications"),
            ("canary-text", "file messages.jsonl"),
            ("canary-waits", "table notify.notifications"),
        ];
        for (word, place) in kept_at {
            let at = places_of(&before, word);
            assert!(at.contains(&place), "{word} is in {at:?}, not in {place}");
        }

        let path = format!("/v1/customers/{}", customer.id);
        let erased = shop.delete(&path).await.with(200)["erased"].take();
        let again = shop.delete(&path).await.with(200)["erased"].take();

        assert_eq!((&erased["contacts"], &erased["orders"]), (&json!(1), &json!(2)), "{erased}");
        assert!(again.as_object().unwrap().values().all(|count| *count == 0), "{again}");
        let shown = shop.get(&shipped.path("")).await.with(200);
        assert_eq!((&shown["note"], &shown["status"]), (&json!(""), &json!("shipped")));
        shop.is_well().await;
        let after = everything(shop).await;
        sees_every_room(&after, &shipped);
        let mut left = found(&after, &WORDS);
        // What was delivered before lies with those who took it; the sink is their stand-in.
        left.retain(|it| !it.ends_with(" in file messages.jsonl"));
        assert!(left.is_empty(), "{left:#?}");
        assert!(!places_of(&after, "canary-waits").contains(&"file messages.jsonl"));
        for word in TRAVELS {
            let at = places_of(&after, word);
            let topic = format!("topic {}", topic::ORDERS);
            assert!(at.contains(&topic.as_str()), "{word} is in {at:?}: were the topics read?");
        }
        for (word, table) in STAYS {
            let at = places_of(&after, word);
            assert!(at.contains(&table), "{word} is in {at:?}, not in {table}");
        }
    });
}

/// Plants every word; returns an order that was shipped.
async fn tells_all_there_is_to_tell(shop: &Shop, customer: &Customer) -> PlacedOrder {
    let mug = shop.lists("5.00", 50).await;
    let with_key = |method: &str, path: &str, body: &Value| {
        shop.ask(method, path).json(body).header("idempotency-key", &shop.a_name("key"))
    };
    let contact = json!({"email": "canary-mail@example.com", "phone": "+4930987654321",
        "push_token": "canary-push", "language": "en"});
    let path = format!("/v1/customers/{}/contact", customer.id);
    with_key("PUT", &path, &contact).await.with(200);
    let fair = json!({"reference": STAYS[0].0, "items": [{"sku": mug.sku, "quantity": 1}]});
    with_key("POST", "/v1/reservations", &fair).await.with(201);
    let counted = json!({"warehouse": "main", "delta": 1, "reason": STAYS[1].0});
    with_key("POST", &format!("/v1/products/{}/stock", mug.sku), &counted).await.with(200);
    let mut orders = Vec::new();
    let extra = json!({"description": TRAVELS[0], "quantity": 1, "unit_price": "1.00"});
    for _ in 0..2 {
        let lines = json!([{"sku": mug.sku, "quantity": 1}, extra]);
        let wanted = customer.wants(1, &mug).with("items", lines).by_card("tok_visa");
        let wanted = wanted.with("note", json!("the canary-note is yellow"));
        let order = PlacedOrder::of(with_key("POST", "/v1/orders", &wanted.body).await.with(201));
        shop.expect(&order, "confirmed").await;
        shop.notification(&order, "order_confirmation", "sent").await;
        orders.push(order);
    }
    let words = json!({"reason": "it is canary-cancel"});
    with_key("POST", &orders[0].path("/cancel"), &words).await.with(200);
    shop.saga(&orders[0], "compensated").await;
    let parcel = json!({"carrier": TRAVELS[1], "tracking_number": TRAVELS[2]});
    with_key("POST", &orders[1].path("/ship"), &parcel).await.with(200);
    let payment = shop.the("payments", &orders[1], "captured").await;
    let refund = format!("/v1/payments/{}/refund", payment["id"].as_str().unwrap());
    with_key("POST", &refund, &json!({"amount": "1.00"})).await.with(200);

    let about = &orders[1].id;
    let mail = "canary-mail@example.com";
    let letters = [
        ("email", json!({"to": mail, "subject": "canary-subject", "text": "canary-text"})),
        (
            "email",
            json!({"to": mail, "template": "order_shipped", "order_id": about,
                "data": {"carrier": "canary-field"}}),
        ),
        ("sms", json!({"to": "+4930987654321", "text": "canary-text", "order_id": about})),
        ("push", json!({"to": "canary-push", "subject": "canary-subject", "text": "canary-text"})),
    ];
    for (channel, body) in letters {
        let path = format!("/v1/notifications/{channel}");
        let queued = with_key("POST", &path, &body).await.with(202);
        let path = format!("/v1/notifications/{}", queued["id"].as_str().unwrap());
        shop.until(&path, "sent", |it| it["status"] == "sent").await;
    }
    let preview = json!({"data": {"carrier": "canary-preview"}});
    let shown = with_key("POST", "/v1/templates/order_shipped/preview", &preview).await.with(200);
    assert!(shown.to_string().contains("canary-preview"), "{shown}");
    // Nobody takes this one: it waits.
    let waits = json!({"to": "+15550100002", "text": "canary-waits", "order_id": about});
    with_key("POST", "/v1/notifications/sms", &waits).await.with(202);
    orders.swap_remove(1)
}
