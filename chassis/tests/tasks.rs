//! The first task to end ends all, and stopping has an order and a deadline.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::anyhow;
use chassis::Tasks;
use tokio::sync::oneshot;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_early_end_ends_all_and_is_a_failure() {
    let mut tasks = Tasks::new(LONG);
    tasks.spawn("poll", async |_| Ok(()));
    tasks.spawn("http", async |stop| {
        stop.cancelled().await;
        Ok(())
    });

    let error = tasks.wait().await.unwrap_err();

    assert_eq!(error.to_string(), "poll ended early");
}

#[tokio::test]
async fn a_failure_and_a_panic_end_all() {
    let mut failing = Tasks::new(LONG);
    failing.spawn_last("batch", async |_| Err(anyhow!("no route")));
    let mut panicking = Tasks::new(LONG);
    panicking.spawn("sweep", async |_| panic!("a bug"));

    assert_eq!(format!("{:#}", failing.wait().await.unwrap_err()), "batch failed: no route");
    let error = format!("{:#}", panicking.wait().await.unwrap_err());
    assert!(error.starts_with("sweep failed: panicked"), "{error}");
}

#[tokio::test]
async fn stopping_has_an_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let seen = Arc::clone(&seen);
        move || seen.lock().unwrap().push(what)
    };
    let mut tasks = Tasks::new(LONG);
    let (intake, batch, work) = (note("http"), note("batch"), note("work"));
    tasks.spawn_last("batch", async move |stop| {
        stop.cancelled().await;
        batch();
        Ok(())
    });
    tasks.spawn("http", async move |stop| {
        stop.cancelled().await;
        intake();
        Ok(())
    });
    let (release, released) = oneshot::channel::<()>();
    let detached = tasks.detached();
    let abandoned = detached.run(async move {
        released.await.unwrap();
        work();
    });
    // The client goes away, and the work that its handler started goes on.
    tokio::time::timeout(Duration::ZERO, abandoned).await.unwrap_err();

    let stop = tasks.stop_token();
    stop.cancel();
    let stopped = tokio_util::task::TaskTracker::new().spawn(tasks.wait());
    release.send(()).unwrap();

    stopped.await.unwrap().unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.last(), Some(&"batch"));
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn what_does_not_stop_in_time_is_aborted_by_name() {
    let mut tasks = Tasks::new(Duration::from_millis(20));
    tasks.spawn("stubborn", async |_| std::future::pending().await);
    tasks.stop_token().cancel();

    let error = tasks.wait().await.unwrap_err().to_string();

    assert!(error.contains("stubborn"), "{error}");
}

#[tokio::test]
async fn a_panic_in_detached_work_is_an_answer() {
    let tasks = Tasks::new(LONG);

    let problem =
        tasks.detached().run(async { panic!("a bug") }).await.map(|(): ()| ()).unwrap_err();

    assert_eq!(problem.status(), 500);
}
