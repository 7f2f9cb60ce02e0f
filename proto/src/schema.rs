//! How ids and money describe themselves where the API is described to machines.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    Currency, CustomerId, EventId, Money, NotificationId, OrderId, PaymentId, ReservationId, Sku,
    WarehouseId, WebhookId,
};

/// A UUIDv7 in lower case with hyphens.
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";
/// 1 to 64 characters, but neither `.` nor `..`.
const NAME: &str = r"^(?!\.{1,2}$)[A-Za-z0-9._:-]{1,64}$";

macro_rules! texts {
    ($($name:ident $pattern:ident $about:literal,)+) => {
        $(impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $about})
            }
        })+
    };
}

/// The codes of currencies that are money today are written so.
const CURRENCY: &str = "^[A-Z]{3}$";

texts! {
    OrderId UUID "An order's id: a UUIDv7.",
    PaymentId UUID "A payment's id: a UUIDv7.",
    ReservationId UUID "A reservation's id: a UUIDv7.",
    NotificationId UUID "A notification's id: a UUIDv7.",
    WebhookId UUID "A webhook's id: a UUIDv7.",
    EventId UUID "An event's id: a UUIDv7.",
    CustomerId NAME "A customer's id, as the shop's accounts name them.",
    Sku NAME "A product's id (stock keeping unit).",
    WarehouseId NAME "A warehouse's id.",
    Currency CURRENCY "A currency of ISO 4217 in force.",
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "An amount with as many decimals as its currency has.",
            "properties": {
                "amount": {"type": "string", "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"},
                "currency": generator.subschema_for::<Currency>(),
            },
            "required": ["amount", "currency"],
        })
    }
}
