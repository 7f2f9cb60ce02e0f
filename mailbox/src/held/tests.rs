//! Order, offsets, limits and revocation of waiting items, without a database.

use time::OffsetDateTime;

use super::*;
use crate::{item::Origin, spans::ItemSpan, testing::message};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn item(key: &str, offset: i64) -> Item<()> {
    let message = message("t", key, "t.Happened", offset, vec![0; 10]);
    Item {
        id: Some(message.event_id),
        input: Some(()),
        trace: None,
        span: ItemSpan::execute(None),
        flaw: None,
        held: None,
        origin: Origin::Message(message),
    }
}

fn waiting(key: &str, offset: i64) -> Item<()> {
    Item { held: Some(HeldRow::new("row", key)), ..item(key, offset) }
}

fn held() -> HeldBack<()> {
    HeldBack::new("test", HeldRows::default())
}

fn offsets(batch: &[Item<()>]) -> Vec<i64> {
    batch.iter().filter_map(|item| Some(item.message()?.offset)).collect()
}

fn reached(next: i64) -> HashMap<Partition, i64> {
    HashMap::from([((Arc::from("t"), 0), next)])
}

fn stored(held: &mut HeldBack<()>, next: i64) -> Option<i64> {
    held.storable(reached(next)).into_values().next()
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_key_overtakes_what_waits() {
    let mut held = held();
    held.keep(vec![waiting("a", 1), item("b", 2), waiting("a", 3)], NOW);

    let batch = held.join(vec![item("b", 4), item("a", 5)]);
    assert_eq!(offsets(&batch), [4], "another key goes on, this one queues");
    held.keep(batch, NOW);

    held.due().await;
    let mut batch = held.join(vec![item("a", 6), item("c", 7)]);
    assert_eq!(offsets(&batch), [1, 3, 5, 6, 7], "in the order they came");
    batch[3].held = Some(HeldRow::new("row", "a"));
    batch[2].held = Some(HeldRow::new("row", "a"));
    held.keep(batch, NOW);
    held.due().await;
    assert_eq!(offsets(&held.join(Vec::new())), [5, 6], "what got through is gone");
}

#[tokio::test(start_paused = true)]
async fn no_stored_offset_passes_what_waits() {
    let mut held = held();
    assert_eq!(stored(&mut held, 5), Some(5));
    held.keep(vec![item("b", 5), waiting("a", 6), item("b", 7)], NOW);
    assert_eq!(stored(&mut held, 8), Some(6));
    assert_eq!(stored(&mut held, 20), Some(6));

    held.due().await;
    let batch = held.join(Vec::new());
    held.keep(batch, NOW);
    let last = held.storable(HashMap::new()).into_values().next();
    assert_eq!(last, Some(20), "once it is settled, all that was settled meanwhile counts");
    assert!(held.storable(HashMap::new()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_away_is_forgotten() {
    let mut held = held();
    let mut other = waiting("z", 9);
    if let Origin::Message(message) = &mut other.origin {
        message.partition = 1;
    }
    held.keep(vec![waiting("a", 6), other], NOW);
    assert_eq!(stored(&mut held, 8), Some(6));
    held.revoke(|topic, partition| topic == "t" && partition == 0, NOW);

    assert!(held.storable(HashMap::new()).is_empty(), "no offset of a partition that is gone");
    held.due().await;
    assert_eq!(offsets(&held.join(Vec::new())), [9]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_by_count_and_by_bytes() {
    let mut held = held();
    held.keep((1..i64::try_from(ITEMS).unwrap()).map(|offset| waiting("a", offset)).collect(), NOW);
    assert!(!held.is_full());
    assert!(held.join(vec![item("a", 5_000)]).is_empty());
    assert!(held.is_full());

    let mut heavy = waiting("a", 1);
    if let Origin::Message(message) = &mut heavy.origin {
        message.payload = vec![0; BYTES];
    }
    let mut held = self::held();
    held.keep(vec![heavy], NOW);
    assert!(held.is_full());
}

#[tokio::test(start_paused = true)]
async fn a_row_is_shown_when_it_is_held_for_long_and_until_it_is_free() {
    let shown = HeldRows::default();
    let mut held = HeldBack::new("test", shown.clone());
    held.keep(vec![waiting("a", 1), waiting("a", 2)], NOW);
    assert!(shown.list(NOW).is_empty(), "a neighbour at work is not worth a word");
    let later = NOW + time::Duration::seconds(3);
    let expected = HeldSince { row: HeldRow::new("row", "a"), since: NOW, waiting: 2 };
    assert_eq!(shown.list(later), [expected]);

    held.due().await;
    let batch = held.join(Vec::new());
    held.keep(batch, later);
    assert!(shown.list(later).is_empty());
    assert!(held.is_empty());
}

/// The long queue of one key keeps no other key from being tried again.
#[tokio::test(start_paused = true)]
async fn lines_take_turns() {
    let mut held = held();
    held.keep((0..1_000).map(|offset| waiting("a", offset)).collect(), NOW);
    held.keep(vec![waiting("b", 2_000)], NOW);
    held.due().await;
    let batch = held.join(Vec::new());
    assert_eq!(batch.len(), OF_ONE_KEY + 1);
    assert!(offsets(&batch).contains(&2_000));
}
