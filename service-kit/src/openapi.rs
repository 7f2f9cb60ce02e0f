//! The operators' operations, which all services have, described to machines.

use chassis::{
    Code,
    openapi::{AT, ApiOperation, ID, get, post},
};
use mailbox::KeyOutcome;
use proto::api::Service;
use serde_json::{Value, json};

use crate::{
    bulk::{self, BulkKeyView, BulkSizeView, BulkView},
    consumers::{self, ConsumerChangeView, ConsumerView},
    desk,
    lanes::{self, LaneView},
    operations::OperationView,
    parked::{self, DiscardCount, ParkedKeyView, ParkedMessageView, ReleaseCount, ReplaceCount},
    replays::{self, ReplaySizeView, ReplayView, StartedReplayView},
};

const TOPIC: &str = "shop.orders.v1";
const WHY: &str = "the database was restored";

/// Every operation of operators.
pub fn operations() -> Vec<ApiOperation> {
    let what_was_done = of_all(get("/v1/operations", "list_operations", "What operators did"))
        .list::<OperationView<'_>>("Who did what, when and why, the newest first.");
    let groups = [parked_keys(), bulk_operations(), consumers(), lanes(), replays()];
    [what_was_done].into_iter().chain(groups.into_iter().flatten()).collect()
}

fn parked_keys() -> Vec<ApiOperation> {
    let key = "/v1/parked/{service}/{topic}/{key}";
    let replacement = json!({"payload": "CgA=", "reason": "the price was missing"});
    vec![
        of_all(get("/v1/parked", "list_keys", "Keys that stopped"))
            .query::<String>("class", "Only those of this class.")
            .query::<String>("topic", "Only those of this topic.")
            .list::<ParkedKeyView>("The keys, those that stopped first at the beginning."),
        of_key(get(key, "get_key", "What waits behind a key"))
            .list::<ParkedMessageView<'_>>("Its messages, decoded as far as possible, in order."),
        of_key(get(
            "/v1/parked/{service}/{topic}/{key}/{parked_id}",
            "get_message",
            "A parked message",
        ))
        .path::<i64>("parked_id", "The message.")
        .resource::<ParkedMessageView<'_>>("The message, whole."),
        of_key(post(
            "/v1/parked/{service}/{topic}/{key}/release",
            "release",
            "Processes a key's messages",
        ))
        .about("In order, under the same event ids.")
        .optional_body(vec![("nothing", json!({}))], |_nothing| Some(()))
        .answers::<ReleaseCount>(200, "How many were processed.")
        .refuses(&[Code::InvalidValue]),
        of_key(post(
            "/v1/parked/{service}/{topic}/{key}/discard",
            "discard",
            "Drops a key's first message",
        ))
        .about("The one that failed. The others wait for the release.")
        .body(vec![("for a reason", json!({"reason": WHY}))], desk::read_reason)
        .answers::<DiscardCount>(200, "It was dropped."),
        of_key(post(
            "/v1/parked/{service}/{topic}/{key}/replace",
            "replace",
            "Gives a key's first message another payload",
        ))
        .about("`payload` is base64. Put nothing personal into it.")
        .body(vec![("for a reason", replacement)], parked::read_replacement)
        .answers::<ReplaceCount>(200, "It was replaced.")
        .refuses(&[Code::InvalidValue]),
    ]
}

fn bulk_operations() -> Vec<ApiOperation> {
    let filter = json!({"service": "order-svc", "class": "undecodable"});
    let counted = json!({"action": "release", "filter": filter});
    let begun = json!({"action": "discard", "filter": filter, "expected": 12, "reason": WHY});
    let of_one =
        |operation: ApiOperation| operation.path::<uuid::Uuid>("id", "The bulk operation.");
    vec![
        post("/v1/parked/bulk", "start_bulk", "Releases or discards many keys")
            .about(
                "Without `expected` the keys are only counted. With it the operation begins if \
                 there are as many, and goes on by itself.",
            )
            .body(vec![("only counted", counted), ("begun", begun)], bulk::read)
            .answers::<BulkSizeView>(200, "How many there are.")
            .places::<BulkView<'_>>(202, "The operation has begun.")
            .refuses(&[Code::InvalidValue, Code::UnexpectedCount]),
        of_one(get("/v1/parked/bulk/{id}", "get_bulk", "A bulk operation"))
            .resource::<BulkView<'_>>("The operation, and how far it is."),
        of_one(get("/v1/parked/bulk/{id}/keys", "list_bulk_keys", "Its keys"))
            .query::<KeyOutcome>("outcome", "Only those that ended so.")
            .list::<BulkKeyView<'_>>("The keys, in the order of their turns."),
    ]
}

fn consumers() -> Vec<ApiOperation> {
    let pause = vec![
        ("a topic", json!({"topic": TOPIC, "reason": WHY})),
        ("all topics", json!({"reason": WHY})),
    ];
    let partition =
        |from: Value| json!({"topic": TOPIC, "partition": 3, "from": from, "reason": WHY});
    let resume = vec![
        ("what was paused", json!({"topic": TOPIC, "reason": WHY})),
        ("from what is left", partition(json!("here"))),
        ("from an offset", partition(json!({"offset": 42}))),
        ("everything", json!({"reason": WHY})),
    ];
    vec![
        of_all(get("/v1/consumers", "list_consumers", "What services read"))
            .list::<ConsumerView>("Their partitions."),
        of_service(post("/v1/consumers/{service}/pause", "pause_consumer", "Stops reading"))
            .body(pause, consumers::read_pause)
            .answers::<ConsumerChangeView<'_>>(200, "It is paused, for all instances.")
            .refuses(&[Code::InvalidValue]),
        of_service(post("/v1/consumers/{service}/resume", "resume_consumer", "Goes on reading"))
            .about(
                "Without `from`, what is paused goes on where it was; what has stopped needs one.",
            )
            .body(resume, consumers::read_resume)
            .answers::<ConsumerChangeView<'_>>(200, "It is read again.")
            .refuses(&[Code::InvalidValue, Code::MissingField]),
    ]
}

