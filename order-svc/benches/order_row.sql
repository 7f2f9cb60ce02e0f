-- What an update of orders costs, by the shape of the row: psql -q -d DATABASE -f order_row.sql
--
-- Each variant is updated by its real statement, prepared and with a generic plan, in a transaction of its own, in
-- batches of 1 and of 6 rows of 20,000. Only the statement is timed, not its commit. All of it is in a schema that goes
-- at the end.
\set ON_ERROR_STOP on
set client_min_messages = warning;
drop schema if exists order_row cascade;
create schema order_row;
set search_path = order_row;
set plan_cache_mode = force_generic_plan;
set enable_seqscan = off;
set enable_hashjoin = off;
set enable_mergejoin = off;
set synchronous_commit = off;

-- What an order was placed with, and what its answers are in one word each.
create table wide (
    order_id uuid primary key, customer_id text collate "C" not null, status text not null, revision int not null,
    version bigint not null, events int not null, method text not null, currency char(3) not null,
    total numeric(19, 4) not null, lines jsonb not null, note text not null, trace_id bytea, placed_at timestamptz not null,
    updated_at timestamptz not null, reserved_revision int, reserved_at timestamptz, rejected_revision int,
    rejected_at timestamptz, released_at timestamptz, compensation text, refunded numeric(19, 4),
    compensated_at timestamptz, payment_id uuid, captured_revision int, captured numeric(19, 4), captured_at timestamptz,
    declined_revision int, decline_code text, declined_at timestamptz, confirmed_at timestamptz,
    cancelled_at timestamptz, cancel_reason text, cancel_detail text, cancelled_by text, pay_within int not null,
    pay_by timestamptz, notified_at timestamptz, notify_failure text, heard_stock bigint not null default 0,
    heard_payments bigint not null default 0, heard_notifications bigint not null default 0,
    check (status in ('pending', 'payment_pending', 'paid', 'confirmed', 'shipped', 'delivered', 'cancelled')),
    check (method in ('wallet', 'card', 'deferred')),
    check (revision > 0 and version > 0 and events >= version),
    check (total >= 0),
    check (octet_length(trace_id) = 16),
    check (num_nulls(reserved_revision, reserved_at) in (0, 2)),
    check (num_nulls(rejected_revision, rejected_at) in (0, 2)),
    check (num_nulls(captured_revision, captured, captured_at) in (0, 3)),
    check (num_nulls(declined_revision, decline_code, declined_at) in (0, 3)),
    check (num_nulls(compensation, compensated_at) in (0, 2) and compensation in ('voided', 'refunded')
           and (compensation = 'refunded') = (refunded is not null)),
    check (num_nulls(cancelled_at, cancel_reason, cancel_detail) in (0, 3)),
    check ((status = 'cancelled') = (cancelled_at is not null)),
    check (confirmed_at is null or (reserved_revision is not null and captured_revision is not null))
) with (fillfactor = 50);
create index on wide (customer_id, order_id);

-- The columns of the way that most orders go; what happens to few is written by a second statement.
create table usual (
    order_id uuid primary key, customer_id text collate "C" not null, status text not null, revision int not null,
    version bigint not null, events int not null, method text not null, currency char(3) not null,
    total numeric(19, 4) not null, lines jsonb not null, trace_id bytea, placed_at timestamptz not null,
    pay_within int not null, updated_at timestamptz not null, reserved_revision int, reserved_at timestamptz,
    payment_id uuid, captured_revision int, captured numeric(19, 4), captured_at timestamptz, confirmed_at timestamptz,
    notified_at timestamptz, heard_stock bigint not null default 0, heard_payments bigint not null default 0,
    heard_notifications bigint not null default 0,
    rejected_revision int, rejected_at timestamptz, released_at timestamptz, compensated_at timestamptz,
    refunded numeric(19, 4), refund_refused_at timestamptz, declined_revision int, decline_code text,
    declined_at timestamptz, cancelled_at timestamptz, cancel_reason text, cancel_detail text, cancelled_by text,
    notify_failure text, carrier text, tracking_number text, shipped_at timestamptz, delivered_at timestamptz,
    check (revision > 0 and version > 0 and events >= version
           and (status = 'cancelled') = (cancelled_at is not null)
           and (confirmed_at is null or (reserved_at is not null and captured_at is not null)))
) with (fillfactor = 50);
create index on usual (customer_id, order_id);

