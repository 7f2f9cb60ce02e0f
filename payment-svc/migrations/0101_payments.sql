-- What payment-svc owns: payments, accounts with their ledger, and provider calls that have no
-- answer yet.

-- The money of one order. An order that was cancelled before its stock was reserved has a tombstone
-- here: a row without a revision.
create table payments (
    -- The payment's own id is computed from the order's (domain/payment.rs).
    order_id uuid not null,
    customer_id text collate "C",
    -- What is due: the newest revision whose stock was reserved. Without an instrument it is
    -- deferred.
    revision int,
    due numeric(19, 4),
    currency char(3),
    instrument text,
    -- The card's token at its provider, sealed, until it is charged; never a card number.
    token bytea,
    -- Whose token it is.
    provider text,
    -- The payment's phase, and what was tried last to get the money.
    phase text not null,
    tried_revision int,
    tried numeric(19, 4),
    tried_method text,
    -- The token that the provider was given, sealed, while it is asked.
    tried_token bytea,
    -- The provider that was asked, which is also the one that refunds are asked of.
    tried_provider text,
    -- The provider's name for its charge.
    reference text,
    brand text,
    last4 text,
    decline_code text,
    decline_detail text,
    -- How much of the captured amount went back, the number of the last refund, and how much is
    -- being refunded.
    refunded numeric(19, 4),
    refunds int,
    refunding numeric(19, 4),
    -- What a cancelled order is owed: one answer, once nothing is in flight; and until then, which
    -- revision was cancelled.
    compensation text not null,
    cancelled_revision int,
    -- How many events were announced about the order, and the highest version heard from each
    -- source.
    version bigint not null,
    heard_orders bigint not null,
    heard_stock bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- When the payment was captured or declined: a client that paid is told the payment as it stood
    -- then.
    outcome_at timestamptz,
    constraint payments_pkey primary key (order_id),
    constraint payments_due_whole check (num_nulls(customer_id, revision, due, currency) in (0, 4)),
    constraint payments_instrument_known check (instrument in ('wallet', 'card')),
    constraint payments_token_has_provider check ((token is null) = (provider is null)),
    constraint payments_provider_known check (provider in ('simulator', 'stripe')),
    constraint payments_tried_provider_known check (tried_provider in ('simulator', 'stripe')),
    constraint payments_asked_has_provider check (
        tried_provider is not null or (tried_token is null and reference is null)
    ),
    constraint payments_phase_known check (phase in ('waiting', 'charging', 'declined', 'captured')),
    constraint payments_tried_whole check (
        num_nulls(tried_revision, tried, tried_method) = case phase when 'waiting' then 3 else 0 end
    ),
    constraint payments_charging_has_token check ((phase = 'charging') = (tried_token is not null)),
    constraint payments_refunds_within check (
        (phase = 'captured') = (refunded is not null)
        and refunded >= 0
        and (phase = 'captured') = (refunds is not null)
        and refunded + coalesce(refunding, 0) <= tried
    ),
    constraint payments_outcome_has_come check (outcome_at is null or phase in ('declined', 'captured')),
    constraint payments_undoing_known check (compensation in ('not_asked', 'owed', 'voided', 'refunded')),
    constraint payments_owed_has_revision check (
        (compensation = 'owed') = (cancelled_revision is not null)
    ),
    constraint payments_version_counts check (version >= 0)
) with (fillfactor = 50);

-- Charges that were declined: a row for each, written once under its payment's lock. The payment may
-- go on to a later revision; who paid for this one is told of it all the same.
create table declined_charges (
    order_id uuid not null,
    -- With the order it is the charge's idempotency key: a revision is charged once.
    revision int not null,
    amount numeric(19, 4) not null,
    currency char(3) not null,
    provider text not null,
    brand text,
    last4 text,
    code text not null,
    detail text not null,
    declined_at timestamptz not null,
    constraint declined_charges_pkey primary key (order_id, revision),
    constraint declined_charges_payment foreign key (order_id) references payments (order_id),
    constraint declined_charges_provider_known check (provider in ('simulator', 'stripe'))
);

-- Money that went back, or was to: a row for each refund, changed only under its payment's lock.
create table refunds (
    order_id uuid not null,
    -- Counts the order's refunds from 1: with the order it makes the refund's id
    -- (domain/refund.rs) and the provider's idempotency key.
    number int not null,
    refund_id uuid not null,
    customer_id text collate "C" not null,
    amount numeric(19, 4) not null,
    currency char(3) not null,
    cause text not null,
    state text not null,
    -- Why the provider, or the account, will not have the money back.
    reason text,
    begun_at timestamptz not null,
    ended_at timestamptz,
    constraint refunds_pkey primary key (order_id, number),
    constraint refunds_payment foreign key (order_id) references payments (order_id),
    constraint refunds_amount_positive check (amount > 0),
    constraint refunds_cause_known check (cause in ('order_cancelled', 'staff')),
    constraint refunds_state_known check (state in ('processing', 'refunded', 'refused')),
    constraint refunds_reason_of_refused check ((state = 'refused') = (reason is not null)),
    constraint refunds_ended check ((state = 'processing') = (ended_at is null))
) with (fillfactor = 50);
-- For the health report: cancelled orders whose refund was refused wait for staff. As a rule there
-- are none.
create index refunds_refused on refunds (order_id) where state = 'refused';

