//! What becomes of a fact: the customer is told once, and the outcome is announced once.

use proto::NotificationId;

use crate::domain::{
    channel::Channel,
    notice::{DeliveryStatus, Failure, News, Notice, NotificationState, Template},
};

/// A fact that a notice hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Something that the customer is to be told, in the notification `id`; `channel` is `None` if
    /// no address of the customer is known.
    Happened { news: News, id: NotificationId, channel: Option<Channel> },
    /// Staff tell somebody something.
    Requested { id: NotificationId, channel: Channel, template: Option<Template> },
    /// A notification was delivered.
    Delivered { id: NotificationId },
    /// A notification will not be delivered.
    Failed { id: NotificationId, failure: Failure },
}

/// What is announced about a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announcement {
    NotificationSent(NotificationState),
    NotificationFailed(NotificationState, Failure),
}

/// A notice's next state, the notification that changed (`touched`), and what is announced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    pub state: Notice,
    pub touched: Option<NotificationState>,
    pub announce: Option<Announcement>,
}

/// Applies one event to what an order's customer has been told.
pub fn decide(mut state: Notice, event: &Event) -> Decision {
    let touched = match *event {
        // The first notification stands: a repeated fact tells nobody anything.
        Event::Happened { news, .. } if state.has_told(news) => None,
        Event::Happened { news, id, channel } => {
            let News { template, about, revision } = news;
            let (channel, status) = match channel {
                Some(channel) => (channel, DeliveryStatus::Queued),
                None => (Channel::Email, DeliveryStatus::Failed(Failure::NoAddress)),
            };
            let (template, about) = (Some(template), Some(about));
            let told = NotificationState { id, channel, template, about, revision, status };
            state.told.push(told);
            Some(told)
        }
        Event::Requested { id, channel, template } => {
            let (revision, status) = (state.revision(), DeliveryStatus::Queued);
            let told = NotificationState { id, channel, template, about: None, revision, status };
            state.told.push(told);
            Some(told)
        }
        Event::Delivered { id } => end(&mut state, id, DeliveryStatus::Sent),
        Event::Failed { id, failure } => end(&mut state, id, DeliveryStatus::Failed(failure)),
    };
    Decision { state, touched, announce: touched.and_then(announcement) }
}

/// A queued notification ends once; one that is not queued has ended.
fn end(
    state: &mut Notice,
    id: NotificationId,
    status: DeliveryStatus,
) -> Option<NotificationState> {
    let told = state.told.iter_mut().find(|told| told.id == id)?;
    match told.status {
        DeliveryStatus::Queued => {
            told.status = status;
            Some(*told)
        }
        DeliveryStatus::Sent | DeliveryStatus::Failed(_) => None,
    }
}

fn announcement(told: NotificationState) -> Option<Announcement> {
    match told.status {
        DeliveryStatus::Queued => None,
        DeliveryStatus::Sent => Some(Announcement::NotificationSent(told)),
        DeliveryStatus::Failed(failure) => Some(Announcement::NotificationFailed(told, failure)),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> NotificationId {
        NotificationId::new(Uuid::from_u128(number))
    }

    fn news(about: i64) -> News {
        News { template: Template::PaymentDue, about, revision: 3 }
    }

    fn happened(about: i64, number: u128, channel: Option<Channel>) -> Event {
        Event::Happened { news: news(about), id: id(number), channel }
    }

    fn requested(number: u128) -> Event {
        Event::Requested { id: id(number), channel: Channel::Push, template: None }
    }

    fn refused(number: u128) -> Event {
        Event::Failed { id: id(number), failure: Failure::Refused }
    }

    fn words(notice: &Notice) -> String {
        let each = notice.told.iter().map(|told| {
            let NotificationState { channel, about, revision, status, .. } = told;
            let about = about.map_or("a request".to_owned(), |about| about.to_string());
            format!("{about} {} r{revision} {status:?}", channel.as_str())
        });
        let each: Vec<_> = each.collect();
        if each.is_empty() { "nothing told".to_owned() } else { each.join(", ") }
    }

    #[test]
    fn every_state_meets_every_event_as_the_golden_table_says() {
        let told = |status| {
            let first = decide(Notice::default(), &happened(1, 1, Some(Channel::Email)));
            let first = NotificationState { status, ..first.touched.unwrap() };
            Notice { told: vec![first] }
        };
        let states = [
            Notice::default(),
            told(DeliveryStatus::Queued),
            told(DeliveryStatus::Sent),
            told(DeliveryStatus::Failed(Failure::NoAddress)),
            told(DeliveryStatus::Failed(Failure::Refused)),
            decide(Notice::default(), &requested(1)).state,
        ];
        let events = [
            ("1 happened", happened(1, 2, Some(Channel::Sms))),
            ("1 happened, no address", happened(1, 2, None)),
            ("2 happened", happened(2, 2, Some(Channel::Sms))),
            ("2 happened, no address", happened(2, 2, None)),
            ("a request", requested(2)),
            ("delivered", Event::Delivered { id: id(1) }),
            ("refused", refused(1)),
            ("another delivered", Event::Delivered { id: id(9) }),
            ("another refused", refused(9)),
        ];
        let mut table = String::from("# state | event -> next | announced\n");
        for state in states {
            for (name, event) in &events {
                let Decision { state: next, announce, .. } = decide(state.clone(), event);
                let said = match announce {
                    None => "-",
                    Some(Announcement::NotificationSent(_)) => "NotificationSent",
                    Some(Announcement::NotificationFailed(..)) => "NotificationFailed",
                };
                let after = if next == state { "same".to_owned() } else { words(&next) };
                writeln!(table, "{} | {name} -> {after} | {said}", words(&state)).unwrap();
            }
            table.push('\n');
        }
        assert!(table == include_str!("decision.golden"), "decision.golden should be:\n{table}");
    }

    /// Every sequence of up to six events about two facts and a request.
    #[test]
    fn each_notification_is_answered_at_most_once() {
        let events = [
            happened(1, 1, Some(Channel::Email)),
            happened(1, 2, None),
            happened(2, 3, None),
            requested(4),
            Event::Delivered { id: id(1) },
            refused(1),
            Event::Delivered { id: id(4) },
        ];
        explore(&Notice::default(), &[], &events, 6);
    }

    fn explore(state: &Notice, said: &[NotificationId], events: &[Event], depth: u32) {
        let mut once = said.to_vec();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), said.len(), "said twice: {said:?}");
        let news: Vec<_> = state.told.iter().filter_map(|told| told.about).collect();
        assert!(news.iter().all(|about| news.iter().filter(|it| *it == about).count() == 1));
        let Some(depth) = depth.checked_sub(1) else { return };
        for event in events {
            // Each request makes an id of its own.
            let is_known = |id| state.told.iter().any(|told| told.id == id);
            if matches!(*event, Event::Requested { id, .. } if is_known(id)) {
                continue;
            }
            let Decision { state, announce, .. } = decide(state.clone(), event);
            let Some(
                Announcement::NotificationSent(told) | Announcement::NotificationFailed(told, _),
            ) = announce
            else {
                explore(&state, said, events, depth);
                continue;
            };
            explore(&state, &[said, &[told.id]].concat(), events, depth);
        }
    }
}
