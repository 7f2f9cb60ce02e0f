//! `shop up`, `down` and `status`: everything comes up, comes back, and goes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use backends::testing::eventually;
use shop::{processes::OURS, testing::TestStack};
use sqlx::Connection as _;

/// A folder with `shop` and a stand-in for each of the shop's processes.
struct Programs {
    folder: PathBuf,
}

impl Programs {
    fn new() -> Self {
        let word = backends::machine::random_word();
        let folder = std::env::temp_dir().join(format!("shop-programs-{word}"));
        std::fs::create_dir(&folder).unwrap();
        let place = |program: &str, name: &str| {
            let to = folder.join(name);
            if std::fs::hard_link(program, &to).is_err() {
                std::fs::copy(program, &to).unwrap();
            }
        };
        place(env!("CARGO_BIN_EXE_shop"), "shop");
        for name in OURS {
            place(env!("CARGO_BIN_EXE_stub-svc"), name);
        }
        Self { folder }
    }

    /// A command of `shop`, for processes of this machine, wherever other tests run.
    fn command(&self, home: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join("shop"));
        command.arg("--home").arg(home).args(words);
        command.env("SHOP_KAFKA__HEAP", "256m").env_remove("SHOP_BACKEND");
        command
    }

    fn shop(&self, home: &Path, words: &[&str]) -> Output {
        self.command(home, words).output().unwrap()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// A base port for one test: a stack's ports reach a thousand beyond its base, and test processes
/// differ in theirs.
fn base(test: u16) -> u16 {
    11_000 + 2_000 * test + u16::try_from(std::process::id() % 900).unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn status(programs: &Programs, home: &Path) -> serde_json::Value {
    serde_json::from_slice(&programs.shop(home, &["status", "--json"]).stdout).unwrap()
}

/// Processes that name this folder in their command line or work in it.
fn left_in(folder: &Path) -> Vec<String> {
    let line = |pid: &Path| std::fs::read_to_string(pid.join("cmdline")).unwrap_or_default();
    let works_in = |pid: &Path| std::fs::read_link(pid.join("cwd")).unwrap_or_default();
    let name = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|pid| line(pid).contains(name) || works_in(pid).starts_with(folder))
        .map(|pid| line(&pid))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_comes_back_and_nothing_is_left_behind() {
    let programs = Programs::new();
    let settings = [
        ("SHOP_KAFKA__HEAP", "256m"),
        ("SHOP_PAYMENT_DEADLINE", "9s"),
        ("SHOP_ORDER_SVC__PAYMENT_DEADLINE", "2s"),
    ];
    let stack = TestStack::start_processes(&programs.folder, &settings).await.unwrap();
    let home = stack.home().clone();

    let log = |name: &str| std::fs::read_to_string(home.log(name)).unwrap();
    assert!(log("order-svc").contains("SHOP_PAYMENT_DEADLINE=2s\n"));
    assert!(log("payment-svc").contains("SHOP_PAYMENT_DEADLINE=9s\n"));
    assert!(!log("payment-svc").contains("__"));
    assert!(log("order-svc").contains("@127.0.0.1:"));

    for name in ["order-svc", "postgres", "kafka"] {
        let before = stack.kill9(name).unwrap();
        stack.back(name, before, Duration::from_secs(40)).await.unwrap();
    }
    let status = status(&programs, home.path());
    let processes = status["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 10);
    assert!(processes.iter().all(|process| process["healthy"] == true), "{status:#}");
    let restarted: u64 =
        processes.iter().map(|process| process["restarts"].as_u64().unwrap()).sum();
    assert!(restarted >= 3);

    stack.stop().await.unwrap();
    assert_eq!(left_in(home.path()), Vec::<String>::new());
}

#[test]
fn a_detached_stack_is_found_again_and_keeps_its_data() {
    let programs = Programs::new();
    let home = programs.folder.join(r#"дом "ö", a\b#c=d:e%20f"#);
    let base = base(3);
    let up = ["up", "--detach", "--base-port", &base.to_string()];

    let first = programs.shop(&home, &up);
    assert!(first.status.success(), "{}", said(&first));
    assert!(said(&first).contains(&format!("http://127.0.0.1:{base}")), "{}", said(&first));
    let start = Instant::now();
    let again = programs.shop(&home, &["up", "--detach"]);
    assert!(again.status.success(), "{}", said(&again));
    assert!(start.elapsed() < Duration::from_secs(3), "a stack that is up is left as it is");
    let data = PathBuf::from(status(&programs, &home)["data"].as_str().unwrap());

    let down = programs.shop(&home, &["down"]);
    assert!(down.status.success(), "{}", said(&down));
    assert_eq!(left_in(&home), Vec::<String>::new());
    assert!(data.join("PG_VERSION").exists());
    let status = programs.shop(&home, &["status"]);
    assert!(!status.status.success() && said(&status).contains("shop up"), "{}", said(&status));

    let third = programs.shop(&home, &["up", "--detach"]);
    assert!(third.status.success(), "{}", said(&third));
    assert!(programs.shop(&home, &["down", "--fresh"]).status.success());
    assert!(!data.exists());
}

/// Java is hidden by a PATH that has only what a stack cannot do without.
#[test]
fn without_java_a_broker_in_memory_stands_in_and_says_that_it_forgets() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let path = programs.folder.join("path");
    std::fs::create_dir(&path).unwrap();
    for name in ["sh", "seq", "sleep", "rm"] {
        let program = backends::machine::program(name).unwrap();
        std::os::unix::fs::symlink(program, path.join(name)).unwrap();
    }
    let shop = |words: &[&str]| {
        let mut command = programs.command(&home, words);
        command.env("PATH", &path).env_remove("JAVA_HOME").output().unwrap()
    };

    let up = shop(&["up", "--detach", "--base-port", &base(7).to_string()]);

    assert!(up.status.success() && said(&up).contains("forgets everything"), "{}", said(&up));
    let status = status(&programs, &home);
    assert_eq!(status["backend"], "embedded");
    let processes = status["processes"].as_array().unwrap();
    let kafka = processes.iter().find(|process| process["name"] == "kafka").unwrap();
    assert_eq!(kafka["healthy"], true, "{status:#}");
    let other = shop(&["up", "--detach", "--backend", "kafka"]);
    assert!(!other.status.success() && said(&other).contains("(embedded)"), "{}", said(&other));
    assert!(shop(&["down"]).status.success());
    assert_eq!(left_in(&home), Vec::<String>::new());
}

#[tokio::test]
async fn ctrl_c_while_it_starts_takes_down_what_has_started() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let base = base(0);
    let mut up = programs.command(&home, &["up", "--detach", "--base-port", &base.to_string()]);
    up.stdout(Stdio::piped()).stderr(Stdio::piped());

    let starting = up.spawn().unwrap();
    eventually("a stack on its way up", Duration::from_secs(10), async || {
        let last = shop::Home::at(&home).map_err(|error| error.to_string())?.last();
        last.ok().flatten().map(drop).ok_or_else(|| "none yet".to_owned())
    })
    .await;
    backends::server::send(starting.id(), rustix::process::Signal::INT);
    let ended = starting.wait_with_output().unwrap();

    assert!(!ended.status.success(), "{}", said(&ended));
    assert!(!said(&ended).contains("panicked"), "{}", said(&ended));
    assert_eq!(left_in(&home), Vec::<String>::new());
    assert!(programs.shop(&home, &["down", "--fresh"]).status.success());
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_processes_along() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let base = base(2);
    let up = programs.shop(&home, &["up", "--detach", "--base-port", &base.to_string()]);
    assert!(up.status.success(), "{}", said(&up));

    let supervisor = shop::Home::at(&home).unwrap().stack().unwrap().supervisor;
    backends::server::send(supervisor, rustix::process::Signal::KILL);

    let again = programs.shop(&home, &["up", "--detach"]);
    assert!(again.status.success(), "{}", said(&again));
    let supervisor = shop::Home::at(&home).unwrap().stack().unwrap().supervisor;
    backends::server::send(supervisor, rustix::process::Signal::KILL);
    eventually("everything has ended", Duration::from_secs(10), async || {
        let left = left_in(&home);
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    })
    .await;
    assert!(programs.shop(&home, &["down", "--fresh"]).status.success());
}

/// A session of PostgreSQL whose process is stopped (SIGSTOP): it ends neither by itself nor when
/// asked.
async fn stopped_backend(home: &Path) -> (sqlx::PgConnection, u32) {
    let stack = shop::Home::at(home).unwrap().stack().unwrap();
    let url = stack.database_as_superuser("postgres");
    let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut session).await.unwrap();
    let pid = u32::try_from(pid).unwrap();
    backends::server::send(pid, rustix::process::Signal::STOP);
    (session, pid)
}

#[tokio::test]
async fn down_ends_what_somebody_has_stopped() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let up = ["up", "--detach", "--base-port", &base(4).to_string()];
    assert!(programs.shop(&home, &up).status.success());
    let (_session, _) = stopped_backend(&home).await;
    let stack = shop::Home::at(&home).unwrap().stack().unwrap();
    let kafka = stack.process("kafka").unwrap().pid.unwrap();
    backends::server::send(kafka, rustix::process::Signal::STOP);
    backends::server::send(stack.supervisor, rustix::process::Signal::STOP);

    let began = Instant::now();
    let down = programs.shop(&home, &["down"]);
    let took = began.elapsed();

    assert!(down.status.success(), "{}", said(&down));
    assert!(took < Duration::from_secs(45), "{took:?}");
    assert!(said(&down).contains("nothing is left running"), "{}", said(&down));
    assert_eq!(left_in(&home), Vec::<String>::new());
    let again = programs.shop(&home, &up);
    assert!(again.status.success(), "{}", said(&again));
    assert!(programs.shop(&home, &["down", "--fresh"]).status.success());
}

