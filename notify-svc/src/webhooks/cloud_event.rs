//! An event as webhooks get it: one of CloudEvents 1.0, in structured JSON.

use chassis::clock::rfc3339;
use proto::{DecodeError, Event, EventType, trace_context};
use serde::Serialize;
use serde_json::Value;

use crate::input::KeptEvent;

/// What a body is, as its `Content-Type` says.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// Why this build cannot write an event: a later one has kept it.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("this build does not know the event's type")]
    Unknown,
    #[error("the event's bytes are not those of its type")]
    Malformed(#[from] DecodeError),
    #[error("the event has a word that this build does not know")]
    UnknownWord(#[from] serde_json::Error),
}

/// The attributes, as the headers of a message on Kafka have them, and the event.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    r#type: String,
    subject: String,
    time: Option<String>,
    datacontenttype: &'static str,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: Value,
}

/// The body that tells of an event.
pub fn body(event: &KeptEvent) -> Result<Vec<u8>, WriteError> {
    let known = EventType::numbered(event.number).ok_or(WriteError::Unknown)?;
    let said = Event::decode(known.topic, &event.payload)?.ok_or(WriteError::Unknown)?;
    let trace = event.trace.as_ref().map(trace_context::text);
    let body = CloudEvent {
        specversion: "1.0",
        id: event.id.to_string(),
        source: known.source(),
        r#type: known.full_name(),
        subject: event.key.clone(),
        time: event.said_at().map(rfc3339),
        datacontenttype: "application/json",
        version: event.version,
        traceparent: trace.as_ref().and_then(|text| std::str::from_utf8(text).ok()),
        data: said.to_proto_json()?,
    };
    Ok(serde_json::to_vec(&body)?)
}

#[cfg(test)]
mod tests {
    use proto::{OrderId, orders};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_has_the_attributes_of_the_message_and_the_event_as_the_schema_writes_it() {
        let order = OrderId::parse("01932c1e-7b5a-7c3d-8e4f-0123456789ab").unwrap();
        let total = proto::money::Money {
            currency_code: "USD".to_owned(),
            units: 9_007_199_254_740_993,
            nanos: 980_000_000,
        };
        let said = Event::from(orders::OrderConfirmed {
            order_id: order.to_string(),
            customer_id: "customer-456".to_owned(),
            revision: 1,
            total: Some(total),
            lines: Vec::new(),
        });
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let event = KeptEvent {
            id: "01932c1e-7b5b-7000-8000-0123456789ab".parse().unwrap(),
            number: said.event_type().number,
            key: order.to_string(),
            version: 3,
            trace: trace_context::parse(traceparent),
            payload: said.encode(),
        };

        let told: Value = serde_json::from_slice(&body(&event).unwrap()).unwrap();

        assert_eq!(
            told,
            json!({
                "specversion": "1.0",
                "id": "01932c1e-7b5b-7000-8000-0123456789ab",
                "source": "/shop/order-svc",
                "type": "shop.orders.v1.OrderConfirmed",
                "subject": order.to_string(),
                "time": "2024-11-14T19:20:15.451000Z",
                "datacontenttype": "application/json",
                "version": 3,
                "traceparent": traceparent,
                "data": {
                    "order_id": order.to_string(),
                    "customer_id": "customer-456",
                    "revision": 1,
                    "total": {
                        "currency_code": "USD",
                        "units": "9007199254740993",
                        "nanos": 980_000_000,
                    },
                    "lines": [],
                },
            })
        );
        assert!(matches!(body(&KeptEvent { number: 9_999, ..event }), Err(WriteError::Unknown)));
    }
}
