//! Accounts of customers and their ledger.

use axum::{
    extract::{Path, State},
    http::HeaderMap,
};
use chassis::{
    Caller, Problem,
    http::{self, HttpResult, NoParams, Params},
};
use proto::CustomerId;
use service_kit::{AmountRequest, CommandRequest};

use super::{AppState, bodies};
use crate::{
    input::Request,
    store,
    views::{AccountView, EntryView},
};

/// What the cursors of a ledger are marked with, so that no other list takes them.
const ENTRIES: &str = "entries";

pub(super) async fn open_account(
    State(app): State<AppState>,
    Path(customer): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let customer = changeable(&customer, asked.caller())?;
    let currency = asked.read_optional(bodies::currency)?;
    app.submit(&asked, Request::OpenAccount { customer, currency }).await
}

pub(super) async fn get_account(
    State(app): State<AppState>,
    _: NoParams,
    Path(customer): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let customer = visible(&customer, &caller)?;
    let mut db = app.pool.acquire().await?;
    let row = store::accounts::find(&mut db, &customer)
        .await?
        .ok_or_else(|| unknown(customer.as_str()))?;
    Ok(http::resource(&headers, &AccountView::from(&row)))
}

pub(super) async fn deposit_money(
    State(app): State<AppState>,
    Path(customer): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let customer = changeable(&customer, asked.caller())?;
    let amount = asked.read(|fields| AmountRequest::read(fields, "amount"))?;
    app.submit(&asked, Request::Deposit { customer, amount }).await
}

pub(super) async fn hold_money(
    State(app): State<AppState>,
    Path(customer): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let customer = changeable(&customer, asked.caller())?;
    let (order, amount) = asked.read(bodies::hold)?;
    // An order that nobody knows yet may be the caller's; one that is known to be another's is not
    // there.
    if let Some(owner) = asked.caller().acts_for()
        && let Some(root) = app.root(order).await?
        && root.payment.due.is_none_or(|due| due.customer.as_str() != owner)
    {
        return Err(Problem::not_found(format!("there is no order {order}")));
    }
    app.submit(&asked, Request::Hold { customer, order, amount }).await
}

pub(super) async fn release_money(
    State(app): State<AppState>,
    Path(customer): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let customer = changeable(&customer, asked.caller())?;
    let order = asked.read(bodies::any_order)?;
    app.submit(&asked, Request::Release { customer, order }).await
}

pub(super) async fn list_entries(
    State(app): State<AppState>,
    Path(customer): Path<String>,
    caller: Caller,
    params: Params,
) -> HttpResult {
    let customer = visible(&customer, &caller)?;
    let (limit, after) = params.into_page::<i64>(ENTRIES)?;
    let mut db = app.pool.acquire().await?;
    store::accounts::find(&mut db, &customer).await?.ok_or_else(|| unknown(customer.as_str()))?;
    // Two entries more than are shown: the last tells whether there is another page, and the first
    // whether the cursor was given by this service, since a shown entry never disappears.
    let before = after.unwrap_or_default().saturating_sub(1);
    let found = store::ledger_entries::page(&mut db, &customer, before, limit + 2).await?;
    let shown = match (after, &found[..]) {
        (None, all) => all,
        (Some(after), [first, rest @ ..]) if first.seq == after => rest,
        (Some(_), _) => return Err(http::bad_cursor()),
    };
    let items = shown.iter().map(|entry| (entry.seq, EntryView::from(entry)));
    Ok(http::page(ENTRIES, limit, items, None))
}

/// The customer whose account the caller may see; somebody else's is not there.
fn visible(customer: &str, caller: &Caller) -> Result<CustomerId, Problem> {
    let id = parse_customer(customer)?;
    if caller.may_see(&id) { Ok(id) } else { Err(unknown(customer)) }
}

/// The customer whose account the caller may use.
fn changeable(customer: &str, caller: &Caller) -> Result<CustomerId, Problem> {
    let id = parse_customer(customer)?;
    if caller.may_act_for(&id) { Ok(id) } else { Err(unknown(customer)) }
}

fn parse_customer(customer: &str) -> Result<CustomerId, Problem> {
    CustomerId::parse(customer).map_err(|_| unknown(customer))
}

fn unknown(customer: &str) -> Problem {
    Problem::not_found(format!("there is no account of {customer}"))
}
