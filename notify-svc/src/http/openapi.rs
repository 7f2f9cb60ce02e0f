//! This service's operations, described to machines.

use chassis::{
    Code,
    openapi::{AT, ApiOperation, ID, delete, get, post, put},
};
use proto::{CustomerId, NotificationId, OrderId, WebhookId};
use serde_json::json;

use super::{bodies, webhook_bodies};
use crate::{
    carriers::guard::AddressPolicy,
    domain::{Channel, Template, WebhookDeliveryStatus},
    templates::Text,
    views::{
        ContactView, NotificationView, TemplateView,
        webhooks::{DeliveryView, ReplayView, WebhookView},
    },
};

/// Every operation of this service but the operators', and the erasure, which is the gateway's.
pub fn operations() -> Vec<ApiOperation> {
    [notifications(), templates(), contacts(), webhooks()].into_iter().flatten().collect()
}

fn notifications() -> Vec<ApiOperation> {
    let send = |path, id, summary, channel, to: &str| {
        let template = json!({"to": to, "template": "payment_due", "order_id": ID,
            "data": {"order_id": ID, "amount": "59.98 USD", "pay_by": "tomorrow"}});
        let words = json!({"to": to, "subject": "Your order", "text": "It is on its way."});
        post(path, id, summary)
            .about("Either a template with its `data`, or a `subject` and a `text`.")
            .body(vec![("from a template", template), ("in words", words)], move |fields| {
                bodies::letter(channel, fields)
            })
            .answers::<NotificationView<'_>>(202, "It is queued.")
            .refuses(&[Code::InvalidValue, Code::UnknownTemplate])
    };
    vec![
        get("/v1/notifications", "list_notifications", "The notifications of an order")
            .required_query::<OrderId>("order_id", "The order.")
            .list::<NotificationView<'_>>("The notifications, the oldest first."),
        send(
            "/v1/notifications/email",
            "send_email",
            "Sends a mail",
            Channel::Email,
            "customer@example.com",
        ),
        send("/v1/notifications/sms", "send_sms", "Sends an SMS", Channel::Sms, "+15550100001"),
        send("/v1/notifications/push", "send_push", "Sends a push", Channel::Push, "fcm:abc-123"),
        get("/v1/notifications/{id}", "get_notification", "A notification")
            .path::<NotificationId>("id", "The notification.")
            .resource::<NotificationView<'_>>(
                "The notification, its address masked for customers.",
            ),
    ]
}

fn templates() -> Vec<ApiOperation> {
    let preview = json!({"data": {"order_id": ID}, "language": "en"});
    vec![
        get("/v1/templates", "list_templates", "Templates")
            .list::<TemplateView>("The templates, with the fields that they take."),
        post("/v1/templates/{name}/preview", "preview", "What a template would say")
            .path::<Template>("name", "The template.")
            .optional_body(vec![("filled", preview), ("empty", json!({}))], bodies::preview)
            .answers::<Text>(200, "The text."),
    ]
}

fn contacts() -> Vec<ApiOperation> {
    let path = "/v1/customers/{id}/contact";
    let contact = json!({
        "email": "customer@example.com", "phone": "+15550100001", "push_token": "fcm:abc-123",
        "language": "en",
    });
    let read = |fields: &mut chassis::body::Fields<'_>| Some(bodies::contact(fields));
    vec![
        of_customer(get(path, "get_contact", "Where a customer is reached"))
            .resource::<ContactView<'_>>("The contact; masked for those who only look."),
        of_customer(put(path, "put_contact", "Says where a customer is reached"))
            .keyed()
            .if_match()
            .body(vec![("everywhere", contact), ("nowhere", json!({}))], read)
            .answers::<ContactView<'_>>(200, "The contact.")
            .refuses(&[Code::InvalidValue]),
    ]
}

