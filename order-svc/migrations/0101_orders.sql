-- What order-svc owns: orders, what people wrote about them, the history of each, what is not finished, the deadlines of
-- unpaid orders, and the catalogue as inventory-svc last published it.

-- One order: what it was placed with, what it asks for now, and what stock and payment have answered. It is written by
-- three statements, so that the ordinary one is short: what changes on the way of most orders, what happens to few, and
-- the present revision.
create table orders (
    -- UUIDv7: a range of ids is a range of time.
    order_id uuid not null,
    customer_id text collate "C" not null,
    method text not null,
    currency char(3) not null,
    -- How many seconds the order may wait for its payment once its stock is reserved.
    pay_within int not null,
    -- The trace of the request that placed the order.
    trace_id bytea,
    -- A digest of who placed the order and of their Idempotency-Key, if there was one: a key makes one order a day.
    request_digest bytea,
    placed_at timestamptz not null,
    -- The present revision: its number (1, then one more for each amendment), what it asks for, why it followed the one
    -- before, and when it was said. Lines in order: [{"sku", "name", "quantity", "unit_price"}]; no SKU for a line
    -- without stock.
    revision int not null,
    total numeric(19, 4) not null,
    lines jsonb not null,
    cause text,
    revised_at timestamptz not null,

    -- Follows from the answers below; stored for lists.
    status text not null,
    -- Counts the events that this service has announced about the order.
    version bigint not null,
    -- Counts the rows of the order's history.
    events int not null,
    updated_at timestamptz not null,
    -- The highest revision that inventory-svc reserved.
    reserved_revision int,
    reserved_at timestamptz,
    payment_id uuid,
    captured_revision int,
    captured numeric(19, 4),
    captured_at timestamptz,
    confirmed_at timestamptz,
    -- When the confirmation mail was sent, or failed (`notify_failure`).
    notified_at timestamptz,
    -- The highest version heard from each source.
    heard_stock bigint not null default 0,
    heard_payments bigint not null default 0,
    heard_notifications bigint not null default 0,

    -- What happens to few orders. The highest revision that inventory-svc rejected, and that was declined.
    rejected_revision int,
    rejected_at timestamptz,
    declined_revision int,
    decline_code text,
    declined_at timestamptz,
    cancelled_at timestamptz,
    cancel_reason text,
    -- What was missing, or why the payment was declined; what a person wrote is in order_texts.
    cancel_detail text,
    cancelled_by text,
    -- What inventory-svc and payment-svc answered to the cancellation: no amount if the payment was voided.
    released_at timestamptz,
    compensated_at timestamptz,
    refunded numeric(19, 4),
    refund_refused_at timestamptz,
    notify_failure text,
    carrier text,
    tracking_number text,
    shipped_at timestamptz,
    delivered_at timestamptz,
    constraint orders_pkey primary key (order_id),
    -- The second lock behind the rules: nothing is confirmed without stock and money. One check, because each costs
    -- every update a tenth of its time.
    constraint orders_sound check (
        revision > 0 and version > 0 and events >= version
        and (status = 'cancelled') = (cancelled_at is not null)
        and (confirmed_at is null or (reserved_at is not null and captured_at is not null))
    )
) with (fillfactor = 50);
-- A customer's orders, newest first. There is no other: each would end the in-page updates it touches.
create index orders_by_customer on orders (customer_id, order_id);

-- What an order asked for before it was amended, written when it is. Answers to an earlier revision may still decide
-- what becomes of an open order.
create table order_revisions (
    order_id uuid not null,
    revision int not null,
    total numeric(19, 4) not null,
    lines jsonb not null,
    cause text,
    revised_at timestamptz not null,
    constraint order_revisions_pkey primary key (order_id, revision)
);

-- What people wrote about an order. No event carries it and the history holds none of it, so it can be erased.
create table order_texts (
    order_id uuid not null,
    note text not null default '',
    -- The words with which the order was cancelled.
    cancel_words text not null default '',
    constraint order_texts_pkey primary key (order_id)
) with (fillfactor = 80);

-- An order that is not finished: it is open, its cancellation is not answered by both sides, or staff have to settle
-- its refund. What is expected, and by when, follows from the order.
create table unfinished_orders (
    order_id uuid not null,
    since timestamptz not null,
    -- A card's details, sealed for payment-svc (`shop.orders.v1.Sealed`): an amendment says them again. They go when the
    -- order ends.
    details bytea,
    constraint unfinished_orders_pkey primary key (order_id)
) with (fillfactor = 90);

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