-- The same columns, all of them in one statement.
create table whole (like usual including all) with (fillfactor = 50);

-- The answers as one JSON value.
create table packed (
    order_id uuid primary key, customer_id text collate "C" not null, status smallint not null, revision int not null,
    version int not null, events int not null, method smallint not null, currency char(3) not null,
    total numeric(19, 4) not null, lines jsonb not null, trace_id bytea, placed_at timestamptz not null,
    pay_within int not null, updated_at timestamptz not null, answers jsonb not null default '{}',
    check (status between 1 and 7 and revision > 0 and version > 0 and events >= version
           and (status = 7) = (answers ? 'cancelled'))
) with (fillfactor = 50);
create index on packed (customer_id, order_id);

-- The usual columns in a table of their own: what an order was placed with is not copied.
create table apart (
    order_id uuid primary key, status smallint not null, version int not null, events int not null,
    updated_at timestamptz not null, reserved_revision int, reserved_at timestamptz, payment_id uuid,
    captured_revision int, captured numeric(19, 4), captured_at timestamptz, confirmed_at timestamptz,
    notified_at timestamptz, heard_stock int not null default 0, heard_payments int not null default 0,
    heard_notifications int not null default 0,
    check (version > 0 and events >= version
           and (confirmed_at is null or (reserved_at is not null and captured_at is not null)))
) with (fillfactor = 50);

create table ids as
select n, ('01932c1e-' || lpad(to_hex(n % 65536), 4, '0') || '-7c3d-8e4f-' || lpad(to_hex(n), 12, '0'))::uuid as order_id
from generate_series(1, 20000) n;
create index on ids (n);
insert into wide (order_id, customer_id, status, revision, version, events, method, currency, total, lines, note, trace_id,
                  placed_at, updated_at, pay_within)
select order_id, 'customer-' || n % 1000, 'pending', 1, 1, 1, 'wallet', 'USD', 59.98,
       '[{"sku": "product-123", "name": "Blue mug", "quantity": 2, "unit_price": "29.99"}]', '', '\x00112233445566778899aabbccddeeff',
       now(), now(), 900
from ids;
insert into usual (order_id, customer_id, status, revision, version, events, method, currency, total, lines, trace_id,
                   placed_at, updated_at, pay_within)
select order_id, customer_id, 'pending', 1, 1, 1, 'wallet', currency, total, lines, trace_id, now(), now(), 900 from wide;
insert into whole select * from usual;
insert into packed (order_id, customer_id, status, revision, version, events, method, currency, total, lines, trace_id,
                    placed_at, updated_at, pay_within)
select order_id, customer_id, 1, 1, 1, 1, 1, currency, total, lines, trace_id, now(), now(), 900 from wide;
insert into apart (order_id, status, version, events, updated_at) select order_id, 1, 1, 1, now() from wide;
vacuum analyze wide, usual, whole, packed, apart;
create table took (variant text, batch int, us double precision);

create procedure measure(variant text, batch int, rounds int) language plpgsql as $$
declare
    id uuid[]; word text[]; one int[]; big bigint[]; at timestamptz[]; no_at timestamptz[]; no_int int[];
    no_text text[]; no_money numeric[]; money numeric[]; tag uuid[]; code smallint[]; no_code smallint[]; all_answers jsonb[];
    began timestamptz; spent interval := '0'; rows int;
