-- Webhooks: other systems that are told of events over HTTP. No event has an address, a note or
-- words of a person, so an erasure has nothing to look for here.

create table webhooks (
    webhook_id uuid not null,
    url text not null,
    description text,
    -- The numbers of the types of events that it is told; null for all.
    events smallint[],
    -- The row of a deleted one goes once its deliveries are gone.
    status text not null,
    -- Why it was disabled, unless staff did it.
    disabled_reason text,
    -- Since when it has been as it is: failures from before then do not disable it. Of a deleted
    -- one, when it was deleted.
    enabled_at timestamptz not null,
    -- What its requests are signed with: whsec_ and base64.
    secret text not null,
    -- The one before, which signs beside it for a day.
    old_secret text,
    old_secret_until timestamptz,
    created_at timestamptz not null,
    constraint webhooks_pkey primary key (webhook_id),
    constraint webhooks_status_known check (status in ('enabled', 'disabled', 'deleted')),
    constraint webhooks_disabled_reason check (disabled_reason is null or status <> 'enabled'),
    constraint webhooks_old_secret check ((old_secret is null) = (old_secret_until is null))
);

-- Every event, kept for replays. The payload is the topic's message without sealed
-- payment details. Partitioned by weeks of the id, and only ever added to.
create table webhook_events (
    event_id uuid not null,
    event_type smallint not null,
    -- The key of its message: the id of the order, or of the product.
    key text not null,
    version bigint not null,
    trace bytea,
    payload bytea not null,
    constraint webhook_events_pkey primary key (event_id)
) partition by range (event_id);
select make_weeks('webhook_events', 1);

-- One event on its way to one webhook. Numbers count up in the order in which the events of a
-- key were heard.
create table webhook_deliveries (
    delivery_id bigint generated always as identity,
    webhook_id uuid not null,
    event_id uuid not null,
    event_type smallint not null,
    key text not null,
    status text not null default 'pending',
    -- Whether no attempt has ended yet: later events of the same key wait for it.
    is_first boolean not null default true,
    -- How often an attempt was begun. A process that knows an earlier count has lost the delivery.
    tries int not null default 0,
    -- When the next attempt is due; while one is under way, when its lease is over.
    due_at timestamptz not null default clock_timestamp(),
    -- Three days after it was queued or resent. One that waited while its webhook was disabled has
    -- three days from the webhook's enabled_at, too.
    give_up_at timestamptz not null default clock_timestamp() + interval '3 days',
    ended_at timestamptz,
    -- The attempts that have ended: [{"at", "status", "error", "ms"}].
    attempts jsonb not null default '[]',
    constraint webhook_deliveries_pkey primary key (delivery_id),
    constraint webhook_deliveries_status_known check (status in ('pending', 'delivered', 'failed')),
    constraint webhook_deliveries_ended check ((status = 'pending') = (ended_at is null))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
-- What is due.
create index webhook_deliveries_due on webhook_deliveries (webhook_id, due_at, delivery_id)
    where status = 'pending';
-- What waits longest, and what has waited for too long.
create index webhook_deliveries_waiting on webhook_deliveries (webhook_id, give_up_at)
    where status = 'pending';
-- What the later events of a key wait for.
create index webhook_deliveries_first on webhook_deliveries (webhook_id, key, delivery_id)
    where status = 'pending' and is_first;
-- For lists.
create index webhook_deliveries_listed on webhook_deliveries (webhook_id, status, delivery_id);
-- What was delivered lately, and what is old enough to go.
create index webhook_deliveries_ended on webhook_deliveries (webhook_id, ended_at)
    where ended_at is not null;

-- Events that are to be told to a webhook once more: those after one id and before another.
create table webhook_replays (
    replay_id bigint generated always as identity,
    webhook_id uuid not null,
    after_id uuid not null,
    before_id uuid not null,
    constraint webhook_replays_pkey primary key (replay_id),
    constraint webhook_replays_webhook foreign key (webhook_id)
        references webhooks (webhook_id) on delete cascade
);
create index webhook_replays_webhook on webhook_replays (webhook_id, replay_id);
