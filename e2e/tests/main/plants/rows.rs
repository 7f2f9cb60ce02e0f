//! The faults that are planted, each with the rows that it would leave.

/// A fault, as its rows show it.
pub(super) struct Plant {
    pub(super) fault: &'static str,
    pub(super) database: &'static str,
    /// The tables that are restored afterwards.
    pub(super) tables: &'static [&'static str],
    /// The process that would notice the fault and repair it: it is stopped meanwhile.
    pub(super) stopped: &'static str,
    pub(super) rows: &'static str,
    pub(super) check: &'static str,
}

/// A fault for which no process has to be stopped, as for most.
const fn plant(
    fault: &'static str,
    (database, tables): (&'static str, &'static [&'static str]),
    rows: &'static str,
    check: &'static str,
) -> Plant {
    Plant { fault, database, tables, stopped: "", rows, check }
}

const ORDERS: &[&str] = &["orders", "order_events", "order_deadlines"];
const MONEY: &[&str] = &["payments", "accounts", "holds", "ledger_entries"];
const STOCK: &[&str] = &["stock", "reservations"];
const NOTICES: &[&str] = &["notices", "notifications"];

/// `$card`, `$wallet`, `$back` (confirmed and then cancelled), `$later` (deferred and paid) and
/// `$open` (deferred and not paid) are orders of two mugs, `$mug` each; `$ann` has an account.
/// `$card.reserved` is the id of the order's `StockReserved`, and so on.
pub(super) const PLANTS: &[Plant] = &[
    plant(
        "order-svc takes a message in twice",
        ("orders", ORDERS),
        "insert into order_events
        select e.order_id, o.events + 1, e.event_id, e.type, e.version, e.at, e.payload
        from order_events e join orders o using (order_id) where order_id = '$card' and type = 21;
        update orders set events = events + 1 where order_id = '$card'",
        "history_agrees",
    ),
    plant(
        "payment-svc does not ask its inbox",
        ("payments", &["inbox"]),
        "delete from inbox where event_id = '$card.reserved'",
        "nothing_missed",
    ),
    plant(
        "inventory-svc does not ask its inbox",
        ("stock", &["inbox"]),
        "delete from inbox where event_id = '$card.placed'",
        "nothing_missed",
    ),
    plant(
        "notify-svc skips an event between two others",
        ("notify", &["inbox"]),
        "delete from inbox where event_id = '$back.confirmed'",
        "nothing_missed",
    ),
    plant(
        "stock is not released at a cancellation",
        ("stock", STOCK),
        "update reservations set status = 'sold' where order_id = '$back'",
        "stock_agrees",
    ),
    plant(
        "stock is released in the row and not on the shelf",
        ("stock", STOCK),
        "update stock set reserved = reserved + 1 where sku = '$mug'",
        "stock_conserved",
    ),
    plant(
        "a late order is held after its cancellation",
        ("stock", STOCK),
        "update reservations set status = 'held', expires_at = now() + interval '1 hour'
        where order_id = '$back'",
        "stock_agrees",
    ),
    plant(
        "a piece is sold that was never there",
        ("stock", STOCK),
        "update stock set sold = sold + 1 where sku = '$mug'",
        "stock_conserved",
    ),
    plant(
        "one piece is reserved instead of two",
        ("stock", STOCK),
        "update reservations set allocations = jsonb_set(allocations, '{0,quantity}', '1')
        where order_id = '$card';
        update stock set sold = sold - 1, on_hand = on_hand + 1 where sku = '$mug'",
        "stock_agrees",
    ),
    plant(
        "another product is reserved",
        ("stock", STOCK),
        "update reservations set allocations = jsonb_set(allocations, '{0,sku}', '\"$cup\"')
        where order_id = '$card'",
        "stock_agrees",
    ),
    plant(
        "an account is charged twice",
        ("payments", MONEY),
        "insert into ledger_entries
            (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at)
        values ('$ann', gen_random_uuid(), 'capture', 'available', 'shop', 10, 'USD', '$wallet',
            now());
        update accounts set balance = balance - 10 where customer_id = '$ann'",
        "ledger_balances",
    ),
    plant(
        "less than the total is charged",
        ("payments", MONEY),
        "update payments set tried = tried - 1 where order_id = '$card'",
        "money_agrees",
    ),
    plant(
        "the total is not the sum of the lines",
        ("orders", ORDERS),
        "update orders set lines = jsonb_set(lines, '{0,unit_price}', '\"4.99\"')
        where order_id = '$card'",
        "orders_agree",
    ),
    plant(
        "the right number is charged in another currency",
        ("payments", MONEY),
        "update payments set currency = 'EUR' where order_id = '$card'",
        "money_agrees",
    ),
    plant(
        "money goes back twice",
        ("payments", MONEY),
        "insert into ledger_entries
            (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at)
        values ('$ann', gen_random_uuid(), 'refund', 'shop', 'available', 10, 'USD', '$back',
            now());
        update accounts set balance = balance + 10 where customer_id = '$ann'",
        "ledger_balances",
    ),
    plant(
        "captured money of a cancelled order stays",
        ("payments", MONEY),
        "update payments set compensation = 'voided', refunded = 0, refunds = 0
        where order_id = '$back'",
        "money_agrees",
    ),
    plant(
        "a refund is forgotten",
        ("payments", &["refunds"]),
        "delete from refunds where order_id = '$back'",
        "ledger_balances",
    ),
    plant(
        "money goes back, and a void is what was said",
        ("payments", MONEY),
        "update payments set compensation = 'voided' where order_id = '$back'",
        "compensated_once",
    ),
    plant(
        "an account is not the sum of its entries",
        ("payments", MONEY),
        "update accounts set balance = balance + 1 where customer_id = '$ann'",
        "ledger_balances",
    ),
    plant(
        "money is held for an order that has ended",
        ("payments", MONEY),
        "insert into holds (customer_id, order_id, amount, state)
        values ('$ann', '$back', 5, 'held');
        insert into ledger_entries
            (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at)
        values ('$ann', gen_random_uuid(), 'hold', 'available', 'held', 5, 'USD', '$back', now());
        update accounts set held = held + 5 where customer_id = '$ann'",
        "holds_end",
    ),
    plant(
        "a state changes without its event",
        ("orders", ORDERS),
        "update orders set version = version + 1, events = events + 1 where order_id = '$card'",
        "versions_agree",
    ),
    plant(
        "an order is changed beside its history",
        ("orders", ORDERS),
        "update orders set confirmed_at = confirmed_at - interval '1 second'
        where order_id = '$card'",
        "history_agrees",
    ),
    plant(
        "the payment of a deferred order was not asked for",
        ("orders", ORDERS),
        "delete from order_events where order_id = '$later' and type = 2;
        update order_events set seq = seq - 1 where order_id = '$later' and seq > 2;
        update orders set events = events - 1 where order_id = '$later'",
        "history_agrees",
    ),
    plant(
        "an event says other lines than the order has",
        ("orders", ORDERS),
        "update orders set lines = jsonb_set(lines, '{0,name}', '\"Red mug\"')
        where order_id = '$card'",
        "contents_agree",
    ),
    plant(
        "an event says other pieces than are held",
        ("stock", STOCK),
        "update reservations set allocations = jsonb_set(allocations, '{0,warehouse}', '\"north\"')
        where order_id = '$card'",
        "contents_agree",
    ),
    plant(
        "the relay writes another time",
        ("orders", &["outbox"]),
        "update outbox set created_at = created_at + interval '1 second'
        where key = '$card' and type = 1",
        "duplicates_identical",
    ),
    plant(
        "the relay writes another trace",
        ("orders", &["outbox"]),
        "update outbox set trace = set_byte(trace, 0, 255 - get_byte(trace, 0))
        where key = '$card' and type = 1",
        "duplicates_identical",
    ),
    plant(
        "the history misses its last row",
        ("orders", ORDERS),
        "delete from order_events e using orders o
        where o.order_id = '$card' and e.order_id = o.order_id and e.seq = o.events;
        update orders set events = events - 1 where order_id = '$card'",
        "history_agrees",
    ),
    plant(
        "the history keeps another payload",
        ("orders", ORDERS),
        "update order_events set payload = payload || '\\x3001'
        where order_id = '$card' and type = 21",
        "history_agrees",
    ),
    plant(
        "the history keeps another id",
        ("orders", ORDERS),
        "update order_events set event_id = gen_random_uuid()
        where order_id = '$card' and type = 21",
        "history_agrees",
    ),
    plant(
        "the history is of another time",
        ("orders", ORDERS),
        "update order_events set at = at - interval '1 hour'
        where order_id = '$card' and type = 21",
        "history_agrees",
    ),
    plant(
        "the history counts on wrongly",
        ("orders", ORDERS),
        "update order_events set version = 3 where order_id = '$back' and type in (3, 4)",
        "history_agrees",
    ),
    Plant {
        fault: "nobody says that a hold ran out",
        database: "stock",
        tables: &["reservations", "reservation_waits"],
        stopped: "inventory-svc",
        rows: "update reservation_waits set expires_at = now() - interval '1 hour'
        where order_id = '$open';
        update reservations r set expires_at = w.expires_at
        from reservation_waits w where r.order_id = '$open' and w.order_id = '$open'",
        check: "nothing_stuck",
    },
    Plant {
        fault: "nobody ends what was not paid in time",
        database: "orders",
        tables: ORDERS,
        stopped: "order-svc",
        rows: "update orders set reserved_at = date_trunc('second', now()) - interval '1 hour 15 minutes'
        where order_id = '$open';
        update order_deadlines d set due_at = o.reserved_at + make_interval(secs => o.pay_within) from orders o
        where d.order_id = '$open' and o.order_id = '$open'",
        check: "nothing_stuck",
    },
    Plant {
        fault: "nobody asks the provider again",
        database: "payments",
        tables: &["payments", "provider_calls"],
        stopped: "payment-svc",
        rows: "insert into provider_calls
            (order_id, customer_id, kind, number, amount, currency, attempts, leased_until)
        values ('$card', '$ann', 'charge', 1, 10, 'USD', 1, now() - interval '1 hour')",
        check: "nothing_stuck",
    },
    Plant {
        fault: "nobody delivers what is queued",
        database: "notify",
        tables: &["notices", "notifications", "deliveries"],
        stopped: "notify-svc",
        rows: "update notices set told = jsonb_set(told, '{0,status}', '\"queued\"')
        where order_id = '$card';
        update notifications set status = 'queued', sent_at = null where order_id = '$card';
        insert into deliveries (notification_id, channel, leased_until, attempts)
        select notification_id, channel, now() - interval '1 hour', 1 from notifications
        where order_id = '$card'",
        check: "nothing_stuck",
    },
    plant(
        "nobody is told of the confirmation",
        ("notify", NOTICES),
        "update notices set told = '[]' where order_id = '$card'",
        "customers_told",
    ),
    plant(
        "nobody is told that a payment is due",
        ("notify", NOTICES),
        "update notices set told = told - 0
        where order_id = '$later' and told -> 0 ->> 'template' = 'payment_due';
        delete from notifications where order_id = '$later' and template = 'payment_due'",
        "customers_told",
    ),
    plant(
        "nobody is told of the refund",
        ("notify", NOTICES),
        "delete from notifications where order_id = '$back' and template = 'payment_refunded';
        update notices set told = (
            select jsonb_agg(news) from jsonb_array_elements(told) as news
            where news ->> 'template' <> 'payment_refunded'
        ) where order_id = '$back'",
        "customers_told",
    ),
    plant(
        "somebody is told the same twice",
        ("notify", NOTICES),
        "update notices set told = told || (told -> 0) where order_id = '$card'",
        "customers_told",
    ),
    plant(
        "order-svc knows another price than the product has",
        ("orders", &["products_seen"]),
        "update products_seen set price = price + 1 where sku = '$mug'",
        "read_model_agrees",
    ),
    plant(
        "an order was answered as placed, and is not there",
        ("orders", &["idempotency_keys"]),
        "update idempotency_keys
        set body = convert_to(
            replace(convert_from(body, 'UTF8'), '$card', gen_random_uuid()::text), 'UTF8'
        )
        where route = 'POST /v1/orders'",
        "answers_kept",
    ),
    plant(
        "an idempotency key was executed twice",
        ("orders", ORDERS),
        "update orders set request_digest = '\\x01' where order_id in ('$card', '$wallet')",
        "answers_kept",
    ),
    plant(
        "an order was cancelled for another reason than it says",
        ("orders", ORDERS),
        "update orders set cancel_reason = 'payment_declined', cancelled_by = null
        where order_id = '$back'",
        "orders_agree",
    ),
    plant(
        "an order is shown as pending that waits for its payment",
        ("orders", ORDERS),
        "update orders set status = 'pending' where order_id = '$open'",
        "orders_agree",
    ),
];
