//! The thread that polls Kafka and hands messages over to the loop in `consume`.
//!
//! It never waits for long without polling, so a database that is away does not cost the group
//! membership. Messages that wait to be settled are bounded by their bytes (the room); while there
//! is no room, all assigned partitions are paused.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    assignment::{Member, StartCheck},
    consumers::Partition,
    envelope,
    item::IncomingMessage,
};

/// Kibibytes of messages that may wait between the thread and the loop, the batch in hand included.
const ROOM_KIB: u32 = 16 * 1024;
/// Kibibytes that even the smallest message counts as, so that some four thousand fill the room.
const MESSAGE_KIB_MIN: usize = 4;
/// How long the thread waits for room before it pauses the partitions and polls on.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);
/// How often partitions without a known position, and doubts about a topic, are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A message on its way to the loop.
pub(crate) struct Delivery {
    pub(crate) received: IncomingMessage,
    /// The generation of the assignment in which the message was read (see `assignment`).
    pub(crate) generation: u64,
    /// The message's share of the room, given back when the message is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

/// Why the thread ended.
#[derive(Debug)]
pub(crate) enum PollingEnd {
    /// The thread was asked to stop, or the loop takes no more messages.
    Stopped,
    /// Kafka fenced this member: another process consumes under this instance's name.
    Fenced(String),
    /// The client cannot go on; a new one may.
    Dead(String),
}

/// The room for messages that wait: a permit for each kibibyte.
pub(crate) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(ROOM_KIB).unwrap_or(usize::MAX)))
}

/// Whether no message waits, in the room or in the batch in hand.
pub(crate) fn is_empty(room: &Semaphore) -> bool {
    u32::try_from(room.available_permits()) == Ok(ROOM_KIB)
}

/// The polling thread's side of the hand-over.
pub(crate) struct Poller {
    pub(crate) consumer: Arc<BaseConsumer<Member>>,
    pub(crate) hand_over: mpsc::UnboundedSender<Delivery>,
    pub(crate) room: Arc<Semaphore>,
    /// The topics' names, so that messages share one string each.
    topics: HashMap<String, Arc<str>>,
    /// What is still to be compared or skipped at the beginning of each partition, in this
    /// generation.
    checks: HashMap<Partition, StartCheck>,
    generation: u64,
    /// The count of changes to halts (`Control::changes`) at the last look.
    changes: u64,
    looked_at: Instant,
}

impl Poller {
    pub(crate) fn new(
        consumer: Arc<BaseConsumer<Member>>,
        hand_over: mpsc::UnboundedSender<Delivery>,
        room: Arc<Semaphore>,
    ) -> Self {
        let changes = consumer.context().control.changes();
        Self {
            consumer,
            hand_over,
            room,
            topics: HashMap::new(),
            checks: HashMap::new(),
            generation: 0,
            changes,
            looked_at: Instant::now(),
        }
    }

    /// Polls until stopped; returns the client, which the caller closes.
    pub(crate) fn run(mut self) -> (Arc<BaseConsumer<Member>>, PollingEnd) {
        let mut waiting = VecDeque::new();
        let end = loop {
            if self.consumer.context().stop.is_cancelled() {
                break PollingEnd::Stopped;
            }
            match self.poll(POLL) {
                Ok(None) => {}
                Ok(Some(delivery)) => waiting.push_back(delivery),
                Err(end) => break end,
            }
            if let Err(end) = self.give(&mut waiting) {
                break end;
            }
        };
        (self.consumer, end)
    }

