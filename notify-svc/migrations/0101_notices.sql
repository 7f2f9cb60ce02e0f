-- What notify-svc owns: what customers were told, their contacts, and deliveries that are to be
-- made.

-- What the customer of one order has been told.
create table notices (
    order_id uuid not null,
    -- How many events were announced about the order.
    version bigint not null,
    -- The highest versions heard from order-svc and payment-svc.
    heard_orders bigint not null,
    heard_payments bigint not null,
    -- Each thing told: [{"template", "about", "id", "status"}]. The ids are those of its
    -- notifications.
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

-- One message to one customer.
create table notifications (
    notification_id uuid not null,
    order_id uuid not null,
    customer_id text not null,
    channel text not null,
    template text not null,
    -- The address; null if none is known.
    recipient text,
    -- The fields that the template is filled with.
    fields jsonb not null,
    status text not null,
    attempts int not null,
    -- The provider's name for it.
    provider_id text,
    -- Why it will not be delivered.
    failure text,
    created_at timestamptz not null,
    sent_at timestamptz,
    constraint notifications_pkey primary key (notification_id),
    constraint notifications_channel_known check (channel in ('email', 'sms', 'push')),
    constraint notifications_status_known check (status in ('queued', 'sent', 'failed')),
    constraint notifications_sent_at check ((status = 'sent') = (sent_at is not null)),
    constraint notifications_failure check ((status = 'failed') = (failure is not null)),
    constraint notifications_recipient check (status = 'failed' or recipient is not null)
) with (fillfactor = 70);

-- A notification to be delivered. Its row is leased from the start to the process that queued it;
-- when the lease is over, any process may take it over. The row goes once the notification is sent,
-- so the table stays so small that the sweep may read all of it.
create table deliveries (
    notification_id uuid not null,
    leased_until timestamptz not null,
    -- How often the delivery was begun. A process that knows an earlier count has lost it to
    -- another.
    attempts int not null,
    constraint deliveries_pkey primary key (notification_id)
);