fn lanes() -> Vec<ApiOperation> {
    let resume = vec![
        ("as it is", json!({"reason": WHY})),
        ("with what the outbox has", json!({"from": "beginning", "reason": WHY})),
    ];
    vec![
        of_all(get("/v1/lanes", "list_lanes", "What the relay publishes"))
            .list::<LaneView>("The lanes, one for each service."),
        of_service(post("/v1/lanes/{service}/pause", "pause_lane", "Stops publishing"))
            .body(vec![("for a reason", json!({"reason": WHY}))], desk::read_reason)
            .answers::<LaneView>(200, "The lane."),
        of_service(post("/v1/lanes/{service}/resume", "resume_lane", "Goes on publishing"))
            .about("A lane that has stopped has to be told from where it goes on.")
            .body(resume, lanes::read_resume)
            .answers::<LaneView>(200, "The lane.")
            .refuses(&[Code::MissingField]),
    ]
}

fn replays() -> Vec<ApiOperation> {
    let dry = json!({"service": "order-svc", "topic": TOPIC, "key": ID, "reason": WHY});
    let real = json!({
        "service": "order-svc", "from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00Z",
        "dry_run": false, "reason": WHY,
    });
    vec![
        post("/v1/replays", "start_replay", "Publishes events once more")
            .about("With their ids, so nothing happens twice. `dry_run` is the default.")
            .body(vec![("only counted", dry), ("published", real)], replays::read)
            .answers::<ReplaySizeView>(200, "How many there are.")
            .places::<StartedReplayView>(202, "The replay has begun.")
            .refuses(&[Code::InvalidValue]),
        get("/v1/replays/{id}", "get_replay", "A replay")
            .path::<uuid::Uuid>("id", "The replay.")
            .resource::<ReplayView<'_>>("The replay, and how far it is."),
    ]
}

fn of_all(operation: ApiOperation) -> ApiOperation {
    operation.query::<ServiceName>("service", "Only this service's.")
}

fn of_service(operation: ApiOperation) -> ApiOperation {
    operation.path::<ServiceName>("service", "The service.")
}

fn of_key(operation: ApiOperation) -> ApiOperation {
    of_service(operation)
        .path::<String>("topic", "The topic.")
        .path::<String>("key", "The key; how bytes are written that are no text, `http.md` says.")
}

/// A service, by its name.
struct ServiceName;

chassis::inline_schema! {
    ServiceName => {"type": "string", "enum": Service::ALL.map(Service::name)}
}

chassis::examples! {
    ReleaseCount => {"released": 1},
    DiscardCount => {"discarded": 1},
    ReplaceCount => {"replaced": 1},
    OperationView<'_> => {
        "id": 7, "service": "order-svc", "at": AT, "caller": "ann", "action": "parked.discard",
        "reason": WHY, "topic": TOPIC, "partition": 3, "key": ID,
        "event_id": "01932c1e-7a4c-7000-8000-0123456789ab", "source": "/shop/payment-svc",
        "version": 2,
    },
    ParkedKeyView => {
        "service": "order-svc", "topic": "shop.payments.v1", "key": ID, "messages": 2,
        "since": AT, "class": "undecodable", "reason": "the payload is no event",
        "order_id": ID,
    },
    ParkedMessageView<'_> => {
        "parked_id": 7, "event_id": "01932c1e-7a4c-7000-8000-0123456789ab",
        "type": "shop.payments.v1.PaymentCaptured", "source": "/shop/payment-svc",
        "version": 2, "partition": 3, "offset": 42, "reason": "the payload is no event",
        "parked_at": AT, "data": null, "not_decoded": "an event that this build does not know",
        "payload": "CgA=", "payload_bytes": 2, "truncated": false,
    },
    BulkSizeView => {"keys": 12, "messages": 30, "has_more": false},
    BulkView<'_> => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "action": "discard",
        "filter": {"service": "order-svc", "topic": null, "class": "undecodable"},
        "reason": WHY, "caller": "ann", "keys": 12, "messages": 30, "done": 12,
        "outcomes": {"discarded": 11, "changed": 1}, "state": "ended", "started_at": AT,
        "ended_at": AT,
    },
    BulkKeyView<'_> => {
        "topic": TOPIC, "key": ID, "outcome": "discarded", "messages": 1, "detail": null,
        "ended_at": AT,
    },
    ConsumerView => {
        "service": "order-svc", "topic": TOPIC, "partition": 3, "state": "reading",
        "reason": null, "lag": 0, "since": null,
    },
    ConsumerChangeView<'_> => {
        "service": "order-svc", "topic": TOPIC, "state": "paused", "reason": WHY,
    },
    LaneView => {
        "service": "order-svc", "state": "publishing", "reason": null, "lag": 0, "since": null,
    },
    ReplaySizeView => {"events": 12, "keys": 3},
    StartedReplayView => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "events": 12, "keys": 3, "done": 0,
    },
    ReplayView<'_> => {
        "id": "01932c1e-7a4c-7000-8000-0123456789ab", "service": "order-svc",
        "topics": [TOPIC], "key": null, "reason": WHY, "events": 12, "keys": 3, "done": 12,
        "state": "ended", "started_at": AT, "ended_at": AT,
    },
}
