//! Webhooks: where other systems are told of events, and of which.

use proto::{EVENT_TYPES, EventType};

/// The name that stands for every event.
const ALL: &str = "*";

proto::words! {
    /// Why a webhook was disabled by itself.
    pub enum DisabledReason {
        /// Its receiver said that it is gone (410).
        Gone = "gone",
        /// Nothing was delivered to it for three days.
        Failures = "failures",
    }
}

proto::words! {
    /// Whether a webhook is told of events.
    pub enum WebhookStatus {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

proto::words! {
    /// How an event on its way to a webhook stands.
    pub enum WebhookDeliveryStatus {
        Pending = "pending",
        Delivered = "delivered",
        /// It was tried for three days.
        Failed = "failed",
    }
}

/// The events that a webhook is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFilter {
    /// Those of later builds, too.
    All,
    Only(Vec<&'static EventType>),
}

/// What staff say of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    pub url: String,
    pub events: EventFilter,
    pub description: Option<String>,
    pub status: WebhookStatus,
}

impl EventFilter {
    /// The filter of these names; an error has the place of the first that is wrong.
    pub fn parse<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<Self, usize> {
        if names.clone().eq([ALL]) {
            return Ok(Self::All);
        }
        let mut types = Vec::new();
        for (at, name) in names.enumerate() {
            let known = EVENT_TYPES.iter().find(|it| it.name == name).ok_or(at)?;
            if !types.contains(&known) {
                types.push(known);
            }
        }
        Ok(Self::Only(types))
    }

    /// The filter with these numbers, as it is stored. A number of a later build is left out.
    pub fn numbered(numbers: Option<&[i16]>) -> Self {
        match numbers {
            None => Self::All,
            Some(numbers) => {
                Self::Only(numbers.iter().filter_map(|it| EventType::numbered(*it)).collect())
            }
        }
    }

    /// The numbers of the types; `None` for all.
    pub fn numbers(&self) -> Option<Vec<i16>> {
        match self {
            Self::All => None,
            Self::Only(types) => Some(types.iter().map(|it| it.number).collect()),
        }
    }

    /// Every name that [`Self::parse`] takes.
    pub fn known() -> Vec<&'static str> {
        [ALL].into_iter().chain(EVENT_TYPES.iter().map(|it| it.name)).collect()
    }

    /// The names of the types, as [`Self::parse`] takes them.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::All => vec![ALL],
            Self::Only(types) => types.iter().map(|it| it.name).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_stored_as_numbers_and_told_as_names() {
        for names in [&["*"][..], &["OrderPlaced", "StockReserved", "NotificationSent"]] {
            let filter = EventFilter::parse(names.iter().copied()).unwrap();
            assert_eq!(filter.names(), names);
            assert_eq!(EventFilter::numbered(filter.numbers().as_deref()), filter);
        }
        let twice = EventFilter::parse(["OrderShipped", "OrderPlaced", "OrderShipped"].into_iter());
        assert_eq!(twice.unwrap().names(), ["OrderShipped", "OrderPlaced"]);
    }

    #[test]
    fn what_is_no_event_is_refused_with_its_place() {
        let parse = |names: [&'static str; 2]| EventFilter::parse(names.into_iter()).unwrap_err();
        assert_eq!(parse(["OrderPlaced", "orderplaced"]), 1);
        assert_eq!(parse(["OrderPlaced", "*"]), 1);
    }

    #[test]
    fn a_type_of_a_later_build_is_left_out() {
        assert_eq!(EventFilter::numbered(Some(&[1, 9_999])).names(), ["OrderPlaced"]);
    }
}
