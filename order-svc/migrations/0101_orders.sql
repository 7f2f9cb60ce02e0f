-- What order-svc owns: orders, the history of each, the deadlines of unpaid orders, and the
-- catalogue as inventory-svc last published it.

-- One order: what was asked for, and what stock and payment have answered.
create table orders (
    -- UUIDv7: a range of ids is a range of time.
    order_id uuid not null,
    customer_id text collate "C" not null,
    -- Follows from the answers below; stored for lists.
    status text not null,
    -- Counts what was ordered: 1, then one more for each amendment.
    revision int not null,
    -- Counts the events that this service has announced about the order.
    version bigint not null,
    -- Counts the rows of the order's history.
    events int not null,
    method text not null,
    currency char(3) not null,
    total numeric(19, 4) not null,
    -- In order: [{"sku", "name", "quantity", "unit_price"}]; no SKU for a line without stock.
    lines jsonb not null,
    note text not null,
    -- The trace of the request that placed the order.
    trace_id bytea,
    placed_at timestamptz not null,
    updated_at timestamptz not null,
    -- The highest revision that inventory-svc reserved, and the highest that it rejected.
    reserved_revision int,
    reserved_at timestamptz,
    rejected_revision int,
    rejected_at timestamptz,
    -- What inventory-svc and payment-svc answered to the cancellation.
    released_at timestamptz,
    compensation text,
    refunded numeric(19, 4),
    compensated_at timestamptz,
    payment_id uuid,
    captured_revision int,
    captured numeric(19, 4),
    captured_at timestamptz,
    declined_revision int,
    decline_code text,
    declined_at timestamptz,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    cancel_reason text,
    cancel_detail text,
    cancelled_by text,
    -- How many seconds the order may wait for its payment once its stock is reserved.
    pay_within int not null,
    -- Until when the order has to be paid; set when its present revision is reserved.
    pay_by timestamptz,
    -- What became of the confirmation mail: a failure, or null when it was sent.
    notified_at timestamptz,
    notify_failure text,
    -- The highest version heard from each source.
    heard_stock bigint not null default 0,
    heard_payments bigint not null default 0,
    heard_notifications bigint not null default 0,
    constraint orders_pkey primary key (order_id),
    constraint orders_status_known check (
        status in ('pending', 'payment_pending', 'paid', 'confirmed', 'shipped', 'delivered', 'cancelled')
    ),
    constraint orders_method_known check (method in ('wallet', 'card', 'deferred')),
    constraint orders_counts_positive check (revision > 0 and version > 0 and events >= version),
    constraint orders_total_not_negative check (total >= 0),
    constraint orders_trace_size check (octet_length(trace_id) = 16),
    constraint orders_reserved_whole check (num_nulls(reserved_revision, reserved_at) in (0, 2)),
    constraint orders_rejected_whole check (num_nulls(rejected_revision, rejected_at) in (0, 2)),
    constraint orders_captured_whole check (num_nulls(captured_revision, captured, captured_at) in (0, 3)),
    constraint orders_declined_whole check (num_nulls(declined_revision, decline_code, declined_at) in (0, 3)),
    constraint orders_compensation_known check (
        num_nulls(compensation, compensated_at) in (0, 2)
        and compensation in ('voided', 'refunded')
        and (compensation = 'refunded') = (refunded is not null)
    ),
    constraint orders_cancelled_whole check (num_nulls(cancelled_at, cancel_reason, cancel_detail) in (0, 3)),
    constraint orders_cancelled_says_so check ((status = 'cancelled') = (cancelled_at is not null)),
    -- The second lock behind the rules: nothing is confirmed without stock and money.
    constraint orders_confirmed_has_both check (
        confirmed_at is null or (reserved_revision is not null and captured_revision is not null)
    )
) with (fillfactor = 50);
-- A customer's orders, newest first. There is no other: each would end the in-page updates it touches.
create index orders_by_customer on orders (customer_id, order_id);

-- The events announced and heard about an order, in order: its whole history, for as long as there
-- is the order.
create table order_events (
    order_id uuid not null,
    -- From 1 within the order.
    seq int not null,
    event_id uuid not null,
    -- A number of event_types (0001_mailbox.sql); the type tells which service published the event,
    -- too.
    type smallint not null,
    -- Counted by the source within the order.
    version bigint not null,
    at timestamptz not null,
    -- The topic's message without what the order's row has (order id, customer) and what only
    -- payment-svc needs (terms).
    payload bytea not null,
    constraint order_events_pkey primary key (order_id, seq),
    constraint order_events_counts_positive check (seq > 0 and version > 0)
) partition by range (order_id);
select make_weeks('order_events', 1);

-- An order that waits for its payment. The row goes when the order is paid or ends.
create table order_deadlines (
    due_at timestamptz not null,
    order_id uuid not null,
    -- By time, so that the sweep finds what is due; an order knows its own time, so the row is found by its key.
    constraint order_deadlines_pkey primary key (due_at, order_id)
);

-- A product as inventory-svc last published it: orders are checked against it before they are
-- accepted.
create table products_seen (
    sku text collate "C" not null,
    name text not null,
    price numeric(19, 4) not null,
    currency char(3) not null,
    available bigint not null,
    -- Of two versions the higher one is valid.
    version bigint not null,
    constraint products_seen_pkey primary key (sku)
) with (fillfactor = 50);
