//! `shop demo`: places one order of each kind and shows its events as they happen.

mod tour;

use std::{process::ExitCode, time::Duration};

use proto::topic;
use tokio::signal::unix::{SignalKind, signal};

use self::tour::Tour;
use crate::{
    Backend, Home, Stack,
    api::Api,
    audit, down, follow, load,
    processes::{JAEGER, PROMETHEUS},
    seed,
    terminal::{self, Paint},
    token, up,
};

/// What the background load is made of, and how long one run of it lasts.
const MIX: &str = "happy=80,declined=5,out_of_stock=4,cancelled=4,amended=4,refunded=1,shipped=2";
const BUSY_FOR: Duration = Duration::from_hours(1);
const AUDIT_EVERY: Duration = Duration::from_mins(1);

/// The arguments of `shop demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The gateway's port; the others are counted from it [default: as before, or 8000].
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
    /// What the stack runs on [default: as before, or kafka where Java is, else embedded].
    #[arg(long, value_enum, env = "SHOP_BACKEND")]
    pub backend: Option<Backend>,
    /// End after the tour.
    #[arg(long)]
    pub once: bool,
}

/// Runs the command: starts a stack if none runs yet, then the tour and the audit. A stack that was
/// started for the demo runs until Ctrl-C, which stops it.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let was_there = home.stack().is_ok();
    let (backend, base_port) = (args.backend, args.base_port);
    let up = up::Args { detach: true, backend, base_port, ephemeral: false };
    if up::run(up, home).await? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let shown = tokio::select! {
        shown = show(&args, was_there, home) => shown,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        _ = terminated.recv() => Ok(ExitCode::SUCCESS),
    };
    if !was_there {
        down::run(down::Args { fresh: false }, home).await?;
    }
    shown
}

async fn show(args: &Args, was_there: bool, home: &Home) -> anyhow::Result<ExitCode> {
    let stack = home.stack()?;
    let paint = Paint::of_stdout();
    terminal::say(paint.bold("\nfilling the shop"));
    seed::run(seed::Args { products: 50, customers: 100, stock: 1_000_000 }, home).await?;
    let topics = [topic::ORDERS, topic::PAYMENTS, topic::STOCK, topic::NOTIFICATIONS];
    let events = follow::live(&stack.kafka(), &topics)?;
    let messages = format!("http://127.0.0.1:{}", stack.ports()?.messages());
    Tour::new(Api::of(home)?, Api::at(&messages)?, events, paint).all().await?;

    terminal::say(paint.bold("\nshop audit"));
    let audited = audit::run(audit::Args::default(), home).await?;
    if args.once {
        return Ok(audited);
    }
    say_where(&stack, home, paint)?;
    if was_there {
        terminal::say("\nThe shop ran before and goes on; `down` ends it.");
        return Ok(audited);
    }
    terminal::say("\nThe shop goes on, with two orders a second. Ctrl-C ends it.");
    let port = stack.ports()?.audit();
    tokio::select! {
        ended = keep_busy(home) => ended,
        ended = audit::watch::watch(home, AUDIT_EVERY, port) => ended,
    }?;
    Ok(audited)
}

/// Places orders of every kind, slowly, so that no page is empty.
async fn keep_busy(home: &Home) -> anyhow::Result<()> {
    loop {
        let mix = MIX.parse().map_err(anyhow::Error::msg)?;
        let args =
            load::Args { rate: Some(2), duration: Some(BUSY_FOR), mix, ..load::Args::default() };
        load::load(args, home).await?;
    }
}

/// Says which addresses to open and which commands to type now.
fn say_where(stack: &Stack, home: &Home, paint: Paint) -> anyhow::Result<()> {
    let gateway = stack.gateway();
    terminal::say(paint.bold("\nopen"));
    terminal::say(format_args!("  {gateway}/console#token={}", token::of_console(home)?));
    terminal::say(
        "    the console: orders, live; what is stuck; the pipeline. The link is good for an hour",
    );
    terminal::say(format_args!("  {gateway}/docs         the API, to be tried"));
    terminal::say(format_args!("  {gateway}/health       how it is"));
    for name in [PROMETHEUS, JAEGER].into_iter().filter(|name| stack.process(name).is_some()) {
        terminal::say(format_args!("  {}    {name}", stack.service(name)?));
    }
    let messages = stack.ports()?.messages();
    terminal::say(format_args!("  http://127.0.0.1:{messages}/messages  mail, SMS and push"));
    let metrics = stack.private("order-svc")?;
    terminal::say(format_args!("  {metrics}/metrics      figures, as every process shows them"));
    terminal::say(format_args!("  {}        Kafka", stack.kafka()));
    terminal::say(paint.bold("\ntype"));
    let program = std::env::args().next().unwrap_or_else(|| "shop".to_owned());
    let shop = format!("{program} --home {}", home.path().display());
    terminal::say(format_args!("  {shop} order ID    one order's whole story"));
    terminal::say(format_args!("  {shop} tail        every event as it happens"));
    terminal::say(format_args!("  {shop} load --rate 200 --duration 10s"));
    terminal::say(format_args!(
        "  {shop} status      what runs; its logs are in {}/log",
        home.path().display()
    ));
    Ok(())
}
