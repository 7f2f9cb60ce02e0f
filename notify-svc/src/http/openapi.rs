//! This service's operations, described to machines.

use chassis::{
    Code,
    openapi::{ApiOperation, View},
};
use proto::{CustomerId, NotificationId, OrderId};
use serde_json::{Value, json};

use super::bodies;
use crate::{
    domain::{Channel, Template},
    templates::Text,
    views::{ContactView, NotificationView, TemplateView},
};

const ID: &str = "01932c1e-7a4b-7c3d-9e5f-0123456789ab";
const AT: &str = "2026-11-20T10:00:00.000000Z";

/// Every operation of this service but the operators', and the erasure, which is the gateway's.
pub fn operations() -> Vec<ApiOperation> {
    let mut all = notifications();
    all.extend(templates());
    all.extend(contacts());
    all
}

fn notifications() -> Vec<ApiOperation> {
    let send = |path, id, summary, channel, to: &str| {
        let template = json!({"to": to, "template": "payment_due", "order_id": ID,
            "data": {"order_id": ID, "amount": "59.98 USD", "pay_by": "tomorrow"}});
        let words = json!({"to": to, "subject": "Your order", "text": "It is on its way."});
        ApiOperation::post(path, id, summary)
            .about("Either a template with its `data`, or a `subject` and a `text`.")
            .body(vec![("from a template", template), ("in words", words)], move |fields| {
                bodies::letter(channel, fields)
            })
            .answers::<NotificationView<'_>>(202, "It is queued.")
            .refuses(&[Code::InvalidValue, Code::UnknownTemplate])
    };
    vec![
        ApiOperation::get(
            "/v1/notifications",
            "list_notifications",
            "The notifications of an order",
        )
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
        ApiOperation::get("/v1/notifications/{id}", "get_notification", "A notification")
            .path::<NotificationId>("id", "The notification.")
            .resource::<NotificationView<'_>>(
                "The notification, its address masked for customers.",
            ),
    ]
}

fn templates() -> Vec<ApiOperation> {
    let preview = json!({"data": {"order_id": ID}, "language": "en"});
    vec![
        ApiOperation::get("/v1/templates", "list_templates", "Templates")
            .list::<TemplateView>("The templates, with the fields that they take."),
        ApiOperation::post("/v1/templates/{name}/preview", "preview", "What a template would say")
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
        of_customer(ApiOperation::get(path, "get_contact", "Where a customer is reached"))
            .resource::<ContactView<'_>>("The contact; masked for those who only look."),
        of_customer(ApiOperation::put(path, "put_contact", "Says where a customer is reached"))
            .if_match()
            .body(vec![("everywhere", contact), ("nowhere", json!({}))], read)
            .answers::<ContactView<'_>>(200, "The contact.")
            .refuses(&[Code::InvalidValue]),
    ]
}

fn of_customer(operation: ApiOperation) -> ApiOperation {
    operation.path::<CustomerId>("id", "The customer.")
}

impl View for NotificationView<'_> {
    fn example() -> Value {
        json!({
            "id": "01932c1e-7a4c-7000-8000-0123456789ab", "order_id": ID,
            "customer_id": "customer-456", "channel": "email", "template": "order_confirmation",
            "to": "c***@example.com", "status": "sent", "attempts": 1, "provider_id": null,
            "created_at": AT, "sent_at": AT, "failure": null, "detail": null,
        })
    }
}

impl View for TemplateView {
    fn example() -> Value {
        json!({
            "name": "payment_due", "channels": ["email", "sms", "push"],
            "fields": ["order_id", "amount", "pay_by"],
        })
    }
}

impl View for Text {
    fn example() -> Value {
        json!({"subject": "Your order", "text": "It is on its way.", "html": null})
    }
}

impl View for ContactView<'_> {
    fn example() -> Value {
        json!({
            "customer_id": "customer-456", "email": "customer@example.com",
            "phone": "+15550100001", "push_token": null, "language": "en",
        })
    }
}
