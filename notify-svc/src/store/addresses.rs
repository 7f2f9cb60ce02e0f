//! Every address that a customer has ever had: what staff sent to one has to be found when the
//! customer is erased, whatever the contact says by then. The erasure takes these rows with it.

use std::collections::BTreeMap;

use proto::CustomerId;
use sqlx::PgConnection;

use crate::domain::Contact;

/// Notes the addresses of contacts, in the order of the key. Their contacts' rows are locked.
pub async fn note(
    db: &mut PgConnection,
    contacts: &BTreeMap<CustomerId, Contact>,
) -> sqlx::Result<()> {
    let (mut customers, mut addresses) = (Vec::new(), Vec::new());
    for (customer, contact) in contacts {
        let mut of = contact.addresses();
        of.sort_unstable();
        customers.extend(of.iter().map(|_| customer.to_string()));
        addresses.extend(of.into_iter().map(ToOwned::to_owned));
    }
    if addresses.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "-- addresses.note
        insert into addresses (customer_id, address)
        select *
        from unnest($1::text[], $2::text[])
        on conflict do nothing",
        &customers,
        &addresses
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The addresses that a customer has or had.
pub async fn of(db: &mut PgConnection, customer: &CustomerId) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "-- addresses.of
        select address
        from addresses
        where customer_id = $1
        order by address",
        customer.as_str()
    )
    .fetch_all(db)
    .await
}
