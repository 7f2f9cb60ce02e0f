-- What inventory-svc owns: products, stock, and what of it is reserved.
--
-- Ids that people choose sort by bytes (collate "C"), so that the database and the service agree on
-- the order of locks.

-- A product. Whoever changes anything of a SKU, its stock included, locks this row first.
create table products (
    sku text collate "C" not null,
    name text not null,
    price numeric(19, 4) not null,
    currency char(3) not null,
    -- How many times ProductChanged was announced for it: the version of the last one.
    version bigint not null,
    -- How many pieces were available according to the last announcement.
    said_available bigint not null,
    constraint products_pkey primary key (sku),
    constraint products_price_positive check (price > 0),
    constraint products_version_not_negative check (version >= 0)
) with (fillfactor = 50);

-- A place where stock lies.
create table warehouses (
    warehouse_id text collate "C" not null,
    name text not null,
    -- Pieces are taken from the lowest number first.
    priority int not null,
    constraint warehouses_pkey primary key (warehouse_id)
);

insert into warehouses (warehouse_id, name, priority)
values ('main', 'Main warehouse', 1);

-- The pieces of one SKU in one warehouse. Pages are half empty, so that an update stays on its
-- page.
create table stock (
    sku text collate "C" not null,
    warehouse_id text collate "C" not null,
    -- The pieces that lie there, reserved ones included; a sale lowers it.
    on_hand bigint not null,
    -- How many of them are reserved, for orders or by staff.
    reserved bigint not null,
    sold bigint not null,
    constraint stock_pkey primary key (sku, warehouse_id),
    constraint stock_of_product foreign key (sku) references products (sku),
    constraint stock_in_warehouse foreign key (warehouse_id) references warehouses (warehouse_id),
    constraint stock_not_negative check (on_hand >= 0 and reserved >= 0 and sold >= 0),
    constraint stock_not_oversold check (reserved <= on_hand)
) with (fillfactor = 50);

-- The journal of pieces received or written off by people: on_hand plus sold is the sum of these.
-- Rows are only ever added.
create table stock_adjustments (
    sku text collate "C" not null,
    -- A UUIDv7, so that a product's adjustments are in the order of time.
    adjustment_id uuid not null,
    warehouse_id text collate "C" not null,
    delta bigint not null,
    -- Empty if nobody gave one.
    reason text not null,
    -- Who asked for it.
    caller text not null,
    at timestamptz not null,
    constraint stock_adjustments_pkey primary key (sku, adjustment_id)
);

-- What is known of one order, even if it was rejected, or cancelled before this service heard of
-- it; and what staff reserved for no order. Pages are half empty, so that an update stays on its
-- page.
create table reservations (
    reservation_id uuid not null,
    -- The order that it is for; none if staff made it by hand.
    order_id uuid,
    -- The order's customer.
    customer_id text collate "C",
    -- By what staff find one that they made.
    reference text,
    -- How many events were announced about the order's stock.
    version bigint not null,
    -- The highest version heard from order-svc.
    heard_orders bigint not null,
    -- The last revision of the order that was reserved; the last one of all if none was.
    revision int not null,
    -- The last revision that was answered: higher than revision if it was rejected.
    answered int not null,
    status text not null,
    -- Whether it was announced that an order's time is over; the pieces stay held.
    expired boolean not null,
    -- Until when the pieces are held before the expiry is announced, or, without an order, before
    -- they go back.
    expires_at timestamptz,
    -- The pieces that are or were reserved: [{"sku", "warehouse", "quantity"}].
    allocations jsonb not null,
    -- What an amended order holds beside them until it ends.
    surplus jsonb,
    constraint reservations_pkey primary key (reservation_id),
    -- If the inbox failed to stop a repetition, this would. An order finds its reservation by it.
    constraint reservations_of_order unique (order_id),
    constraint reservations_status_known check (
        case when order_id is null
            then status in ('held', 'released', 'expired')
            -- A tombstone is of an order that was cancelled before anything was reserved.
            else status in ('rejected', 'held', 'sold', 'released', 'tombstone')
        end
    ),
    constraint reservations_held_until check (
        (status in ('held', 'expired')) = (expires_at is not null)
    ),
    constraint reservations_surplus_held check (surplus is null or status = 'held')
) with (fillfactor = 50);

-- A reservation whose time may run out. The row goes when the reservation ends or expires, so that
-- the table stays as small as what waits.
create table reservation_waits (
    expires_at timestamptz not null,
    reservation_id uuid not null,
    -- As in reservations: who looks here need not look there.
    order_id uuid,
    -- In this order for the sweep, which takes the oldest; whoever ends a reservation knows both.
    constraint reservation_waits_pkey primary key (expires_at, reservation_id)
);
