//! `shop audit`: checks every invariant, over all databases and topics.
//!
//! Promises about one database are checked in one snapshot of it. Promises about two or more are
//! checked for each order, once nothing about the order is under way; an order that looks wrong is
//! read again, and reported only if it stays so. An order that has been under way for too long is
//! wrong, too.

mod catalogue;
mod check;
mod content;
mod envelope;
mod facts;
mod fold;
mod history;
mod inbox;
mod interventions;
mod judge;
mod messages;
mod promise;
mod read;
mod said;
mod store;
mod tag;
mod topics;
pub mod watch;
mod whole;

use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash},
    process::ExitCode,
    time::Duration,
};

use chassis::config::duration;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::check::{AuditReport, Check, Promise};
use self::{
    check::{Checks, UnderWay},
    facts::{Facts, Orders, TOPICS},
    judge::{Findings, PER_ORDER, Verdict, View},
    topics::Topic,
};
use crate::{
    Home,
    terminal::{self, Paint},
};

/// The arguments of `shop audit`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Print the result as JSON.
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Audit again and again, every so often, and show the findings as metrics.
    #[arg(long, value_name = "EVERY", value_parser = duration, num_args = 0..=1,
        default_missing_value = "1m")]
    pub watch: Option<Duration>,
    /// The port of these metrics [default: base port + 1070].
    #[arg(long, requires = "watch")]
    pub port: Option<u16>,
}

/// How often what looks wrong is read again, and how long after. Services commit their offsets five
/// times a second.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(700);

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    if let Some(every) = args.watch {
        let port = args.port.unwrap_or(home.stack()?.ports()?.audit());
        watch::watch(home, every, port).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = audit(home).await?;
    terminal::renew("");
    if args.json {
        terminal::say(serde_json::to_string(&report)?);
    } else {
        report.lines(Paint::of_stdout()).iter().for_each(terminal::say);
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Audits the stack that runs in a home.
pub async fn audit(home: &Home) -> anyhow::Result<AuditReport> {
    audit_with(home, LOOKS).await
}

/// Audits the stack; an order that looks wrong is read again `looks` times. Where nothing moves, 0
/// will do.
pub async fn audit_with(home: &Home, looks: u32) -> anyhow::Result<AuditReport> {
    let stack = home.stack()?;
    let kafka = stack.kafka();
    let opened = TOPICS.iter().enumerate().map(|(at, name)| Topic::open(&kafka, at, name));
    let mut topics = opened.collect::<anyhow::Result<Vec<_>>>()?;
    let (mut checks, mut orders) = (Checks::default(), Orders::default());

    let consumed = topics::consumed(&kafka, &topics)?;
    let mut view = View { consumed, now: now(), ..View::default() };
    read::everything((home, &stack), &mut topics, &mut orders, &mut view, &mut checks).await?;
    let mut looked = OrderFindings::of(orders.iter(), &view);
    for _ in 0..looks {
        if looked.wrong.is_empty() {
            break;
        }
        terminal::renew(format_args!("reading {} orders again", looked.wrong.len()));
        tokio::time::sleep(PAUSE).await;
        view.consumed = topics::consumed(&kafka, &topics)?;
        view.now = now();
        let which: Vec<Uuid> = looked.wrong.iter().map(|(id, _)| Uuid::from_u128(*id)).collect();
        read::again(&stack, &mut topics, &mut orders, &mut view, &which).await?;
        let read = which.iter().map(Uuid::as_u128).filter_map(|id| Some((id, orders.get(id)?)));
        let once_more = OrderFindings::of(read, &view);
        looked.add_under_way(once_more.under_way);
        looked.wrong = once_more.wrong;
    }
    Ok(looked.report(checks, orders.len(), view.interventions.discards))
}

/// The present time in seconds since 1970.
fn now() -> u32 {
    seconds(chassis::clock::now())
}

/// An instant in seconds since 1970.
fn seconds(at: OffsetDateTime) -> u32 {
    u32::try_from(at.unix_timestamp()).unwrap_or_default()
}

/// Any value as a number.
fn hash(value: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(value)
}

/// The time in a UUIDv7, in seconds since 1970.
fn birth(id: u128) -> u32 {
    u32::try_from((id >> 80) / 1_000).unwrap_or(u32::MAX)
}

/// What was found about all orders: those under way, and those that are wrong.
struct OrderFindings {
    under_way: UnderWay,
    wrong: Vec<(u128, Findings)>,
}

impl OrderFindings {
    fn of<'a>(orders: impl Iterator<Item = (u128, &'a Facts)>, view: &View) -> Self {
        let mut looked = Self { under_way: UnderWay::default(), wrong: Vec::new() };
        for (order, facts) in orders {
            match judge::judge(order, facts, view) {
                Verdict::UnderWay { since } => {
                    let oldest_seconds = view.now.saturating_sub(since).into();
                    looked.add_under_way(UnderWay { orders: 1, oldest_seconds });
                }
                Verdict::Settled(broken) if broken.is_empty() => {}
                Verdict::Settled(broken) => looked.wrong.push((order, broken)),
            }
        }
        looked
    }

    fn add_under_way(&mut self, more: UnderWay) {
        self.under_way.orders += more.orders;
        self.under_way.oldest_seconds = self.under_way.oldest_seconds.max(more.oldest_seconds);
    }

    fn report(self, mut checks: Checks, orders: usize, discarded: u64) -> AuditReport {
        let all = u64::try_from(orders).unwrap_or(u64::MAX);
        for promise in PER_ORDER {
            checks.looked(promise, all.saturating_sub(self.under_way.orders));
        }
        for (order, broken) in self.wrong {
            for (promise, what) in broken {
                checks.broken(promise, || format!("{}: {what}", Uuid::from_u128(order)));
            }
        }
        checks.report(self.under_way, discarded)
    }
}
