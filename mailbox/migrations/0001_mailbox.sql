-- The mailbox's tables: outbox, relay, inbox, consumers, parked messages, operations, idempotency
-- keys. The same file in every service's database.

-- Positions are handed out one by one: with a cache, two sessions could number their rows in
-- another order than that of their locks.
create sequence outbox_pos as bigint cache 1;

-- The outbox: events on their way to Kafka. Insert-only: the relay reads them as the difference of
-- two snapshots, and they are removed with their whole leaf.
create table outbox (
    -- Before pos on purpose: a writer has its transaction id before its position (the relay's
    -- retire.rs relies on that). Both are set by their defaults only.
    xid xid8 not null default pg_current_xact_id(),
    pos bigint not null default nextval('outbox_pos'),
    event_id uuid not null,
    -- The Kafka key: the id of what the event is about, as text.
    key bytea not null,
    -- The aggregate's count of announced events: gapless from 1 within a key.
    version bigint not null,
    -- Number of the event's topic and name in event_types.
    type smallint not null,
    -- The W3C trace context of the event: trace id, span id, flags.
    trace bytea,
    payload bytea not null,
    -- Becomes ce_time.
    created_at timestamptz not null default clock_timestamp(),
    constraint outbox_pkey primary key (pos),
    constraint outbox_version_positive check (version > 0),
    constraint outbox_trace_size check (octet_length(trace) = 25),
    -- Below Kafka's limit, with room for headers, so that an event that does not fit is refused
    -- here and not at the broker. The largest event of ours, the reservation of a hundred lines in
    -- twenty warehouses each, has 270 KiB.
    constraint outbox_payload_size check (octet_length(payload) <= 393216)
) partition by range (pos);
alter table outbox alter payload set storage external;
-- For the two ways in which the relay looks rows up: by transactions after a snapshot, and by those
-- that were under way in it.
create index outbox_xid on outbox (xid);

-- A leaf of the outbox, from first_pos to before end_pos. It is sealed when no writer can add to it
-- any more and every row of it is published.
create table outbox_leaf (
    first_pos bigint not null,
    end_pos bigint not null,
    -- Assigned after the sequence passed end_pos: once no transaction older than it runs, no writer
    -- holds a position in the leaf.
    seal_xid xid8,
    sealed_at timestamptz,
    constraint outbox_leaf_pkey primary key (first_pos),
    constraint outbox_leaf_not_empty check (end_pos > first_pos)
);

-- What a type number means. The service fills and compares the table at start; a row never changes.
create table event_types (
    type smallint not null,
    topic text not null,
    name text not null,
    constraint event_types_pkey primary key (type)
);

-- The source of this database's events (ce_source), and its incarnation: raised by one after each
-- restore from a backup. One row.
create table outbox_identity (
    source text not null,
    incarnation int not null default 1,
    only_row boolean not null default true,
    constraint outbox_identity_pkey primary key (only_row),
    constraint outbox_identity_one_row check (only_row)
);

-- The relay's checkpoints (ticks, as PgQ calls them). Append-only, because an updated row would
-- grow a chain of dead ones under a held snapshot.
create table relay_tick (
    tick_id bigint generated always as identity,
    -- Raised by each leader, so that a checkpoint of a former leader can be told apart.
    epoch bigint not null,
    -- The cluster in which the row was written: a dump that is restored elsewhere starts anew.
    system_id bigint not null,
    -- Everything visible in this snapshot is in Kafka.
    snap pg_snapshot not null,
    -- Everything below this position that anybody can see is in Kafka.
    published_pos bigint not null,
    -- Set while a large difference is scanned in windows: the newer of its two snapshots, and the
    -- position reached.
    scan_to pg_snapshot,
    scan_pos bigint,
    at timestamptz not null default clock_timestamp(),
    constraint relay_tick_pkey primary key (tick_id)
);

-- An operator's pause of the relay's lane of this database: nothing is published while the row is
-- there. At most one row.
create table lane_pause (
    paused_at timestamptz not null default clock_timestamp(),
    reason text not null,
    -- The operator who paused it.
    caller text not null,
    only_row boolean not null default true,
    constraint lane_pause_pkey primary key (only_row),
    constraint lane_pause_one_row check (only_row)
);

-- Where each topic ended when the relay last looked. An end that moved back is a sign that the
-- topic was made anew, or that it lost its newest events.
create table relay_topics (
    topic text not null,
    -- For each partition, the offset after its last message.
    ends bigint[] not null,
    -- Set when the topic was found made anew: then nothing is published from this database until
    -- the topic is replayed whole, or an operator lets it go on.
    made_anew_at timestamptz,
    constraint relay_topics_pkey primary key (topic)
);

