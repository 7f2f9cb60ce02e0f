//! Accounts of customers and their ledger.

use axum::{
    extract::{Path, State},
    http::HeaderMap,
};
use chassis::{
    Code, Problem,
    body::JsonBody,
    http::{self, Params},
};
use proto::CustomerId;
use service::RequestInfo;

use super::{Answered, Site, bodies};
use crate::{
    commands::Request,
    reactions::Input,
    store,
    views::{AccountView, EntryView},
};

/// What cursors of the ledger are told apart by.
const ENTRIES: &str = "entries";

pub(super) async fn open(
    State(site): State<Site>,
    Path(customer): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Answered {
    let customer = named(&customer)?;
    let currency = body.read_optional(bodies::currency)?;
    site.change(&asked, &body, Request::OpenAccount { customer, currency }).await
}

pub(super) async fn show(
    State(site): State<Site>,
    Path(customer): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let customer = named(&customer)?;
    let mut db = site.pool.acquire().await?;
    let row =
        store::account(&mut db, &customer).await?.ok_or_else(|| unknown(customer.as_str()))?;
    Ok(http::resource(&headers, &AccountView::from(&row)))
}

pub(super) async fn deposit(
    State(site): State<Site>,
    Path(customer): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Answered {
    let customer = named(&customer)?;
    let amount = bodies::well_formed(body.read(|fields| fields.amount("amount"))?)?;
    site.change(&asked, &body, Request::Deposit { customer, amount }).await
}

pub(super) async fn hold(
    State(site): State<Site>,
    Path(customer): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Answered {
    let customer = named(&customer)?;
    let (order, amount) = body.read(|fields| {
        let order = bodies::any_order(fields);
        let amount = fields.amount("amount");
        Some((order?, amount?))
    })?;
    let amount = bodies::well_formed(amount)?;
    site.change(&asked, &body, Request::Hold { customer, order, amount }).await
}

pub(super) async fn release(
    State(site): State<Site>,
    Path(customer): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Answered {
    let customer = named(&customer)?;
    let order = body.read(bodies::any_order)?;
    site.change(&asked, &body, Request::Release { customer, order }).await
}

pub(super) async fn entries(
    State(site): State<Site>,
    Path(customer): Path<String>,
    mut params: Params,
) -> Answered {
    let customer = named(&customer)?;
    let page = params.take_page()?;
    params.finish()?;
    let after: Option<i64> = page.place(ENTRIES)?;
    let mut db = site.pool.acquire().await?;
    store::account(&mut db, &customer).await?.ok_or_else(|| unknown(customer.as_str()))?;
    // One more than asked for tells whether there is another page; the one before them, whether the
    // cursor was given: what was shown is there for good.
    let before = after.unwrap_or_default().saturating_sub(1);
    let found = store::entries(&mut db, &customer, before, page.limit + 2).await?;
    let shown = match (after, &found[..]) {
        (None, all) => all,
        (Some(after), [first, rest @ ..]) if first.seq == after => rest,
        (Some(_), _) => return Err(http::bad_cursor()),
    };
    let items = shown.iter().map(|entry| (entry.seq, EntryView::from(entry)));
    Ok(http::page(ENTRIES, page.limit, items, None))
}

impl Site {
    async fn change(&self, asked: &RequestInfo, body: &JsonBody, request: Request) -> Answered {
        let command = asked.command(Input::Request(request, None), &body.0)?;
        service::submit(&self.mailbox, command).await
    }
}

fn named(customer: &str) -> Result<CustomerId, Problem> {
    CustomerId::parse(customer).map_err(|_| unknown(customer))
}

fn unknown(customer: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no account of {customer}"))
}
