//! What notify-svc's tables say.

use sqlx::PgConnection;

use super::{Each, Which};
use crate::audit::check::Counted;
use crate::audit::facts::Orders;

pub(in crate::audit) async fn notices(
    _db: &mut PgConnection,
    _which: Which<'_>,
    _orders: &mut Orders,
    _each: &mut Each<'_>,
) -> anyhow::Result<()> {
    Ok(())
}

pub(in crate::audit) async fn deliveries(_db: &mut PgConnection) -> sqlx::Result<Counted> {
    Ok(Counted::default())
}