#[tokio::test]
async fn what_a_killed_supervisor_left_is_named_and_ended() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let up = ["up", "--detach", "--base-port", &base(5).to_string()];
    let kill = rustix::process::Signal::KILL;
    let stack = || shop::Home::at(&home).unwrap().stack().unwrap();
    let gone = async |pid: u32| {
        eventually("the supervisor is gone", Duration::from_secs(10), async || {
            let is_there = std::fs::read(format!("/proc/{pid}/cmdline"));
            if is_there.is_ok_and(|line| !line.is_empty()) { Err("it runs") } else { Ok(()) }
        })
        .await;
    };

    assert!(programs.shop(&home, &up).status.success());
    let (session, backend) = stopped_backend(&home).await;
    let supervisor = stack().supervisor;
    backends::server::send(supervisor, kill);
    gone(supervisor).await;
    let again = programs.shop(&home, &up);
    assert!(again.status.success(), "{}", said(&again));
    assert!(said(&again).contains(&format!("(pid {backend}")), "{}", said(&again));
    drop(session);

    let (_session, backend) = stopped_backend(&home).await;
    let supervisor = stack().supervisor;
    backends::server::send(supervisor, kill);
    gone(supervisor).await;
    let down = programs.shop(&home, &["down"]);
    assert!(down.status.success(), "{}", said(&down));
    assert!(said(&down).contains(&format!("(pid {backend}")), "{}", said(&down));
    assert_eq!(left_in(&home), Vec::<String>::new());
    assert!(programs.shop(&home, &["down", "--fresh"]).status.success());
}

