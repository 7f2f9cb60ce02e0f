//! Settings: everything that is wrong is reported at once, and secrets are never printed.

use std::{ffi::OsString, time::Duration};

use chassis::{
    ProcessConfig, Secret, Settings,
    config::{Bad, LogFormat, duration, period, read},
};
use clap::Parser;

#[derive(Debug, Parser)]
struct Config {
    #[command(flatten)]
    chassis: Settings,
    /// Where the rows are
    #[arg(long, env = "SHOP_TEST_DATABASE_URL", hide_env_values = true)]
    database_url: Secret<String>,
    /// The key
    #[arg(long, env = "SHOP_TEST_KEY", hide_env_values = true, value_parser = key)]
    key: Option<Secret<String>>,
    /// How long
    #[arg(long, env = "SHOP_TEST_PATIENCE", default_value = "15m", value_parser = duration)]
    patience: Duration,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8001";

    fn settings(&self) -> &Settings {
        &self.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let longer = self.patience < self.chassis.drain;
        let longer = longer.then_some("SHOP_TEST_PATIENCE has to be longer than SHOP_DRAIN");
        // A pair, of which one is easily mistyped.
        let pair = self.chassis.otlp_endpoint.is_some() != self.chassis.admin_port.is_some();
        let pair = pair.then_some("SHOP_OTLP_ENDPOINT and SHOP_ADMIN_PORT are set together");
        longer.into_iter().chain(pair).map(str::to_owned).collect()
    }
}

fn key(text: &str) -> Result<Secret<String>, String> {
    Err(format!("{text} is no key"))
}

fn settings(args: &[&str]) -> Result<Config, Bad> {
    read("test-svc", ["test-svc"].iter().chain(args).map(OsString::from).collect())
}

fn wrong(args: &[&str]) -> Vec<String> {
    match settings(args).unwrap_err() {
        Bad::Values(problems) => problems,
        Bad::Shown(error) => vec![error.to_string()],
    }
}

#[test]
fn defaults_are_the_contract() {
    let config = settings(&["--database-url", "postgres://u:secret@h/d"]).unwrap();

    assert_eq!(config.chassis.address().to_string(), "127.0.0.1:8001");
    assert_eq!(config.chassis.admin_address().to_string(), "127.0.0.1:9001");
    assert_eq!(config.chassis.drain, Duration::from_secs(10));
    assert_eq!(config.chassis.log_format, LogFormat::Text);
    assert_eq!(config.patience, Duration::from_mins(15));
    assert_eq!(config.database_url.expose(), "postgres://u:secret@h/d");
    assert!(!format!("{config:?}").contains("secret@"));
}

#[test]
fn every_bad_value_is_reported_together() {
    let problems = wrong(&[
        "--port",
        "80000",
        "--bind=nowhere",
        "--log-format",
        "xml",
        "--patience",
        "15",
        "--drain=1h30",
        "--threads=0",
        "--otlp-endpoint=grpc://x",
        "--key",
        "hush",
    ]);

    let text = problems.join("\n");
    for name in [
        "SHOP_PORT (--port): \"80000\"",
        "SHOP_BIND (--bind): \"nowhere\"",
        "SHOP_LOG_FORMAT (--log-format): \"xml\" is not usable: write one of text, json",
        "SHOP_TEST_PATIENCE (--patience): \"15\" is not usable: write a number and its unit",
        "SHOP_DRAIN (--drain)",
        "SHOP_THREADS (--threads)",
        "SHOP_OTLP_ENDPOINT (--otlp-endpoint)",
        "SHOP_TEST_DATABASE_URL (--database-url): is not set",
        "SHOP_TEST_KEY (--key): the value is not usable",
    ] {
        assert!(text.contains(name), "{name} is missing in:\n{text}");
    }
    assert_eq!(problems.len(), 9, "{text}");
    assert!(!text.contains("hush"));
}

#[test]
fn contradictions_are_reported() {
    assert_eq!(
        wrong(&["--database-url=x", "--patience=1s"]),
        ["SHOP_TEST_PATIENCE has to be longer than SHOP_DRAIN"]
    );
}

#[test]
fn contradictions_are_reported_with_bad_values_that_have_no_part_in_them() {
    let told = |args: &[&str]| wrong(&[&["--database-url=x"][..], args].concat());
    let contradiction = "SHOP_TEST_PATIENCE has to be longer than SHOP_DRAIN";

    for threads in [&["--threads=0"][..], &["--threads", "0"]] {
        let problems = told(&[&["--patience=1s"][..], threads].concat());
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("SHOP_THREADS (--threads): \"0\""), "{problems:?}");
        assert_eq!(problems[1], contradiction);
    }
    // What is wrong may be meant to be what would settle it.
    for bad in [&["--patience=1s", "--drain=0.5s"][..], &["--admin-port=9001", "--otlp-endpoint=x"]]
    {
        assert_eq!(told(bad).len(), 1, "{bad:?}");
    }
    // Without what it cannot do without, a process has no settings that could contradict.
    assert_eq!(wrong(&["--patience=1s", "--threads=0"]).len(), 2);
}

#[test]
fn unknown_arguments_and_help_are_shown() {
    assert!(matches!(settings(&["--colour=red"]), Err(Bad::Shown(_))));
    let Err(Bad::Shown(help)) = settings(&["--help"]) else { panic!("help is shown") };

    let help = help.to_string();

    for text in ["--database-url", "SHOP_TEST_DATABASE_URL", "15m", "8001", "SHOP_DRAIN"] {
        assert!(help.contains(text), "{text} is missing in:\n{help}");
    }
}

#[derive(Debug, Parser)]
struct Pair {
    #[command(flatten)]
    chassis: Settings,
    #[arg(long, requires = "second")]
    first: Option<String>,
    #[arg(long)]
    second: Option<String>,
}

impl ProcessConfig for Pair {
    const PORT: &'static str = "8001";

    fn settings(&self) -> &Settings {
        &self.chassis
    }
}

/// What clap asks for is missing however often the command line is read.
#[test]
fn a_setting_that_needs_another_is_refused_without_it() {
    let pair = |args: &[&str]| {
        read::<Pair>("test-svc", ["test-svc"].iter().chain(args).map(OsString::from).collect())
    };

    assert!(pair(&["--first=1"]).is_err());
    let both = pair(&["--first=1", "--second=2"]).unwrap();
    assert_eq!((both.first.as_deref(), both.second.as_deref()), (Some("1"), Some("2")));
}

#[test]
fn durations_have_units() {
    assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
    assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
    assert_eq!(duration("7d"), Ok(Duration::from_hours(7 * 24)));
    assert_eq!(period("1ms"), Ok(Duration::from_millis(1)));
    assert_eq!(period("0s"), Err("has to be more than 0".to_owned()));
    for wrong in ["", "5", "s", "-1s", "1.5s", "1 s", "1w", "99999999999999999999s"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_instance_is_named_after_its_host_and_port_unless_it_has_a_name() {
    let url = ["--database-url", "postgres://u:secret@h/d"];
    let named = |more: &[&str]| settings(&[&url, more].concat()).unwrap().chassis.instance();

    assert!(named(&[]).ends_with(":8001") && named(&[]).len() > ":8001".len());
    assert_ne!(named(&["--port", "18001"]), named(&[]));
    assert_eq!(named(&["--instance", "order-svc-0"]), "order-svc-0");
    assert_eq!(named(&["--port", "0"]), "");
    assert_eq!(wrong(&[&url, &["--instance", "a name"][..]].concat()).len(), 1);
}
