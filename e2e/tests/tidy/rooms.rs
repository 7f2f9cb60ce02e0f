//! The rooms: the files that every service has, and the files that may hold SQL.

use crate::{
    holds,
    workspace::{File, rust},
};

pub(crate) const SERVICES: [&str; 4] = ["order-svc", "payment-svc", "inventory-svc", "notify-svc"];

/// The files of every service, in reading order.
const ROOMS: [&str; 13] = [
    "lib",
    "config",
    "input",
    "domain",
    "wire",
    "world",
    "store",
    "commands",
    "reactions",
    "refusals",
    "views",
    "http",
    "http/openapi",
];
/// What each of them has to define.
const DOORS: [(&str, &str); 17] = [
    ("lib", "pub async fn start("),
    ("input", "pub enum Input {"),
    ("input", "    Heard(Box<Fact>),"),
    ("input", "    Request(Request),"),
    ("input", "pub enum Request {"),
    ("domain", "pub use decision::"),
    ("domain/decision", "pub fn decide("),
    ("domain/decision", ", event: &Event"),
    ("wire", "pub fn decode("),
    ("wire", "pub fn encode("),
    ("world", "pub struct World {"),
    ("world", "pub roots: BTreeMap<OrderId, Tracked<Root>>,"),
    ("world", "pub struct Root {"),
    ("store", "pub async fn load("),
    ("store", "pub async fn save("),
    ("http/openapi", "pub fn operations() -> Vec<ApiOperation> {"),
    ("commands", "pub fn execute(world: &mut World, request: &Request, "),
];

#[test]
fn the_services_have_the_same_rooms() {
    let all = ROOMS.map(|room| (format!("order-svc/src/{room}.rs"), String::new()));
    let none: Vec<(&str, &str)> = all.iter().map(|(path, text)| (&**path, &**text)).collect();
    holds(has_the_rooms, &none[1..]);
    holds(has_the_rooms, &none);
}

fn has_the_rooms(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for service in SERVICES {
        let room = |name: &str| {
            let path = format!("{service}/src/{name}.rs");
            rust(files).find(|file| file.path == path)
        };
        let missing = ROOMS.iter().filter(|name| room(name).is_none());
        wrong.extend(missing.map(|name| format!("{service} has no {name}.rs")));
        let closed = DOORS
            .iter()
            .filter(|(name, door)| room(name).is_some_and(|file| !file.text.contains(door)));
        wrong.extend(closed.map(|(name, door)| format!("{service}/src/{name}.rs has no {door}")));
    }
    wrong
}

/// Where SQL may be besides `store.rs` and `store/`: the mailbox's tables, the relay's poll and
/// ticks, and three files that set a database up or back: roles and databases, a fixture, and a
/// connection that is returned in the middle of something.
pub(crate) const SQL_MAY_BE_IN: &[&str] = &[
    "mailbox/src/outbox.rs",
    "mailbox/src/inbox.rs",
    "mailbox/src/parked.rs",
    "mailbox/src/parked/list.rs",
    "mailbox/src/parked/bounds.rs",
    "mailbox/src/unknown.rs",
    "mailbox/src/consumers.rs",
    "mailbox/src/operations.rs",
    "mailbox/src/bulk.rs",
    "mailbox/src/bulk_keys.rs",
    "mailbox/src/idempotency.rs",
    "mailbox/src/sweep.rs",
    "mailbox/src/session.rs",
    "mailbox/src/lanes.rs",
    "mailbox/src/replays.rs",
    "outbox-relay/src/poll.rs",
    "outbox-relay/src/scan.rs",
    "outbox-relay/src/leader.rs",
    "outbox-relay/src/retire.rs",
    "outbox-relay/src/adopt.rs",
    "outbox-relay/src/replay.rs",
    "outbox-relay/src/topics.rs",
    "mailbox/src/testing.rs",
    "backends/src/postgres.rs",
    "chassis/src/database.rs",
];