-- Events that the relay publishes once more, because an operator asked for it.
create table replays (
    replay_id uuid not null,
    -- Which events: those of these topics, of this key if it is set, announced from from_at
    -- (inclusive) to to_at (exclusive).
    topics text[] not null,
    key text,
    from_at timestamptz,
    to_at timestamptz not null,
    -- Whether it is everything that the outbox has of the topics: what a topic that was made anew
    -- lacks.
    is_whole boolean not null,
    reason text not null,
    -- The operator who asked for it.
    caller text not null,
    -- How many events and keys it was when it was asked for, and how many events Kafka has
    -- acknowledged.
    events bigint not null,
    keys bigint not null,
    done bigint not null default 0,
    -- The events up to position are acknowledged; last_position was the outbox's last one at the
    -- start.
    position bigint not null default 0,
    last_position bigint not null,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    constraint replays_pkey primary key (replay_id)
);

-- The inbox: ids of messages and commands that have taken effect. They are UUIDv7, so a partition
-- is a range of ids and of time at once.
create table inbox (
    event_id uuid not null,
    constraint inbox_pkey primary key (event_id)
) partition by range (event_id);

-- A topic that an operator paused: no instance consumes it until it is resumed.
create table consumer_pauses (
    topic text not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint consumer_pauses_pkey primary key (topic)
);

-- A partition that stopped because Kafka no longer has what comes next: no instance consumes it
-- until an operator says where to go on.
create table consumer_stops (
    topic text not null,
    "partition" int not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint consumer_stops_pkey primary key (topic, "partition")
);

-- A message of each partition that was applied, written down every few seconds: if another is found
-- at its offset, the topic was made anew.
create table consumer_positions (
    topic text not null,
    "partition" int not null,
    "offset" bigint not null,
    event_id uuid not null,
    constraint consumer_positions_pkey primary key (topic, "partition")
);

-- A key that stopped: its first message could not be processed, and the others wait behind it.
create table parked_keys (
    topic text not null,
    -- The key in text form: an id of ours as it is, anything else base64url:…, above 256 bytes
    -- sha256:…, none for a message without a key. So it fits an index, whatever the key was;
    -- parked.message_key has the key itself.
    key text not null,
    -- Groups failures of one kind.
    class text not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint parked_keys_pkey primary key (topic, key)
);
-- For the list of keys, the oldest first, and for counting how many stopped lately.
create index parked_keys_since on parked_keys (since, topic, key);

-- The messages of parked keys, in the order they came.
create table parked (
    parked_id bigint generated always as identity,
    topic text not null,
    key text not null,
    "partition" int not null,
    "offset" bigint not null,
    message_key bytea,
    -- Absent if the message has no usable envelope.
    event_id uuid,
    event_type text,
    source text,
    version bigint,
    trace bytea,
    payload bytea,
    -- Why the message could not be processed; absent for those that only queue behind it.
    reason text,
    parked_at timestamptz not null default clock_timestamp(),
    -- SHA-256 of the message as it was received.
    digest bytea not null,
    constraint parked_pkey primary key (parked_id),
    -- A redelivery does not park a message twice; another message at the same offset, of a topic
    -- that was made anew, is not lost.
    constraint parked_once unique (topic, "partition", "offset", digest),
    constraint parked_of_key foreign key (topic, key) references parked_keys (topic, key)
);
-- For one key's messages in order.
create index parked_by_key on parked (topic, key, parked_id);

-- A flood of parked keys: while it lasts, this service consumes nothing. At most one row.
create table parked_flood (
    -- Keys that were parked when it began; it is over when half of them are not parked any more.
    keys bigint not null,
    since timestamptz not null default clock_timestamp(),
    -- When it was over, or an operator let consuming go on: keys that stopped before then do not
    -- count towards the next flood.
    over_at timestamptz,
    only_row boolean not null default true,
    constraint parked_flood_pkey primary key (only_row),
    constraint parked_flood_one_row check (only_row)
);

-- Events of types that this build does not know. They stop no key, and wait for the first build
-- that knows their type.
create table unknown_events (
    kept_id bigint generated always as identity,
    topic text not null,
    -- As parked_keys.key.
    key text not null,
    "partition" int not null,
    "offset" bigint not null,
    message_key bytea,
    event_id uuid not null,
    event_type text not null,
    source text not null,
    version bigint not null,
    trace bytea,
    payload bytea not null,
    -- When it was kept.
    at timestamptz not null default clock_timestamp(),
    constraint unknown_events_pkey primary key (kept_id),
    -- A redelivery, or a replay, does not keep an event twice.
    constraint unknown_events_once unique (event_id)
);
-- For one key's events in order.
create index unknown_events_by_key on unknown_events (topic, key, kept_id);
-- For the events that a build can decide because it knows their type.
create index unknown_events_by_type on unknown_events (event_type, topic, key);

-- What operators did, when and why. Rows are never removed.
create table operations (
    operation_id bigint generated always as identity,
    at timestamptz not null default clock_timestamp(),
    -- The operator who asked for it.
    caller text not null,
    -- The action as noun.verb: parked.discard, consumers.pause.
    action text not null,
    reason text not null,
    -- What it was done to; columns that do not apply are null.
    topic text,
    "partition" int,
    -- As parked_keys.key.
    key text,
    -- The message, and its number in its source's sequence: with these an audit excuses the gap
    -- that a discarded message leaves.
    event_id uuid,
    source text,
    version bigint,
    -- The payload that the message had before.
    payload bytea,
    constraint operations_pkey primary key (operation_id),
    constraint operations_action_known check (action in (
        'parked.release', 'parked.discard', 'parked.replace', 'parked.bulk',
        'consumers.pause', 'consumers.resume', 'lanes.pause', 'lanes.resume', 'replays.start'
    ))
);

