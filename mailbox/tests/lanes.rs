//! What operators ask of the relay: a lane paused and resumed, events published once more.

use mailbox::{
    Answer, IdempotencyKey, Lane, LaneChange, LaneStart, LaneState, Mailbox, OperatorError,
    OperatorRequest, ReplayScope, ReplaySize,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    operators::options,
    toy::{TOPIC, Toy, prepare},
};

struct Desk {
    mailbox: Mailbox<Toy>,
    session: PgConnection,
}

impl Desk {
    async fn new() -> Self {
        let url = backends::testing::database().await.url();
        prepare(&url).await;
        let options = options(url.clone(), "127.0.0.1:1".to_owned());
        let (mailbox, _loops) = Mailbox::open(options, std::sync::Arc::new(Toy)).await.unwrap();
        Self { mailbox, session: PgConnection::connect(&url).await.unwrap() }
    }

    async fn run(&mut self, text: &str) {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.session).await.unwrap();
    }

    async fn number(&mut self, text: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut self.session).await.unwrap()
    }

    async fn lane(&self) -> Lane {
        self.mailbox.lane().await.unwrap()
    }
}

fn request(reason: &str) -> OperatorRequest<'_> {
    OperatorRequest { caller: "somebody", reason, key: None }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the mailbox asks for")]
fn tell(change: LaneChange) -> Answer {
    let status = if matches!(change, LaneChange::Done(_)) { 200 } else { 422 };
    Answer { status, headers: Vec::new(), body: format!("{change:?}").into_bytes() }
}

fn everything() -> ReplayScope {
    ReplayScope { topics: vec![TOPIC.to_owned()], key: None, from_at: None, to_at: None }
}

const ANEW: &str = "insert into relay_topics values ('toy.v1', '{1}', clock_timestamp())
     on conflict (topic) do update set made_anew_at = clock_timestamp()";

/// Three events of two keys. `TICK` marks them as published; `UNSHIPPED` is one more.
const EVENTS: &str = "insert into outbox (event_id, key, version, type, payload)
     values (gen_random_uuid(), 'a', 1, 1, ''), (gen_random_uuid(), 'b', 1, 1, ''),
       (gen_random_uuid(), 'a', 2, 1, '')";
const TICK: &str = "insert into relay_tick (epoch, system_id, snap, published_pos)
     select epoch, system_id, pg_current_snapshot(), 4 from relay_tick";
const UNSHIPPED: &str = "insert into outbox (event_id, key, version, type, payload)
     values (gen_random_uuid(), 'c', 1, 1, '')";

#[tokio::test]
async fn a_lane_is_paused_with_a_reason_and_resumed() {
    let mut desk = Desk::new().await;
    assert_eq!(desk.lane().await.state, LaneState::Publishing);

    desk.mailbox.pause_lane(request("Kafka moves"), tell).await.unwrap();
    let paused = desk.lane().await;
    assert_eq!((paused.state, paused.reason.as_deref()), (LaneState::Paused, Some("Kafka moves")));
    assert!(paused.since.is_some());

    desk.mailbox.resume_lane(request("it has moved"), None, tell).await.unwrap();
    assert_eq!(desk.lane().await.state, LaneState::Publishing);
    let told = "select count(*) from operations where caller = 'somebody'
         and (action, reason) in
           (('lanes.pause', 'Kafka moves'), ('lanes.resume', 'it has moved'))";
    assert_eq!(desk.number(told).await, 2);
}

#[tokio::test]
async fn a_lane_lags_by_what_was_not_published() {
    let mut desk = Desk::new().await;
    assert_eq!(desk.lane().await.lag, 0);
    desk.run(EVENTS).await;
    assert_eq!(desk.lane().await.lag, 3);
    desk.run(TICK).await;
    assert_eq!(desk.lane().await.lag, 0);
    desk.run(UNSHIPPED).await;
    assert_eq!(desk.lane().await.lag, 1);
}

