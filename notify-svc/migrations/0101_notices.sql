-- Who is told what, where they can be reached, and what is still on its way.

-- What the customer of one order has been told.
create table notices (
    order_id uuid not null,
    -- How many events were said about it.
    version bigint not null,
    -- The last versions heard from order-svc and payment-svc.
    heard_orders bigint not null,
    heard_payments bigint not null,
    -- Each piece of news: [{"template", "about", "id", "status"}]. The ids lead to its notifications.
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

-- One message to one person.
create table notifications (
    notification_id uuid not null,
    order_id uuid not null,
    customer_id text not null,
    channel text not null,
    template text not null,
    -- Where it goes; absent if nobody knows.
    recipient text,
    -- What the template is filled with.
    fields jsonb not null,
    status text not null,
    attempts int not null,
    -- What the provider calls it.
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

-- A notification on its way. Born leased to the process that queued it; whoever finds the lease over takes it over.
-- The row goes once the notification is sent, so the table stays so small that the sweep may read all of it.
create table deliveries (
    notification_id uuid not null,
    leased_until timestamptz not null,
    -- How often it was begun: what one of an earlier count still wants to begin is somebody else's now.
    attempts int not null,
    constraint deliveries_pkey primary key (notification_id)
);
