//! `shop audit`: checks every invariant, over all databases and topics.
//!
//! What can be said of one database is said in one snapshot of it. What takes two or more is said
//! of each order, once nothing about it is under way; an order that looks wrong is read again, and
//! called so only if it stays so.

mod check;
mod facts;
mod judge;
mod read;
mod said;
mod store;
mod topics;

use std::process::ExitCode;
use std::time::Duration;

use uuid::Uuid;

use self::check::Checks;
pub use self::check::{Check, Promise, Report};
use self::facts::{Orders, TOPICS};
use self::judge::{Consumed, Judged, PER_ORDER};
use self::topics::Topic;
use crate::terminal::{self, Paint};
use crate::{Home, Stack};

/// What `shop audit` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How often an order that looks wrong is read again, and how long after. Offsets are committed
/// five times a second.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(700);

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let report = audit(&home.stack()?).await?;
    terminal::renew("");
    if args.json {
        terminal::say(serde_json::to_string(&report)?);
    } else {
        for line in report.lines(Paint::of_stdout()) {
            terminal::say(line);
        }
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Audits a stack.
pub async fn audit(stack: &Stack) -> anyhow::Result<Report> {
    let kafka = stack.kafka();
    let opened = TOPICS.iter().map(|name| Topic::open(&kafka, name));
    let mut topics = opened.collect::<anyhow::Result<Vec<_>>>()?;
    let (mut checks, mut orders) = (Checks::default(), Orders::default());

    let mut consumed = topics::consumed(&kafka, &topics)?;
    read::everything(stack, &mut topics, &mut orders, &mut checks).await?;
    let mut looked = Looked::at(&orders, &consumed, orders.ids());
    for _ in 0..LOOKS {
        if looked.wrong.is_empty() {
            break;
        }
        terminal::renew(format_args!("reading {} orders again", looked.wrong.len()));
        tokio::time::sleep(PAUSE).await;
        consumed = topics::consumed(&kafka, &topics)?;
        let which: Vec<Uuid> = looked.wrong.iter().map(|(id, _)| Uuid::from_u128(*id)).collect();
        read::again(stack, &mut topics, &mut orders, &which).await?;
        let once_more = Looked::at(&orders, &consumed, which.iter().map(Uuid::as_u128));
        looked.under_way += once_more.under_way;
        looked.wrong = once_more.wrong;
    }
    Ok(looked.report(checks, orders.len()))
}

/// What was found in orders.
struct Looked {
    under_way: u64,
    wrong: Vec<(u128, Vec<(Promise, String)>)>,
}

impl Looked {
    fn at(orders: &Orders, consumed: &Consumed, which: impl Iterator<Item = u128>) -> Self {
        let mut looked = Self { under_way: 0, wrong: Vec::new() };
        for (order, facts) in which.filter_map(|order| Some((order, orders.get(order)?))) {
            match judge::judge(facts, consumed) {
                Judged::UnderWay => looked.under_way += 1,
                Judged::Settled(broken) if broken.is_empty() => {}
                Judged::Settled(broken) => looked.wrong.push((order, broken)),
            }
        }
        looked
    }

    fn report(self, mut checks: Checks, orders: usize) -> Report {
        let all = u64::try_from(orders).unwrap_or(u64::MAX);
        for promise in PER_ORDER {
            checks.looked(promise, all.saturating_sub(self.under_way));
        }
        for (order, broken) in self.wrong {
            for (promise, what) in broken {
                checks.broken(promise, || format!("{}: {what}", Uuid::from_u128(order)));
            }
        }
        checks.report(self.under_way)
    }
}
