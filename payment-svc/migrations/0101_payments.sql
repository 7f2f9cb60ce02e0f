-- What payment-svc owns: payments, accounts with their ledger, and calls to the provider that have no answer yet.

-- The money of one order. Tombstones, too: an order cancelled before its stock was heard of has no revision here.
create table payments (
    -- The payment's own id follows from it.
    order_id uuid not null,
    customer_id text collate "C",
    -- What is due: the newest revision heard reserved. Without an instrument it is deferred.
    revision int,
    due numeric(19, 4),
    currency char(3),
    instrument text,
    -- The card's token at the provider; never a card number.
    token text,
    -- Where the money stands, and what was tried last to get it.
    standing text not null,
    tried_revision int,
    tried numeric(19, 4),
    tried_method text,
    -- While the provider is asked: the token it was given.
    tried_token text,
    -- The provider's name for its charge.
    reference text,
    brand text,
    last4 text,
    decline_code text,
    decline_detail text,
    -- How much of what was captured went back, in how many refunds, and how much is on its way.
    refunded numeric(19, 4),
    refunds int,
    refunding numeric(19, 4),
    -- What a cancelled order is owed: one answer, when nothing is in flight.
    undoing text not null,
    -- Events said about this order, and the last one heard of each source.
    version bigint not null,
    heard_orders bigint not null,
    heard_stock bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint payments_pkey primary key (order_id),
    constraint payments_due_whole check (num_nulls(customer_id, revision, due, currency) in (0, 4)),
    constraint payments_instrument_known check (instrument in ('wallet', 'card')),
    constraint payments_standing_known check (standing in ('waiting', 'charging', 'declined', 'captured')),
    constraint payments_tried_whole check (
        num_nulls(tried_revision, tried, tried_method) = case standing when 'waiting' then 3 else 0 end
    ),
    constraint payments_charging_has_token check ((standing = 'charging') = (tried_token is not null)),
    constraint payments_refunds_within check (
        (standing = 'captured') = (refunded is not null)
        and refunded >= 0
        and refunded + coalesce(refunding, 0) <= tried
    ),
    constraint payments_undoing_known check (undoing in ('not_asked', 'owed', 'voided', 'refunded')),
    constraint payments_version_counts check (version >= 0)
) with (fillfactor = 50);

-- A customer's money here. What the shop and the outside have follows from the ledger: a row for them would be fought over.
create table accounts (
    customer_id text collate "C" not null,
    currency char(3) not null,
    -- What is held and what is available, together.
    balance numeric(19, 4) not null,
    held numeric(19, 4) not null,
    created_at timestamptz not null,
    constraint accounts_pkey primary key (customer_id),
    constraint accounts_held_not_negative check (held >= 0),
    constraint accounts_available_not_negative check (balance >= held)
) with (fillfactor = 50);

-- Money of an account set aside for one order. Changed under the lock of its account only.
create table holds (
    customer_id text collate "C" not null,
    order_id uuid not null,
    amount numeric(19, 4) not null,
    state text not null,
    constraint holds_pkey primary key (customer_id, order_id),
    constraint holds_account foreign key (customer_id) references accounts (customer_id),
    constraint holds_amount_positive check (amount > 0),
    constraint holds_state_known check (state in ('held', 'released', 'captured'))
);

-- The double-entry ledger: an amount that moved from debit to credit. Only ever added to.
create table ledger_entries (
    customer_id text collate "C" not null,
    -- UUIDv7: an account's entries in order of time.
    entry_id uuid not null,
    kind text not null,
    debit text not null,
    credit text not null,
    amount numeric(19, 4) not null,
    currency char(3) not null,
    order_id uuid,
    at timestamptz not null,
    constraint ledger_entries_pkey primary key (customer_id, entry_id),
    constraint ledger_entries_amount_positive check (amount > 0),
    constraint ledger_entries_movement_known check (
        (kind, debit, credit) in (
            ('deposit', 'outside', 'available'),
            ('hold', 'available', 'held'),
            ('release', 'held', 'available'),
            ('capture', 'available', 'shop'),
            ('capture', 'held', 'shop'),
            ('refund', 'shop', 'available')
        )
    )
);

create function ledger_is_append_only() returns trigger
language plpgsql as $$
begin
    raise exception 'the ledger is only ever added to';
end
$$;

create trigger ledger_entries_stay before update or delete or truncate on ledger_entries
for each statement execute function ledger_is_append_only();

-- Something asked of the provider and not answered yet; the row goes with the answer. One at a time for an order.
create table provider_calls (
    order_id uuid not null,
    kind text not null,
    -- The charge's revision, or the refund's number: with the order it is the idempotency key.
    number int not null,
    amount numeric(19, 4) not null,
    currency char(3) not null,
    -- What is charged: the card's token. What is refunded: the provider's name for its charge.
    subject text not null,
    trace bytea,
    -- How often the provider was asked and did not answer.
    attempts int not null,
    -- Nobody else asks before: the lease of the process that does, or a pause after a lost answer.
    leased_until timestamptz not null,
    constraint provider_calls_pkey primary key (order_id),
    constraint provider_calls_payment foreign key (order_id) references payments (order_id),
    constraint provider_calls_kind_known check (kind in ('charge', 'refund')),
    constraint provider_calls_amount_positive check (amount > 0)
);
-- The sweep that picks up what was left.
create index provider_calls_leased on provider_calls (leased_until);
