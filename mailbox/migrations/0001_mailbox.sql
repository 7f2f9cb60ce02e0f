-- The mailbox's tables: outbox, inbox, parked messages, operations, idempotency keys. The same file in every service's database.

-- Positions are handed out one by one: a cache would let two sessions number their rows against the order of their locks.
create sequence outbox_pos as bigint cache 1;

-- One event on its way to Kafka. Insert-only: the relay reads it by snapshot difference and it leaves with its leaf.
create table outbox (
    -- Before pos on purpose: a writer has its transaction id before its position. Both only ever by default.
    xid xid8 not null default pg_current_xact_id(),
    pos bigint not null default nextval('outbox_pos'),
    event_id uuid not null,
    -- The Kafka key: the id of what the event is about, as text.
    key bytea not null,
    -- Gapless from 1 within a key: the aggregate's count of events said.
    version bigint not null,
    -- Its topic and name: event_types.
    type smallint not null,
    -- The W3C trace context the event belongs to: trace id, span id, flags.
    trace bytea,
    payload bytea not null,
    -- Becomes ce_time.
    created_at timestamptz not null default clock_timestamp(),
    constraint outbox_pkey primary key (pos),
    constraint outbox_version_positive check (version > 0),
    constraint outbox_trace_size check (octet_length(trace) = 25),
    -- Below Kafka's limit with room for headers: what does not fit is refused here, not at the broker. The largest event of ours, the
    -- reservation of a hundred lines in twenty warehouses each, has 270 KiB.
    constraint outbox_payload_size check (octet_length(payload) <= 393216)
) partition by range (pos);
alter table outbox alter payload set storage external;
-- The relay's two probes: transactions after a snapshot, and those that were under way in it.
create index outbox_xid on outbox (xid);

-- One leaf of the outbox, from first_pos to before end_pos. Sealed: no writer can add to it and every row of it is published.
create table outbox_leaf (
    first_pos bigint not null,
    end_pos bigint not null,
    -- Assigned after the sequence passed the end; once no transaction older than it runs, nobody holds a position in the leaf.
    seal_xid xid8,
    sealed_at timestamptz,
    constraint outbox_leaf_pkey primary key (first_pos),
    constraint outbox_leaf_not_empty check (end_pos > first_pos)
);

-- What a type number means. Filled and compared by the service at start; a row never changes.
create table event_types (
    type smallint not null,
    topic text not null,
    name text not null,
    constraint event_types_pkey primary key (type)
);

-- Who speaks from this database (ce_source), and its incarnation: one more after each restore from a backup. One row.
create table outbox_identity (
    source text not null,
    incarnation int not null default 1,
    only_row boolean not null default true,
    constraint outbox_identity_pkey primary key (only_row),
    constraint outbox_identity_one_row check (only_row)
);

-- How far the relay has come: append-only, because an updated row would grow a chain of dead ones under a held snapshot.
create table relay_tick (
    tick_id bigint generated always as identity,
    -- Raised by each leader: a tick of a former one is told apart.
    epoch bigint not null,
    -- The cluster this was written in: a dump restored elsewhere starts anew.
    system_id bigint not null,
    -- Everything visible in it is in Kafka.
    snap pg_snapshot not null,
    -- Everything below it that anybody can see is in Kafka.
    published_pos bigint not null,
    -- Set while a large difference is published in windows: its other snapshot, and the position reached.
    scan_to pg_snapshot,
    scan_pos bigint,
    at timestamptz not null default clock_timestamp(),
    constraint relay_tick_pkey primary key (tick_id)
);

-- The relay's lane of this database, paused by an operator: nothing is published while the row is there. At most one row.
create table lane_pause (
    paused_at timestamptz not null default clock_timestamp(),
    reason text not null,
    -- Who asked.
    caller text not null,
    only_row boolean not null default true,
    constraint lane_pause_pkey primary key (only_row),
    constraint lane_pause_one_row check (only_row)
);

-- Where each topic ended when the relay last looked. An end that fell tells a topic that was made anew, or that lost its newest events.
create table relay_topics (
    topic text not null,
    -- By partition: the offset after its last message.
    ends bigint[] not null,
    -- Nothing is published from this database while it is set: a replay of the whole topic ends that, or an operator's word.
    made_anew_at timestamptz,
    constraint relay_topics_pkey primary key (topic)
);

-- Events that the relay publishes once more, because an operator asked for it.
create table replays (
    replay_id uuid not null,
    -- Which events: those of these topics, of this key if there is one, said from then (inclusive) to then (exclusive).
    topics text[] not null,
    key text,
    from_at timestamptz,
    to_at timestamptz not null,
    -- Everything that the outbox has of the topics: what a topic that was made anew lacks.
    is_whole boolean not null,
    reason text not null,
    -- Who asked.
    caller text not null,
    -- How much it was when it was asked for, and how much of it Kafka has acknowledged.
    events bigint not null,
    keys bigint not null,
    done bigint not null default 0,
    -- Everything up to it is acknowledged; beyond the last one nothing had been said yet.
    position bigint not null default 0,
    last_position bigint not null,
    started_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    constraint replays_pkey primary key (replay_id)
);

-- The ids of messages and commands that have taken effect. UUIDv7, so a partition is a range of ids and of time at once.
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

-- A partition that stopped because Kafka no longer has what comes next: no instance consumes it until a person says where to go on.
create table consumer_stops (
    topic text not null,
    "partition" int not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint consumer_stops_pkey primary key (topic, "partition")
);