#[tokio::test]
async fn a_stopped_lane_asks_from_where_it_goes_on() {
    let mut desk = Desk::new().await;
    desk.run(ANEW).await;
    let stopped = desk.lane().await;
    assert_eq!(stopped.state, LaneState::Stopped);
    assert!(stopped.reason.unwrap().contains("toy.v1 was made anew"));

    let answer = desk.mailbox.resume_lane(request("go"), None, tell).await.unwrap();
    assert_eq!(answer.status, 422);
    assert_eq!(desk.lane().await.state, LaneState::Stopped);
    assert_eq!(desk.number("select count(*) from operations").await, 0, "nothing was done");

    desk.mailbox.resume_lane(request("go"), Some(LaneStart::Here), tell).await.unwrap();
    assert_eq!(desk.lane().await.state, LaneState::Publishing);
}

#[tokio::test]
async fn a_stopped_lane_that_begins_anew_is_replayed_whole() {
    let mut desk = Desk::new().await;
    desk.run(ANEW).await;

    desk.mailbox.resume_lane(request("go"), Some(LaneStart::Beginning), tell).await.unwrap();

    let whole = "select count(*) from replays where is_whole and topics = '{toy.v1}'";
    assert_eq!(desk.number(whole).await, 1);
    assert_eq!(desk.lane().await.state, LaneState::Stopped, "until the replay has ended");
}

#[tokio::test]
async fn a_replay_is_of_what_was_published() {
    let mut desk = Desk::new().await;
    desk.run(EVENTS).await;
    desk.run(TICK).await;
    desk.run(UNSHIPPED).await;

    let all = desk.mailbox.size_replay(&everything()).await.unwrap();
    assert_eq!(all, ReplaySize { events: 3, keys: 2 });
    let one = ReplayScope { key: Some("a".to_owned()), ..everything() };
    let one = desk.mailbox.size_replay(&one).await.unwrap();
    assert_eq!(one, ReplaySize { events: 2, keys: 1 });
    let none = ReplayScope { topics: vec!["others".to_owned()], ..everything() };
    assert_eq!(desk.mailbox.size_replay(&none).await.unwrap(), ReplaySize { events: 0, keys: 0 });
}

#[tokio::test]
async fn a_replay_that_is_asked_for_twice_under_one_key_is_one() {
    let mut desk = Desk::new().await;
    desk.run(EVENTS).await;
    desk.run(TICK).await;
    let key = |fingerprint| IdempotencyKey {
        caller: "somebody".to_owned(),
        route: "POST /v1/replays".to_owned(),
        key: "once".to_owned(),
        fingerprint: [fingerprint; 32],
    };
    let (first, other) = (key(1), key(2));
    let tell = |replay: &mailbox::Replay| Answer {
        status: 202,
        headers: Vec::new(),
        body: replay.id.to_string().into_bytes(),
    };
    let ask = |key| {
        let request = OperatorRequest { key: Some(key), ..request("lost") };
        let mailbox = desk.mailbox.clone();
        async move { mailbox.start_replay(&everything(), request, tell).await }
    };

    let begun = ask(&first).await.unwrap();
    let again = ask(&first).await;
    assert!(matches!(again, Err(OperatorError::Answered(answer)) if answer.body == begun.body));
    assert!(matches!(ask(&other).await, Err(OperatorError::KeyReused)));

    let id = String::from_utf8(begun.body).unwrap().parse().unwrap();
    let replay = desk.mailbox.replay(id).await.unwrap().unwrap();
    assert_eq!((replay.events, replay.keys, replay.done), (3, 2, 0));
    assert!(replay.ended_at.is_none());
    assert_eq!(desk.number("select count(*) from replays").await, 1);
    let told =
        "select count(*) from operations where action = 'replays.start' and topic = 'toy.v1'";
    assert_eq!(desk.number(told).await, 1);
}
