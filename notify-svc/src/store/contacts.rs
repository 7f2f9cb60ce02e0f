//! Contacts: where customers can be reached.

use std::collections::BTreeMap;

use mailbox::{invalid, wrote};
use proto::CustomerId;
use sqlx::PgConnection;

use crate::domain::Contact;

struct ContactRow {
    customer_id: String,
    email: Option<String>,
    phone: Option<String>,
    push_token: Option<String>,
    language: Option<String>,
}

impl TryFrom<ContactRow> for (CustomerId, Contact) {
    type Error = sqlx::Error;

    fn try_from(row: ContactRow) -> sqlx::Result<Self> {
        let ContactRow { customer_id, email, phone, push_token, language } = row;
        let customer = CustomerId::parse(&customer_id).map_err(invalid)?;
        Ok((customer, Contact { email, phone, push_token, language }))
    }
}

/// The contacts of customers, read without locks.
pub async fn find_all(
    db: &mut PgConnection,
    customers: &[String],
) -> sqlx::Result<Vec<(CustomerId, Contact)>> {
    let rows = sqlx::query_as!(
        ContactRow,
        "-- contacts.find_all
        select customer_id, email, phone, push_token, language
        from contacts
        where customer_id = any($1)",
        customers
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The contacts of customers, locked in the order of their ids because they are to change.
pub async fn lock(
    db: &mut PgConnection,
    customers: &[String],
) -> sqlx::Result<Vec<(CustomerId, Contact)>> {
    let rows = sqlx::query_as!(
        ContactRow,
        "-- contacts.lock
        select customer_id, email, phone, push_token, language
        from contacts
        where customer_id = any($1)
        order by customer_id
        for update",
        customers
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks those contacts that no other session holds, and returns the customers of those held.
pub async fn held(db: &mut PgConnection, customers: &[String]) -> sqlx::Result<Vec<CustomerId>> {
    let held = sqlx::query_scalar!(
        "-- contacts.held
        with free as (
            select customer_id
            from contacts
            where customer_id = any($1)
            order by customer_id
            for update skip locked
        )
        select customer_id
        from contacts
        where customer_id = any($1)
          and customer_id not in (select customer_id from free)",
        customers
    )
    .fetch_all(db)
    .await?;
    held.iter().map(|customer| CustomerId::parse(customer).map_err(invalid)).collect()
}

/// Writes contacts. A contact is replaced as a whole, so the last write stands in any order of
/// arrival.
pub async fn put(
    db: &mut PgConnection,
    contacts: &BTreeMap<CustomerId, Contact>,
) -> sqlx::Result<()> {
    if contacts.is_empty() {
        return Ok(());
    }
    let customers: Vec<String> = contacts.keys().map(ToString::to_string).collect();
    let emails: Vec<Option<String>> = contacts.values().map(|it| it.email.clone()).collect();
    let phones: Vec<Option<String>> = contacts.values().map(|it| it.phone.clone()).collect();
    let tokens: Vec<Option<String>> = contacts.values().map(|it| it.push_token.clone()).collect();
    let languages: Vec<Option<String>> = contacts.values().map(|it| it.language.clone()).collect();
    let done = sqlx::query!(
        "-- contacts.put
        insert into contacts (customer_id, email, phone, push_token, language)
        select *
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        on conflict (customer_id) do update
        set email = excluded.email,
            phone = excluded.phone,
            push_token = excluded.push_token,
            language = excluded.language",
        &customers,
        &emails as &[Option<String>],
        &phones as &[Option<String>],
        &tokens as &[Option<String>],
        &languages as &[Option<String>]
    )
    .execute(db)
    .await?;
    wrote(&done, customers.len())
}