    /// Polls once: returns a message to hand over, if one came, and serves rebalances and errors.
    fn poll(&mut self, patience: Duration) -> Result<Option<Delivery>, PollingEnd> {
        self.look_around();
        let consumer = Arc::clone(&self.consumer);
        let member = consumer.context();
        let polled = consumer.poll(patience);
        let generation = member.generation();
        if generation != self.generation {
            self.generation = generation;
            self.checks = member.checks();
        }
        match polled {
            None => Ok(None),
            Some(Ok(raw)) => {
                member.near.found();
                let received = self.open(&raw);
                let is_new = self.checks.is_empty() || self.check(&received);
                Ok(is_new.then_some(Delivery { received, generation, _room: None }))
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let (code, reason) =
                    consumer.client().fatal_error().unwrap_or((code, String::new()));
                Err(if code == RDKafkaErrorCode::FencedInstanceId {
                    PollingEnd::Fenced(reason)
                } else {
                    PollingEnd::Dead(format!("{code}: {reason}"))
                })
            }
            Some(Err(KafkaError::MessageConsumption(
                code @ (RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition),
            ))) => {
                // The error does not name the partition; looking all of them up will find it.
                tracing::warn!(%code, "Kafka lacks what is to be read");
                member.doubt();
                Ok(None)
            }
            Some(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "nothing from Kafka");
                Ok(None)
            }
        }
    }

    /// Assigns the partitions anew where halts have changed, a position is unknown, or a topic is
    /// in doubt.
    fn look_around(&mut self) {
        let member = self.consumer.context();
        let changes = member.control.changes();
        let is_changed = changes != self.changes;
        if !is_changed && self.looked_at.elapsed() < LOOK_AGAIN {
            return;
        }
        self.looked_at = Instant::now();
        self.changes = changes;
        let is_doubtful = member.take_doubt();
        if (is_changed || is_doubtful || member.is_waiting())
            && let Err(error) = member.assign(&self.consumer)
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not assign partitions"
            );
            member.doubt();
        }
    }

    /// Whether a message is to be handed over. It is not if it was applied before, nor if another
    /// message was applied at its offset, for then the topic was made anew and the partition stops.
    fn check(&mut self, (message, _): &IncomingMessage) -> bool {
        let partition = Partition { topic: message.topic.to_string(), number: message.partition };
        let Some(check) = self.checks.get(&partition).copied() else { return true };
        if let Some(known) = check.known
            && known.offset == message.offset
            && known.event_id != message.event_id
        {
            let reason = format!(
                "the topic was made anew: another message lies at offset {} than was applied",
                known.offset
            );
            self.consumer.context().halt(partition, &reason);
            return false;
        }
        let is_over = check.known.is_none_or(|known| known.offset <= message.offset);
        if is_over && message.offset >= check.next {
            self.checks.remove(&partition);
        }
        message.offset >= check.next
    }

    fn open(&mut self, raw: &BorrowedMessage<'_>) -> IncomingMessage {
        if let Some(known) = self.topics.get(raw.topic()) {
            return envelope::open(raw, Arc::clone(known));
        }
        let topic: Arc<str> = Arc::from(raw.topic());
        self.topics.insert(raw.topic().to_owned(), Arc::clone(&topic));
        envelope::open(raw, topic)
    }

    /// Hands over the messages that wait. While there is no room, the partitions are paused and
    /// polling goes on.
    fn give(&mut self, waiting: &mut VecDeque<Delivery>) -> Result<(), PollingEnd> {
        let mut is_paused = false;
        while let Some(first) = waiting.front() {
            let share = share(&first.received);
            let room = match Arc::clone(&self.room).try_acquire_many_owned(share) {
                Ok(room) => Some(room),
                Err(_full) => self.wait_for(share)?,
            };
            if let Some(room) = room {
                let Some(delivery) = waiting.pop_front() else { break };
                // Its partition was revoked while it waited: the member that has it now reads it
                // again.
                if delivery.generation == self.consumer.context().generation() {
                    self.hand_over
                        .send(Delivery { _room: Some(room), ..delivery })
                        .map_err(|_| PollingEnd::Stopped)?;
                }
                continue;
            }
            is_paused = true;
            self.hold()?;
            // Messages that were fetched before the pause may still come; they queue behind.
            waiting.extend(self.poll(Duration::ZERO)?);
        }
        if is_paused {
            self.resume()?;
        }
        Ok(())
    }

    /// Waits for the message's share of the room, [`PATIENCE`] at most.
    fn wait_for(&self, share: u32) -> Result<Option<OwnedSemaphorePermit>, PollingEnd> {
        let member = self.consumer.context();
        let room = Arc::clone(&self.room);
        member.runtime.block_on(async {
            tokio::select! {
                () = member.stop.cancelled() => Err(PollingEnd::Stopped),
                () = self.hand_over.closed() => Err(PollingEnd::Stopped),
                room = tokio::time::timeout(PATIENCE, room.acquire_many_owned(share)) => {
                    Ok(room.ok().and_then(Result::ok))
                }
            }
        })
    }

    /// Pauses all partitions that are assigned now: a rebalance may have brought more since the
    /// last pause.
    fn hold(&self) -> Result<(), PollingEnd> {
        let paused = self.consumer.assignment().and_then(|all| self.consumer.pause(&all));
        paused.map_err(|error| PollingEnd::Dead(format!("could not pause partitions: {error}")))
    }

    fn resume(&self) -> Result<(), PollingEnd> {
        let resumed = self.consumer.assignment().and_then(|all| self.consumer.resume(&all));
        resumed.map_err(|error| PollingEnd::Dead(format!("could not resume partitions: {error}")))
    }
}

/// A message's share of the room, in kibibytes.
fn share((message, _): &IncomingMessage) -> u32 {
    let bytes = message.payload.len() + message.key.as_ref().map_or(0, Vec::len);
    let kibibytes = bytes.div_ceil(1024).max(MESSAGE_KIB_MIN);
    // A message that is larger than the room gets all of it.
    u32::try_from(kibibytes).unwrap_or(ROOM_KIB).min(ROOM_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    fn of_size(bytes: usize) -> IncomingMessage {
        (message("t", "key", "toy.v1.Added", 1, vec![0; bytes]), None)
    }

    #[test]
    fn what_waits_is_bounded_by_bytes_and_by_messages() {
        assert_eq!(ROOM_KIB / share(&of_size(1)), 4_096);
        assert_eq!(ROOM_KIB / share(&of_size(900_000)), 18);
        // A message larger than the room has it alone, instead of waiting for ever.
        assert_eq!(share(&of_size(20_000_000)), ROOM_KIB);
    }

    #[test]
    fn room_comes_back_with_the_message() {
        let room = room();
        let permit = Arc::clone(&room).try_acquire_many_owned(ROOM_KIB).unwrap();
        let held = Delivery { received: of_size(1), generation: 1, _room: Some(permit) };
        assert!(!is_empty(&room) && Arc::clone(&room).try_acquire_owned().is_err());
        drop(held);
        assert!(is_empty(&room));
    }
}
