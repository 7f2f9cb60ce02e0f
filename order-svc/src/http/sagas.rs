//! Sagas: how far orders have come, and which of them are stuck.

use axum::{
    extract::{Path, State},
    http::HeaderMap,
};
use chassis::{
    Caller,
    http::{self, HttpResult, NoParams, PageBody, Params, write_cursor},
};
use proto::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AppState, parse_order};
use crate::{
    domain::{Saga, SagaStatus},
    refusals::no_order,
    store,
    views::SagaView,
    world::Root,
};

/// How many orders one page looks through at most.
const WINDOW: i64 = 2_000;

/// Which sagas a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SagaFilter {
    All,
    /// Late, to be settled by staff, or with a parked key.
    Stuck,
    With(SagaStatus),
}

/// What a list may be asked for: the word `stuck`, or a status.
pub(super) struct SagaState;

chassis::inline_schema! { SagaState => {"type": "string", "enum": filter_words()} }

fn filter_words() -> Vec<&'static str> {
    ["stuck"].into_iter().chain(SagaStatus::ALL.map(SagaStatus::as_str)).collect()
}

pub(super) async fn get_saga(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let id = parse_order(&id)?;
    let mut db = app.pool.acquire().await?;
    let stored = store::orders::find(&mut db, id, caller.sees()).await?;
    let stored = stored.ok_or_else(|| no_order(id))?;
    let is_parked = !store::parked(&mut db, std::slice::from_ref(&stored)).await?.is_empty();
    let view = SagaView::new(&stored, is_parked, chassis::clock::now());
    Ok(http::resource(&headers, &view))
}

pub(super) async fn list_sagas(State(app): State<AppState>, mut params: Params) -> HttpResult {
    let shown = params.take_parsed("state", |word| match SagaStatus::parse(word) {
        Some(status) => Ok(SagaFilter::With(status)),
        None if word == "stuck" => Ok(SagaFilter::Stuck),
        None => Err("has to be stuck, started, completed, failed, compensating or compensated"),
    })?;
    let shown = shown.unwrap_or(SagaFilter::All);
    let kind = shown.cursors();
    let (limit, from) = params.into_page::<OrderId>(kind)?;
    let mut db = app.pool.acquire().await?;
    let ids = shown.ids(&mut db, from).await?;
    let rest = ids.last().filter(|_| i64::try_from(ids.len()).is_ok_and(|found| found >= WINDOW));
    let rest = rest.copied().map(OrderId::new);
    let (mut body, mut last, now) = (PageBody::new(limit), from, chassis::clock::now());
    for piece in ids.chunks(store::orders::READ_AT_ONCE) {
        let mut roots = store::orders::find_all(&mut db, piece, None).await?;
        if !shown.is_newest_first() {
            roots.reverse();
        }
        let parked = store::parked(&mut db, &roots).await?;
        for root in &roots {
            let is_parked = parked.contains(&root.order.id);
            if shown.has(root, is_parked, now) && !body.push(&SagaView::new(root, is_parked, now)) {
                return Ok(body.finish(last.map(|last| write_cursor(kind, &last)).as_deref()));
            }
            last = Some(root.order.id);
        }
    }
    Ok(body.finish(rest.map(|rest| write_cursor(kind, &rest)).as_deref()))
}

impl SagaFilter {
    /// What the cursors of the list are marked with, so that no other list takes them.
    fn cursors(self) -> &'static str {
        match self {
            Self::All => "sagas",
            Self::Stuck => "sagas-stuck",
            Self::With(SagaStatus::Started) => "sagas-started",
            Self::With(SagaStatus::Completed) => "sagas-completed",
            Self::With(SagaStatus::Failed) => "sagas-failed",
            Self::With(SagaStatus::Compensating) => "sagas-compensating",
            Self::With(SagaStatus::Compensated) => "sagas-compensated",
        }
    }

    /// Of what is not finished, the oldest needs a look first.
    fn is_newest_first(self) -> bool {
        match self {
            Self::Stuck | Self::With(SagaStatus::Started | SagaStatus::Compensating) => false,
            Self::All
            | Self::With(SagaStatus::Completed | SagaStatus::Failed | SagaStatus::Compensated) => {
                true
            }
        }
    }

    /// The orders that may have the state, after `from`.
    async fn ids(self, db: &mut PgConnection, from: Option<OrderId>) -> sqlx::Result<Vec<Uuid>> {
        if self.is_newest_first() {
            let before = from.map_or(Uuid::max(), OrderId::uuid);
            return store::lists::before(db, before, WINDOW).await;
        }
        let after = from.map_or(Uuid::nil(), OrderId::uuid);
        let mut ids = store::unfinished_orders::after(db, after, WINDOW).await?;
        if self == Self::Stuck {
            let keys =
                mailbox::parked_after(db, &store::TOPICS_BY_ORDER, &after.to_string(), WINDOW)
                    .await?;
            ids.extend(keys.iter().filter_map(|key| OrderId::parse(key).ok()).map(OrderId::uuid));
            ids.sort_unstable();
            ids.dedup();
            ids.truncate(usize::try_from(WINDOW).unwrap_or(usize::MAX));
        }
        Ok(ids)
    }

    fn has(self, root: &Root, is_parked: bool, now: time::OffsetDateTime) -> bool {
        let saga = Saga::of(&root.order);
        match self {
            Self::All => true,
            Self::Stuck => is_parked || saga.is_stuck(&root.order, now),
            Self::With(status) => saga.status == status,
        }
    }
}
