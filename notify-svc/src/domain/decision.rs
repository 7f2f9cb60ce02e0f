//! What becomes of a fact: the customer is told once, and the outcome is announced once.

use proto::NotificationId;

use crate::domain::notice::{DeliveryStatus, Failure, News, Notice, NotificationState, Template};

/// A fact that a notice hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Something that the customer is to be told, in the notification `id`; `reachable` says
    /// whether an address of the customer is known.
    Happened { news: News, id: NotificationId, reachable: bool },
    /// A notification was delivered.
    Delivered { id: NotificationId },
}

/// What is announced about a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announcement {
    NotificationSent { id: NotificationId, template: Template },
    NotificationFailed { id: NotificationId, template: Template, failure: Failure },
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
        Event::Happened { news, id, reachable } => {
            let status = if reachable {
                DeliveryStatus::Queued
            } else {
                DeliveryStatus::Failed(Failure::NoAddress)
            };
            let told = NotificationState { news, id, status };
            state.told.push(told);
            Some(told)
        }
        Event::Delivered { id } => deliver(&mut state, id),
    };
    Decision { state, touched, announce: touched.and_then(announcement) }
}

/// A queued notification is sent once; one that is not queued cannot be delivered.
fn deliver(state: &mut Notice, id: NotificationId) -> Option<NotificationState> {
    let told = state.told.iter_mut().find(|told| told.id == id)?;
    match told.status {
        DeliveryStatus::Queued => {
            told.status = DeliveryStatus::Sent;
            Some(*told)
        }
        DeliveryStatus::Sent | DeliveryStatus::Failed(_) => None,
    }
}

fn announcement(NotificationState { news, id, status }: NotificationState) -> Option<Announcement> {
    let template = news.template;
    match status {
        DeliveryStatus::Queued => None,
        DeliveryStatus::Sent => Some(Announcement::NotificationSent { id, template }),
        DeliveryStatus::Failed(failure) => {
            Some(Announcement::NotificationFailed { id, template, failure })
        }
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
        News { template: Template::PaymentDue, about }
    }

    fn happened(about: i64, number: u128, reachable: bool) -> Event {
        Event::Happened { news: news(about), id: id(number), reachable }
    }

    fn words(notice: &Notice) -> String {
        let each = notice.told.iter().map(|told| format!("{} {:?}", told.news.about, told.status));
        let each: Vec<_> = each.collect();
        if each.is_empty() { "nothing told".to_owned() } else { each.join(", ") }
    }

    #[test]
    fn every_state_meets_every_event_as_the_golden_table_says() {
        let told =
            |status| Notice { told: vec![NotificationState { news: news(1), id: id(1), status }] };
        let states = [
            Notice::default(),
            told(DeliveryStatus::Queued),
            told(DeliveryStatus::Sent),
            told(DeliveryStatus::Failed(Failure::NoAddress)),
        ];
        let events = [
            ("1 happened", happened(1, 2, true)),
            ("1 happened, no address", happened(1, 2, false)),
            ("2 happened", happened(2, 2, true)),
            ("2 happened, no address", happened(2, 2, false)),
            ("1 delivered", Event::Delivered { id: id(1) }),
            ("another delivered", Event::Delivered { id: id(9) }),
        ];
        let mut table = String::from("# state | event -> next | announced\n");
        for state in states {
            for (name, event) in &events {
                let Decision { state: next, announce, .. } = decide(state.clone(), event);
                let said = match announce {
                    None => "-",
                    Some(Announcement::NotificationSent { .. }) => "NotificationSent",
                    Some(Announcement::NotificationFailed { .. }) => "NotificationFailed",
                };
                let after = if next == state { "same".to_owned() } else { words(&next) };
                writeln!(table, "{} | {name} -> {after} | {said}", words(&state)).unwrap();
            }
            table.push('\n');
        }
        assert!(table == include_str!("decision.golden"), "decision.golden should be:\n{table}");
    }

    /// Every sequence of up to six events about two facts.
    #[test]
    fn each_piece_of_news_is_answered_at_most_once() {
        let events = [
            happened(1, 1, true),
            happened(1, 2, false),
            happened(2, 3, false),
            Event::Delivered { id: id(1) },
            Event::Delivered { id: id(3) },
        ];
        explore(&Notice::default(), &[], &events, 6);
    }

    fn explore(state: &Notice, said: &[NotificationId], events: &[Event], depth: u32) {
        let mut once = said.to_vec();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), said.len(), "said twice: {said:?}");
        let told: Vec<News> = state.told.iter().map(|told| told.news).collect();
        assert!(told.iter().all(|news| told.iter().filter(|it| *it == news).count() == 1));
        let Some(depth) = depth.checked_sub(1) else { return };
        for event in events {
            let Decision { state, announce, .. } = decide(state.clone(), event);
            let Some(
                Announcement::NotificationSent { id, .. }
                | Announcement::NotificationFailed { id, .. },
            ) = announce
            else {
                explore(&state, said, events, depth);
                continue;
            };
            explore(&state, &[said, &[id]].concat(), events, depth);
        }
    }
}