-- A customer's account at this service: what its ledger entries come to, and written by nobody but
-- them. What the shop and the outside have follows from the ledger, too: every payment would have to
-- lock a row for them.
create table accounts (
    customer_id text collate "C" not null,
    currency char(3) not null,
    -- What is held and what is available, together.
    balance numeric(19, 4) not null default 0,
    held numeric(19, 4) not null default 0,
    created_at timestamptz not null,
    constraint accounts_pkey primary key (customer_id),
    constraint accounts_held_not_negative check (held >= 0),
    constraint accounts_available_not_negative check (balance >= held)
) with (fillfactor = 50);

-- Money of an account set aside for one order, until the order ends. A hold is changed only under
-- the lock of its account.
create table holds (
    customer_id text collate "C" not null,
    order_id uuid not null,
    amount numeric(19, 4) not null,
    state text not null,
    held_at timestamptz not null default clock_timestamp(),
    constraint holds_pkey primary key (customer_id, order_id),
    constraint holds_account foreign key (customer_id) references accounts (customer_id),
    constraint holds_amount_positive check (amount > 0),
    constraint holds_state_known check (state in ('held', 'released', 'captured'))
);
-- For the sweep that releases holds that are too old.
create index holds_held on holds (held_at) where state = 'held';

-- The double-entry ledger: each row is an amount that moved from debit to credit. Rows are only
-- added.
create table ledger_entries (
    customer_id text collate "C" not null,
    entry_id uuid not null,
    kind text not null,
    debit text not null,
    credit text not null,
    amount numeric(19, 4) not null,
    currency char(3) not null,
    order_id uuid,
    at timestamptz not null,
    -- Drawn under the lock of the account, so an account's entries stand in the order in which they
    -- were booked.
    seq bigint not null generated by default as identity,
    constraint ledger_entries_pkey primary key (customer_id, seq),
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

-- Every entry moves its account in the statement that adds it, so the two cannot differ. One update a
-- statement; whoever adds entries has locked their accounts.
create function ledger_moves_accounts() returns trigger
language plpgsql as $$
declare
    wanted bigint;
    moved bigint;
begin
    select count(distinct (customer_id, currency)) into wanted from added;
    update accounts
    set balance = accounts.balance + of_customer.balance, held = accounts.held + of_customer.held
    from (
        select
            customer_id,
            currency,
            sum(case when credit in ('available', 'held') then amount else 0 end
                - case when debit in ('available', 'held') then amount else 0 end) as balance,
            sum(case credit when 'held' then amount else 0 end
                - case debit when 'held' then amount else 0 end) as held
        from added
        group by customer_id, currency
    ) as of_customer
    where accounts.customer_id = of_customer.customer_id
      and accounts.currency = of_customer.currency;
    get diagnostics moved = row_count;
    if moved <> wanted then
        raise exception 'a ledger entry has an account in its currency'
            using errcode = 'foreign_key_violation', constraint = 'ledger_entries_account';
    end if;
    return null;
end
$$;

create trigger ledger_entries_move after insert on ledger_entries
referencing new table as added
for each statement execute function ledger_moves_accounts();

create function accounts_move_by_entries() returns trigger
language plpgsql as $$
begin
    raise exception 'an account moves by its ledger entries alone'
        using errcode = 'check_violation', constraint = 'accounts_move_by_entries';
end
$$;

-- Inside of the trigger above the depth is 1.
create trigger accounts_move_by_entries before update of balance, held on accounts
for each row when (pg_trigger_depth() = 0) execute function accounts_move_by_entries();

create trigger accounts_begin_empty before insert on accounts
for each row when (new.balance <> 0 or new.held <> 0) execute function accounts_move_by_entries();

create trigger ledger_entries_stay before update or delete or truncate on ledger_entries
for each statement execute function ledger_is_append_only();

-- A call to the provider without an answer; the answer removes the row. An order has one at a time.
create table provider_calls (
    order_id uuid not null,
    customer_id text collate "C" not null,
    kind text not null,
    -- The charge's revision, or the refund's number: with the order it is the idempotency key.
    number int not null,
    amount numeric(19, 4) not null,
    currency char(3) not null,
    trace bytea,
    -- How often a process took the call over. What the owner of an earlier count still does is
    -- void.
    attempts int not null,
    -- Until when no other process asks: a lease of the one that asks, or a back-off after a lost
    -- answer.
    leased_until timestamptz not null,
    begun_at timestamptz not null default clock_timestamp(),
    constraint provider_calls_pkey primary key (order_id),
    constraint provider_calls_payment foreign key (order_id) references payments (order_id),
    constraint provider_calls_kind_known check (kind in ('charge', 'refund')),
    constraint provider_calls_amount_positive check (amount > 0)
);
-- For the sweep that takes over calls whose lease has run out.
create index provider_calls_leased on provider_calls (leased_until);
