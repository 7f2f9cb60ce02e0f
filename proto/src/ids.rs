//! The ids that services agree on: UUIDv7 for what services create, short names for what people
//! name.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("not a UUIDv7 in lower case with hyphens")]
    NotUuid,
    #[error("not 1 to 64 characters of A-Z a-z 0-9 . _ : -, or a dot or two alone")]
    NotName,
}

/// Declares an id that services create: a UUIDv7, written in lower case with hyphens.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Takes `uuid` as it is: for ids that a service has just created or read from its
            /// database.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Parses an id from outside; any other way to write it is refused.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse_uuid(text).map(Self)
            }

            /// The id as a UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
    };
}

uuid_id! {
    /// An order. Its id is the key of every event about it, on every topic but the catalogue's.
    OrderId
}
uuid_id! {
    /// The payment of an order.
    PaymentId
}
uuid_id! {
    /// A reservation of stock, for an order or by staff.
    ReservationId
}
uuid_id! {
    /// A notification to a person.
    NotificationId
}
uuid_id! {
    /// A webhook: where another system is told of events.
    WebhookId
}
uuid_id! {
    /// An event; its id is `ce_id` in the envelope.
    EventId
}

impl OrderId {
    /// The Kafka key of events about this order: the id as text.
    pub fn key(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

fn parse_uuid(text: &str) -> Result<Uuid, IdError> {
    // The length excludes the other forms of a UUID that `Uuid` would parse.
    let canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let uuid = Uuid::parse_str(text).map_err(|_| IdError::NotUuid)?;
    let ours = uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122;
    if canonical && ours { Ok(uuid) } else { Err(IdError::NotUuid) }
}

/// Declares an id that people choose: 1 to 64 characters of `A-Z a-z 0-9 . _ : -`, but neither `.`
/// nor `..`.
macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads an id as people and events write it.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(IdError::NotName) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
    };
}

name_id! {
    /// A customer, by the `sub` of the token.
    CustomerId
}
name_id! {
    /// A product, by its name in the catalogue.
    Sku
}
name_id! {
    /// A warehouse.
    WarehouseId
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    // HTTP clients remove the segments `.` and `..` from paths, so a request for such an id would
    // reach another resource.
    let vanishes = text == "." || text == "..";
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !vanishes
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "01932c1e-7b5a-7c3d-8e4f-0123456789ab";

    #[test]
    fn an_id_is_read_and_written_alike() {
        let id = OrderId::parse(ORDER).unwrap();

        assert_eq!(id.to_string(), ORDER);
        assert_eq!(id.key(), ORDER.as_bytes());
        assert_eq!(OrderId::new(id.uuid()), id);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{ORDER}\""));
        assert_eq!(serde_json::from_str::<OrderId>(&format!("\"{ORDER}\"")).unwrap(), id);
        assert_eq!(format!("{id:?}"), format!("OrderId({ORDER})"));
    }

    #[test]
    fn only_lower_case_hyphenated_version_7_is_an_id() {
        for text in [
            "",
            "order-1",
            "01932C1E-7B5A-7C3D-8E4F-0123456789AB",
            "01932c1e7b5a7c3d8e4f0123456789ab",
            "{01932c1e-7b5a-7c3d-8e4f-0123456789ab}",
            "urn:uuid:01932c1e-7b5a-7c3d-8e4f-0123456789ab",
            "01932c1e-7b5a-4c3d-8e4f-0123456789ab",
            "01932c1e-7b5a-7c3d-ce4f-0123456789ab",
            "00000000-0000-0000-0000-000000000000",
            " 01932c1e-7b5a-7c3d-8e4f-0123456789a",
        ] {
            assert_eq!(OrderId::parse(text), Err(IdError::NotUuid), "{text}");
        }
    }

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let earlier = OrderId::parse(ORDER).unwrap();
        let later = OrderId::parse("01932c1f-0000-7000-8000-000000000000").unwrap();

        assert!(earlier < later);
    }

    #[test]
    fn a_name_has_1_to_64_plain_characters_and_is_no_dot_segment() {
        for text in ["a", "customer-456", "product:123.v2_B", "...", &"x".repeat(64)] {
            assert_eq!(Sku::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "naïve", "a/b", "a\n", &"x".repeat(65), ".", ".."] {
            assert_eq!(CustomerId::parse(text), Err(IdError::NotName), "{text}");
            assert!(serde_json::from_value::<WarehouseId>(text.into()).is_err());
        }
    }
}