begin
    for round in 1 .. rounds loop
        select array_agg(i.order_id order by i.order_id) into id
        from ids i where i.n = any (array(select 1 + (round * 7919 + k * 3001) % 20000 from generate_series(1, batch) k));
        word := array_fill('confirmed'::text, array[batch]); one := array_fill(1, array[batch]);
        big := array_fill(2::bigint, array[batch]); at := array_fill(clock_timestamp(), array[batch]);
        no_at := array_fill(null::timestamptz, array[batch]); no_int := array_fill(null::int, array[batch]);
        no_text := array_fill(null::text, array[batch]); no_money := array_fill(null::numeric, array[batch]);
        money := array_fill(59.98, array[batch]); tag := id; code := array_fill(4::smallint, array[batch]);
        no_code := array_fill(null::smallint, array[batch]);
        all_answers := array_fill(jsonb_build_object('reserved', jsonb_build_array(1, round), 'captured', jsonb_build_array(1, round, '59.98'),
            'payment', id[1], 'confirmed', round, 'heard', jsonb_build_array(1, 1, 0)), array[batch]);
        began := clock_timestamp();
        case variant
        when 'wide' then
            update wide o
            set status = n.status, revision = n.revision, version = n.version, events = n.events, updated_at = n.updated_at,
                reserved_revision = n.reserved_revision, reserved_at = n.reserved_at,
                rejected_revision = n.rejected_revision, rejected_at = n.rejected_at, released_at = n.released_at,
                compensation = n.compensation, refunded = n.refunded, compensated_at = n.compensated_at, payment_id = n.payment_id,
                captured_revision = n.captured_revision, captured = n.captured, captured_at = n.captured_at,
                declined_revision = n.declined_revision, decline_code = n.decline_code, declined_at = n.declined_at,
                confirmed_at = n.confirmed_at, cancelled_at = n.cancelled_at, cancel_reason = n.cancel_reason,
                cancel_detail = n.cancel_detail, cancelled_by = n.cancelled_by, pay_by = n.pay_by,
                notified_at = n.notified_at, notify_failure = n.notify_failure, heard_stock = n.heard_stock,
                heard_payments = n.heard_payments, heard_notifications = n.heard_notifications
            from unnest(id, word, one, big, array_fill(2, array[batch]), at, one, at, no_int, no_at, no_at, no_text, no_money,
                        no_at, tag, one, money, at, no_int, no_text, no_at, at, no_at, no_text, no_text, no_text, at, no_at,
                        no_text, big, big, big)
                as n (order_id, status, revision, version, events, updated_at, reserved_revision, reserved_at,
                      rejected_revision, rejected_at, released_at, compensation, refunded, compensated_at, payment_id,
                      captured_revision, captured, captured_at, declined_revision, decline_code, declined_at, confirmed_at,
                      cancelled_at, cancel_reason, cancel_detail, cancelled_by, pay_by, notified_at, notify_failure,
                      heard_stock, heard_payments, heard_notifications)
            where o.order_id = n.order_id;
        when 'whole' then
            update whole o
            set status = n.status, version = n.version, events = n.events, updated_at = n.updated_at,
                reserved_revision = n.reserved_revision, reserved_at = n.reserved_at, payment_id = n.payment_id,
                captured_revision = n.captured_revision, captured = n.captured, captured_at = n.captured_at,
                confirmed_at = n.confirmed_at, notified_at = n.notified_at, heard_stock = n.heard_stock,
                heard_payments = n.heard_payments, heard_notifications = n.heard_notifications,
                rejected_revision = n.rejected_revision, rejected_at = n.rejected_at, released_at = n.released_at,
                compensated_at = n.compensated_at, refunded = n.refunded, refund_refused_at = n.refund_refused_at,
                declined_revision = n.declined_revision, decline_code = n.decline_code, declined_at = n.declined_at,
                cancelled_at = n.cancelled_at, cancel_reason = n.cancel_reason, cancel_detail = n.cancel_detail,
                cancelled_by = n.cancelled_by, notify_failure = n.notify_failure, carrier = n.carrier,
                tracking_number = n.tracking_number, shipped_at = n.shipped_at, delivered_at = n.delivered_at
            from unnest(id, word, big, array_fill(2, array[batch]), at, one, at, tag, one, money, at, at, no_at, big, big, big, no_int,
                        no_at, no_at, no_at, no_money, no_at, no_int, no_text, no_at, no_at, no_text, no_text, no_text, no_text, no_text,
                        no_text, no_at, no_at)
                as n (order_id, status, version, events, updated_at, reserved_revision, reserved_at, payment_id,
                      captured_revision, captured, captured_at, confirmed_at, notified_at, heard_stock, heard_payments,
                      heard_notifications, rejected_revision, rejected_at, released_at, compensated_at, refunded,
                      refund_refused_at, declined_revision, decline_code, declined_at, cancelled_at, cancel_reason,
                      cancel_detail, cancelled_by, notify_failure, carrier, tracking_number, shipped_at, delivered_at)
            where o.order_id = n.order_id;
        when 'usual' then
            update usual o
            set status = n.status, version = n.version, events = n.events, updated_at = n.updated_at,
                reserved_revision = n.reserved_revision, reserved_at = n.reserved_at, payment_id = n.payment_id,
                captured_revision = n.captured_revision, captured = n.captured, captured_at = n.captured_at,
                confirmed_at = n.confirmed_at, notified_at = n.notified_at, heard_stock = n.heard_stock,
                heard_payments = n.heard_payments, heard_notifications = n.heard_notifications
            from unnest(id, word, big, array_fill(2, array[batch]), at, one, at, tag, one, money, at, at, no_at, big, big, big)
                as n (order_id, status, version, events, updated_at, reserved_revision, reserved_at, payment_id,
                      captured_revision, captured, captured_at, confirmed_at, notified_at, heard_stock, heard_payments,
                      heard_notifications)
            where o.order_id = n.order_id;
        when 'packed' then
            update packed o
            set status = n.status, version = n.version, events = n.events, updated_at = n.updated_at, answers = n.answers
            from unnest(id, code, one, one, at, all_answers) as n (order_id, status, version, events, updated_at, answers)
            where o.order_id = n.order_id;
        when 'apart' then
            update apart o
            set status = n.status, version = n.version, events = n.events, updated_at = n.updated_at,
                reserved_revision = n.reserved_revision, reserved_at = n.reserved_at, payment_id = n.payment_id,
                captured_revision = n.captured_revision, captured = n.captured, captured_at = n.captured_at,
                confirmed_at = n.confirmed_at, notified_at = n.notified_at, heard_stock = n.heard_stock,
                heard_payments = n.heard_payments, heard_notifications = n.heard_notifications
            from unnest(id, code, one, one, at, one, at, tag, one, money, at, at, no_at, one, one, one)
                as n (order_id, status, version, events, updated_at, reserved_revision, reserved_at, payment_id,
                      captured_revision, captured, captured_at, confirmed_at, notified_at, heard_stock, heard_payments,
                      heard_notifications)
            where o.order_id = n.order_id;
        end case;
        get diagnostics rows = row_count;
        spent := spent + (clock_timestamp() - began);
        if rows <> batch then
            raise exception '% rows instead of %', rows, batch;
        end if;
        commit;
    end loop;
    insert into took values (variant, batch, extract(epoch from spent) * 1e6 / rounds);
    commit;
end $$;

-- In turns, so that a busy moment of the machine meets all of them.
do $$
declare variant text; batch int;
begin
    for turn in 1 .. 5 loop
        foreach batch in array array[1, 6] loop
            foreach variant in array array['wide', 'whole', 'usual', 'packed', 'apart'] loop
                call measure(variant, batch, 1000);
            end loop;
        end loop;
    end loop;
end $$;

select variant, batch, round(percentile_cont(0.5) within group (order by us)::numeric, 1) as us_a_statement,
       round(min(us)::numeric, 1) as least
from took
group by variant, batch
order by batch, us_a_statement desc;
drop schema order_row cascade;
