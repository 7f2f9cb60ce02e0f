-- What notify-svc owns: what customers were told, their contacts, and deliveries that are to be
-- made.

-- What the customer of one order has been told.
create table notices (
    order_id uuid not null,
    customer_id text not null,
    -- How many events were announced about the order.
    version bigint not null,
    -- The highest versions heard from order-svc and payment-svc.
    heard_orders bigint not null,
    heard_payments bigint not null,
    -- Each notification: [{"id", "channel", "template", "about", "revision", "status"}].
    told jsonb not null,
    constraint notices_pkey primary key (order_id)
) with (fillfactor = 70);

-- Where a customer can be reached.
create table contacts (
    customer_id text collate "C" not null,
    email text,
    phone text,
    push_token text,
    -- The language that the customer reads, as a tag such as de or pt-BR.
    language text,
    constraint contacts_pkey primary key (customer_id)
);

-- Every address that a customer has ever had, until the customer is erased: what staff sent to one
-- is found by it.
create table addresses (
    customer_id text collate "C" not null,
    address text not null,
    constraint addresses_pkey primary key (customer_id, address)
);

-- One message to one person.
create table notifications (
    notification_id uuid not null,
    -- The order and its customer; null for what staff sent about nothing in particular.
    order_id uuid,
    customer_id text,
    channel text not null,
    -- Null for a text that staff wrote.
    template text,
    language text not null,
    -- The address; null if none is known.
    recipient text,
    -- The fields that the template is filled with; without a template, the subject and the text.
    fields jsonb not null,
    status text not null,
    attempts int not null,
    -- The provider's name for it.
    provider_id text,
    -- Why it was not delivered: a code, and the provider's words at the last attempt.
    failure text,
    detail text,
    created_at timestamptz not null,
    sent_at timestamptz,
    -- Whether staff asked for it: then the address need not be one of the order's customer.
    requested boolean not null default false,
    -- Whether address and text were erased with their customer.
    erased boolean not null default false,
    constraint notifications_pkey primary key (notification_id),
    constraint notifications_customer check ((order_id is null) = (customer_id is null)),
    constraint notifications_channel_known check (channel in ('email', 'sms', 'push')),
    constraint notifications_status_known check (status in ('queued', 'sent', 'failed')),
    constraint notifications_sent_at check ((status = 'sent') = (sent_at is not null)),
    constraint notifications_failure check ((status = 'failed') = (failure is not null)),
    constraint notifications_recipient check (
        recipient is not null or failure is not distinct from 'no_address' or erased
    )
) with (fillfactor = 70);
-- For the erasure of a customer, and of what staff sent to the addresses of one.
create index notifications_of_customer on notifications (customer_id) where not erased;
create index notifications_to on notifications (recipient) where requested;

-- A notification to be delivered. Its row is leased from the start to the process that queued it;
-- when the lease is over, any process may take it over. After a failed attempt, the lease lasts
-- until the next one. The row goes once the notification has ended. Usually few are left; while a
-- mail server is away, or slower than orders come, they pile up.
create table deliveries (
    notification_id uuid not null,
    channel text not null,
    leased_until timestamptz not null,
    -- How often the delivery was begun. A process that knows an earlier count has lost it to
    -- another.
    attempts int not null,
    -- What went wrong at the last attempt.
    detail text,
    constraint deliveries_pkey primary key (notification_id)
);

create index deliveries_due on deliveries (channel, leased_until);