-- A bulk operation: what an operator does to all keys that were parked under its filter when it
-- began. Rows are never removed, nor are those of its keys.
create table bulk_operations (
    bulk_id uuid not null,
    action text not null,
    -- The filter: null means any.
    topic text,
    class text,
    caller text not null,
    reason text not null,
    keys bigint not null,
    -- Messages that waited under the keys when it began.
    messages bigint not null default 0,
    started_at timestamptz not null default clock_timestamp(),
    -- Null while it is under way.
    ended_at timestamptz,
    constraint bulk_operations_pkey primary key (bulk_id),
    constraint bulk_operations_action_known check (action in ('release', 'discard'))
);
-- For the operation that is next.
create index bulk_operations_open on bulk_operations (started_at) where ended_at is null;

-- A key of a bulk operation.
create table bulk_keys (
    bulk_id uuid not null,
    -- Its place in the order of the operation, from 1.
    place bigint not null,
    topic text not null,
    -- As parked_keys.key.
    key text not null,
    -- The key's first message when the operation began: a discard drops no other.
    first_id bigint not null,
    -- Messages that waited then.
    waiting bigint not null,
    -- Null until the key's turn is over.
    outcome text,
    -- Messages that were processed or dropped.
    messages bigint not null default 0,
    -- Why the key stays parked, if it does.
    detail text,
    ended_at timestamptz,
    constraint bulk_keys_pkey primary key (bulk_id, place),
    constraint bulk_keys_of_operation foreign key (bulk_id) references bulk_operations (bulk_id),
    constraint bulk_keys_outcome_known check (
        outcome in ('released', 'discarded', 'stopped', 'changed', 'gone', 'failed')
    )
);
-- For the keys whose turn has not come.
create index bulk_keys_pending on bulk_keys (bulk_id, place) where outcome is null;

-- The first answer to a request that carried an Idempotency-Key; kept for a day.
create table idempotency_keys (
    caller text not null,
    -- Method and path of the request.
    route text not null,
    key text not null,
    -- SHA-256 of the request: the same key with another request is refused.
    fingerprint bytea not null,
    status smallint not null,
    headers jsonb not null,
    body bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint idempotency_keys_pkey primary key (caller, route, key)
);
-- For the sweep, which removes keys older than a day.
create index idempotency_keys_created on idempotency_keys (created_at);

-- Makes the outbox leaf that starts at first_pos, unless it is there. Attaching it locks out no
-- writer.
create function make_outbox_leaf(first_pos bigint, end_pos bigint) returns void
language plpgsql as $$
declare
    leaf text := 'outbox_' || lpad(first_pos::text, 18, '0');
begin
    if to_regclass(leaf) is not null then
        return;
    end if;
    execute format('create table %I (like outbox including all) with (autovacuum_enabled = false)', leaf);
    execute format('alter table outbox attach partition %I for values from (%s) to (%s)', leaf, first_pos, end_pos);
    insert into outbox_leaf (first_pos, end_pos) values (first_pos, end_pos);
end
$$;

-- The smallest UUIDv7 of a moment: turns a range of time into a range of ids.
create function uuid_from(at timestamptz) returns uuid
language sql immutable strict
return (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- Makes the partition of one week (counted from 1970-01-01) of a table that is partitioned by a
-- UUIDv7, unless it is there.
create function make_week(parent text, week int) returns void
language plpgsql as $$
declare
    leaf text := parent || '_w' || week;
    starts timestamptz := to_timestamp(week::bigint * 604800);
    ends timestamptz := to_timestamp((week::bigint + 1) * 604800);
begin
    if to_regclass(leaf) is not null then
        return;
    end if;
    -- Rows are only ever added: there is nothing to vacuum before the partition is dropped.
    execute format('create table %I (like %I including all) with (autovacuum_enabled = false)', leaf, parent);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)',
        parent, leaf, uuid_from(starts), uuid_from(ends));
end
$$;

-- Makes the weeks that a table needs now: some back, for what Kafka and the outbox may still
-- deliver, and two ahead.
create function make_weeks(parent text, behind int) returns void
language sql as $$
select make_week(parent, week)
from generate_series(
    floor(extract(epoch from clock_timestamp()) / 604800)::int - behind,
    floor(extract(epoch from clock_timestamp()) / 604800)::int + 2
) as week
$$;

select make_outbox_leaf(n * 4194304 + (n = 0)::int, (n + 1) * 4194304) from generate_series(0, 2) as n;
-- Kafka keeps 7 days, the outbox 7, and one day more: these 15 days reach back three weeks at most.
select make_weeks('inbox', 3);

-- The first checkpoint is this migration's own snapshot, so that events which services write before
-- the relay's first start are not lost.
insert into relay_tick (epoch, system_id, snap, published_pos)
select 0, system_identifier, pg_current_snapshot(), 0
from pg_control_system();
