//! Every SQL statement of this service: orders with their history, what waits, and the catalogue as
//! it was told.

mod deadlines;
mod history;
mod lists;
mod orders;
mod pressure;
mod products;

pub use deadlines::{
    Deadline, add as add_deadlines, due as due_deadlines, remove as remove_deadlines,
};
pub use history::{HistoryRow, append as append_history, of_order as history};
pub use lists::{Filter, ids as list_ids};
pub use orders::{Heard, Root, find, find_all, held, insert, lock, update};
pub use pressure::{payment_stalls, stock_stalls};
pub use products::{learn, products};

use sqlx::migrate::Migrator;

/// The schema of this service.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// A row that no valid state could have left.
fn invalid(what: &'static str, of: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} is not valid: {of}").into())
}