/// Data that an earlier build has migrated is kept for that build, and no part of the shop starts
/// on it.
#[tokio::test]
async fn a_home_of_another_schema_is_kept_and_not_started() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let up = ["up", "--detach", "--base-port", &base(6).to_string()];
    let first = programs.shop(&home, &up);
    assert!(first.status.success(), "{}", said(&first));
    let stack = shop::Home::at(&home).unwrap().stack().unwrap();
    let url = stack.database_as_superuser("orders");
    let mut orders = sqlx::PgConnection::connect(&url).await.unwrap();
    let earlier = "create table _sqlx_migrations (version bigint, checksum bytea);
                   insert into _sqlx_migrations values (1, 'of an earlier text')";
    sqlx::raw_sql(earlier).execute(&mut orders).await.unwrap();
    assert!(programs.shop(&home, &["down"]).status.success());

    for _ in 0..2 {
        let refused = programs.shop(&home, &up);
        let said = said(&refused);
        assert!(!refused.status.success(), "{said}");
        assert!(said.contains("schema of another build (database orders, migration 1)"), "{said}");
        assert!(said.contains("`shop down --fresh`"), "{said}");
        assert!(!said.contains("is up"), "{said}");
        assert_eq!(left_in(&home), Vec::<String>::new());
        assert!(stack.data.join("PG_VERSION").exists());
    }

    assert!(programs.shop(&home, &["down", "--fresh"]).status.success());
    assert!(!stack.data.exists());
}

#[test]
fn a_home_that_cannot_be_is_refused_before_anything_is_made() {
    use std::os::unix::ffi::OsStrExt as _;
    let programs = Programs::new();
    let no_text = programs.folder.join(std::ffi::OsStr::from_bytes(b"a\xff"));
    let refused = programs.shop(&no_text, &["up"]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("no UTF-8"), "{}", said(&refused));
    let line = programs.folder.join("a\nb");
    let refused = programs.shop(&line, &["up"]);
    assert!(said(&refused).contains(r"control character '\n'"), "{}", said(&refused));
    assert!(!no_text.exists() && !line.exists());
}

#[test]
fn a_process_that_does_not_start_is_shown_with_its_log() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let base = base(1).to_string();
    let mut up = programs.command(&home, &["up", "--detach", "--base-port", &base]);

    let output = up.env("SHOP_NOTIFY_SVC__BROKEN", "1").output().unwrap();

    assert!(!output.status.success());
    assert!(said(&output).contains("notify-svc ended 3 times"), "{}", said(&output));
    assert!(said(&output).contains("no wheels on this one"), "{}", said(&output));
    assert_eq!(left_in(&home), Vec::<String>::new());
    assert!(programs.shop(&home, &["down", "--fresh"]).status.success());
}

#[test]
fn what_cannot_be_done_is_said() {
    let programs = Programs::new();
    let home = programs.folder.join("home");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();

    let in_use = said(&programs.shop(&home, &["up", "--detach", "--base-port", &taken]));
    let owner = format!("(pid {}: ", std::process::id());
    assert!(in_use.contains(&format!("ports in use: {taken} by main-")), "{in_use}");
    assert!(in_use.contains(&owner), "{in_use}");
    assert!(in_use.contains("--base-port"), "{in_use}");
    std::fs::remove_file(programs.folder.join("gateway")).unwrap();
    let unbuilt = said(&programs.shop(&home, &["up", "--detach", "--base-port", "11900"]));
    assert!(unbuilt.contains("gateway") && unbuilt.contains("cargo build"), "{unbuilt}");
}
