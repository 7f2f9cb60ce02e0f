//! The erasure of a customer: contact, addresses and texts.

use proto::CustomerId;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;

/// What one call has erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureCount {
    pub contacts: i64,
    pub notifications: i64,
}

impl ErasureCount {
    /// What two calls have erased together.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            contacts: self.contacts + more.contacts,
            notifications: self.notifications + more.notifications,
        }
    }
}

/// Erases a customer's contact, and the addresses and texts of all notifications about the
/// customer's orders, and of all that staff sent to an address that the customer has or had: one of
/// `addresses`, or one noted since those were read. What was not delivered yet is due at once, and
/// then fails for want of an address; whoever has it in hand has lost it. One statement, so that
/// nothing is half erased; erased rows keep what the order's history needs.
///
/// The answers that were kept for those letters go with them: they have the address, masked, and
/// need not name the customer, so `mailbox::erase_answers` does not find them all.
///
/// Anybody may claim an address as their own. Unless staff has made sure (`is_proven`), letters
/// about others' orders stay, and letters to an address that another customer has, too.
pub async fn erase(
    db: &mut PgConnection,
    customer: &CustomerId,
    addresses: &[String],
    is_proven: bool,
) -> sqlx::Result<ErasureCount> {
    sqlx::query_as!(
        ErasureCount,
        r#"-- erasure.erase
        with contact as (
            delete from contacts
            where customer_id = $1
            returning customer_id
        ),
        noted as (
            delete from addresses
            where customer_id = $1
            returning address
        ),
        mine as (
            select notification_id
            from notifications
            where notification_id in (
                select notification_id
                from notifications
                where customer_id = $1 and not erased
                union all
                select n.notification_id
                from (select address from noted union select unnest($2::text[])) as a (address)
                join notifications n on n.recipient = a.address and n.requested
                where $3
                   or (coalesce(n.customer_id, $1) = $1
                       and not exists (
                           select from addresses o
                           where o.address = a.address and o.customer_id <> $1))
            )
            order by notification_id
            for update
        ),
        due as (
            update deliveries d
            set leased_until = clock_timestamp(),
                attempts = d.attempts + 1,
                detail = null
            from mine
            where d.notification_id = mine.notification_id
        ),
        answers as (
            update idempotency_keys i
            set body = '{}'
            from mine
            where i.route like 'POST /v1/notifications/%'
              and i.headers @> jsonb_build_array(
                  jsonb_build_array('location', '/v1/notifications/' || mine.notification_id))
        ),
        blank as (
            update notifications n
            set recipient = null,
                fields = '{}',
                detail = null,
                erased = true
            from mine
            where n.notification_id = mine.notification_id
            returning n.notification_id
        )
        select
            (select count(*) from contact) as "contacts!",
            (select count(*) from blank) as "notifications!""#,
        customer.as_str(),
        addresses,
        is_proven
    )
    .fetch_one(db)
    .await
}