fn webhooks() -> Vec<ApiOperation> {
    let settings = || {
        let some = json!({
            "url": "https://erp.example/hook", "events": ["OrderConfirmed", "OrderCancelled"],
            "description": "the ERP", "status": "enabled",
        });
        let all = json!({"url": "https://erp.example/hook", "events": ["*"]});
        vec![("some events", some), ("all events", all)]
    };
    let read = |fields: &mut chassis::body::Fields<'_>| {
        webhook_bodies::settings(fields, AddressPolicy::PublicOnly)
    };
    let nothing = || vec![("nothing", json!({}))];
    let period = json!({"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00Z"});
    vec![
        get("/v1/webhooks", "list_webhooks", "Who is told of events")
            .list::<WebhookView<'_>>("The webhooks, the oldest first."),
        post("/v1/webhooks", "create_webhook", "Tells somebody of events")
            .about("As CloudEvents, signed as Standard Webhooks say. `url` leads to no private address.")
            .body(settings(), read)
            .places::<WebhookView<'_>>(201, "The webhook, with its secret, this once.")
            .refuses(&[Code::InvalidValue]),
        of_webhook(get("/v1/webhooks/{id}", "get_webhook", "A webhook"))
            .resource::<WebhookView<'_>>("The webhook, without its secret."),
        of_webhook(put("/v1/webhooks/{id}", "put_webhook", "Changes a webhook"))
            .about("It is enabled unless `status` says otherwise.")
            .keyed()
            .if_match()
            .body(settings(), read)
            .answers::<WebhookView<'_>>(200, "The webhook.")
            .refuses(&[Code::InvalidValue]),
        of_webhook(delete("/v1/webhooks/{id}", "delete_webhook", "Ends a webhook"))
            .if_match()
            .done(204, "Nobody is told any more."),
        of_webhook(post(
            "/v1/webhooks/{id}/rotate-secret",
            "rotate_secret",
            "Gives a webhook a new secret",
        ))
        .about("For a day the old one signs beside it.")
        .optional_body(nothing(), |_nothing| Some(()))
        .answers::<WebhookView<'_>>(200, "The webhook, with its new secret, this once."),
        of_webhook(get(
            "/v1/webhooks/{id}/deliveries",
            "list_deliveries",
            "What was told",
        ))
        .query::<WebhookDeliveryStatus>("status", "Only those that stand so.")
        .list::<DeliveryView<'_>>("The deliveries, the newest first."),
        of_webhook(post(
            "/v1/webhooks/{id}/deliveries/{delivery}/resend",
            "resend",
            "Tells an event once more",
        ))
        .path::<String>("delivery", "The delivery.")
        .optional_body(nothing(), |_nothing| Some(()))
        .answers::<DeliveryView<'_>>(202, "The delivery, on its way again."),
        of_webhook(post("/v1/webhooks/{id}/replay", "replay", "Tells a time again"))
            .about("The events of a time that are kept: those of the last week.")
            .body(vec![("an hour", period)], webhook_bodies::period)
            .answers::<ReplayView>(202, "How many events that are.")
            .refuses(&[Code::InvalidValue]),
    ]
}

fn of_webhook(operation: ApiOperation) -> ApiOperation {
    operation.path::<WebhookId>("id", "The webhook.")
}

fn of_customer(operation: ApiOperation) -> ApiOperation {
    operation.path::<CustomerId>("id", "The customer.")
}

chassis::examples! {
    NotificationView<'_> => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "order_id": ID,
        "customer_id": "customer-456", "channel": "email", "template": "order_confirmation",
        "to": "c***@example.com", "status": "sent", "attempts": 1, "provider_id": null,
        "created_at": AT, "sent_at": AT, "failure": null, "detail": null,
    },
    TemplateView => {
        "name": "payment_due", "channels": ["email", "sms", "push"],
        "fields": ["order_id", "amount", "pay_by"],
    },
    Text => {"subject": "Your order", "text": "It is on its way.", "html": null},
    ContactView<'_> => {
        "customer_id": "customer-456", "email": "customer@example.com",
        "phone": "+15550100001", "push_token": null, "language": "en",
    },
    WebhookView<'_> => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "url": "https://erp.example/hook",
        "events": ["OrderConfirmed", "OrderCancelled"], "description": "the ERP",
        "status": "enabled", "disabled_reason": null, "secret": null, "created_at": AT,
    },
    DeliveryView<'_> => {
        "id": "7", "event_id": "01932c1e-7a4c-7000-8000-0123456789ab",
        "type": "OrderConfirmed", "status": "delivered",
        "attempts": [{"at": AT, "status": 204, "error": null, "ms": 12}],
        "next_attempt_at": null,
    },
    ReplayView => {"events": 12},
}