-- A message that was applied, now and then, of each partition: when another is found in its place, the topic was made anew.
create table consumer_positions (
    topic text not null,
    "partition" int not null,
    "offset" bigint not null,
    event_id uuid not null,
    constraint consumer_positions_pkey primary key (topic, "partition")
);

-- A key that stopped: its first message could not be processed, the others wait behind it.
create table parked_keys (
    topic text not null,
    -- As contracts write it: an id of ours as it is, anything else base64url:…, above 256 bytes sha256:…, none for a
    -- message without a key. So an index takes it, whatever the key was: parked.message_key has the key itself.
    key text not null,
    -- Groups what failed alike.
    class text not null,
    reason text not null,
    since timestamptz not null default clock_timestamp(),
    constraint parked_keys_pkey primary key (topic, key)
);
-- The list, the oldest first, and how many stopped lately.
create index parked_keys_since on parked_keys (since, topic, key);

-- The messages of parked keys, in the order they came.
create table parked (
    parked_id bigint generated always as identity,
    topic text not null,
    key text not null,
    "partition" int not null,
    "offset" bigint not null,
    message_key bytea,
    -- Absent when the message has no usable envelope.
    event_id uuid,
    event_type text,
    source text,
    version bigint,
    trace bytea,
    payload bytea,
    -- Why it could not be processed; absent for those that only queue.
    reason text,
    parked_at timestamptz not null default clock_timestamp(),
    -- SHA-256 of the message as it came.
    digest bytea not null,
    constraint parked_pkey primary key (parked_id),
    -- A redelivery does not park a message twice; another message at the same place, of a topic made anew, is not lost.
    constraint parked_once unique (topic, "partition", "offset", digest),
    constraint parked_of_key foreign key (topic, key) references parked_keys (topic, key)
);
-- One key's messages in order.
create index parked_by_key on parked (topic, key, parked_id);

-- A flood of parked keys: while there is one, this service hears nothing. One row at most.
create table parked_flood (
    -- Keys that were parked when it stopped; it is over when half of them are not any more.
    keys bigint not null,
    since timestamptz not null default clock_timestamp(),
    -- When it was over, or an operator let it go on all the same: what stopped before that is no flood any more.
    over_at timestamptz,
    only_row boolean not null default true,
    constraint parked_flood_pkey primary key (only_row),
    constraint parked_flood_one_row check (only_row)
);

-- Events of types that this build does not know. They stop no key, and wait for the first build that knows their type.
create table unknown_events (
    kept_id bigint generated always as identity,
    topic text not null,
    -- As in parked_keys.
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
    -- A redelivery, or a replay, keeps an event once.
    constraint unknown_events_once unique (event_id)
);
-- One key's events in order.
create index unknown_events_by_key on unknown_events (topic, key, kept_id);
-- What a build that knows a type has to take.
create index unknown_events_by_type on unknown_events (event_type, topic, key);

-- What operators did, when and why; kept for good.
create table operations (
    operation_id bigint generated always as identity,
    at timestamptz not null default clock_timestamp(),
    -- Who asked.
    caller text not null,
    -- What was done, as noun.verb: parked.discard, consumers.pause.
    action text not null,
    reason text not null,
    -- What it was done to, as far as the action has such a thing.
    topic text,
    "partition" int,
    -- As in parked_keys.
    key text,
    -- The message, and its number in its source's sequence: the audit excuses what was discarded.
    event_id uuid,
    source text,
    version bigint,
    -- What the message held before.
    payload bytea,
    constraint operations_pkey primary key (operation_id),
    constraint operations_action_known check (action in (
        'parked.release', 'parked.discard', 'parked.replace',
        'consumers.pause', 'consumers.resume', 'lanes.pause', 'lanes.resume', 'replays.start'
    ))
);

-- The first answer to a request that carried an Idempotency-Key.
create table idempotency_keys (
    caller text not null,
    -- Method and path.
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
-- The sweep that forgets them after a day.
create index idempotency_keys_created on idempotency_keys (created_at);

-- Makes the outbox leaf that starts at first_pos, unless it is there. Attaching locks out no writer.
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

-- The smallest UUIDv7 of a moment: what a range of time is as a range of ids.
create function uuid_from(at timestamptz) returns uuid
language sql immutable strict
return (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- Makes the partition of one week (counted from 1970-01-01) of a table partitioned by a UUIDv7, unless it is there.
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
    -- Rows are only ever added: there is nothing to vacuum before the partition goes, or is frozen in time.
    execute format('create table %I (like %I including all) with (autovacuum_enabled = false)', leaf, parent);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)',
        parent, leaf, uuid_from(starts), uuid_from(ends));
end
$$;

-- The weeks a table needs now: some behind, for what Kafka and the outbox may still deliver, and two ahead.
create function make_weeks(parent text, behind int) returns void
language sql as $$
select make_week(parent, week)
from generate_series(
    floor(extract(epoch from clock_timestamp()) / 604800)::int - behind,
    floor(extract(epoch from clock_timestamp()) / 604800)::int + 2
) as week
$$;

select make_outbox_leaf(n * 4194304 + (n = 0)::int, (n + 1) * 4194304) from generate_series(0, 2) as n;
-- Kafka keeps 7 days, the outbox 7, and a day: three weeks hold them.
select make_weeks('inbox', 3);

-- What services write before the relay's first start is not lost: the first tick is this migration's own snapshot.
insert into relay_tick (epoch, system_id, snap, published_pos)
select 0, system_identifier, pg_current_snapshot(), 0
from pg_control_system();
