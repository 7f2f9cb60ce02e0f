//! The settings of all programs: docs/configuration.md is made of them, what is wrong with them is
//! told at once, and secrets are never told.

use std::{collections::BTreeMap, ffi::OsString, fmt::Write as _, fs, path::Path};

use chassis::{
    ProcessConfig,
    config::{Bad, command, read},
};
use clap::{Arg, ArgAction, Command};

const PAGE: &str = "docs/configuration.md";
/// Set, it has the page written instead of compared.
const WRITE: &str = "WRITE_DOCS";

const HEAD: &str = "# Configuration

Every setting of every program, as `PROGRAM --help` has it. This page is generated: change the program, then run
`make prepare`. How settings are read, from options, variables and files: [command line](contracts/command-line.md).
`secret`: the value is never printed, and is best mounted as a file that the variable with `_FILE` at its end names.
";

/// What a value of each required setting may be.
const FINE: [&str; 7] = [
    "--database-url=postgres://u:p@h/d",
    "--databases=a=postgres://u:p@h/d",
    "--kafka=k:9092",
    "--jwks=off",
    "--seal-key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "--smtp-host=h",
    "--drain=9s",
];
/// What hardly any setting takes.
const BAD: &str = "hush?!";

struct Program {
    name: &'static str,
    command: Command,
    read: fn(Vec<OsString>) -> Result<(), Bad>,
}

fn program<C: ProcessConfig>(name: &'static str) -> Program {
    let read = |args| read::<C>("program", args).map(drop);
    Program { name, command: command::<C>(name), read }
}

fn programs() -> [Program; 8] {
    [
        program::<order_svc::config::Config>("order-svc"),
        program::<payment_svc::config::Config>("payment-svc"),
        program::<inventory_svc::config::Config>("inventory-svc"),
        program::<notify_svc::config::Config>("notify-svc"),
        program::<gateway::config::Config>("gateway"),
        program::<outbox_relay::Config>("outbox-relay"),
        program::<simulator::Config>("simulator"),
        program::<smtp_sink::Config>("smtp-sink"),
    ]
}

impl Program {
    /// What is wrong with these options, beside those that are needed.
    fn faults(&self, options: &[String]) -> Vec<String> {
        let fine = FINE.iter().filter(|fine| self.has(fine)).map(|fine| (*fine).to_owned());
        let args = ["program".to_owned()].into_iter().chain(fine).chain(options.iter().cloned());
        match (self.read)(args.map(OsString::from).collect()) {
            Ok(()) => Vec::new(),
            Err(Bad::Values(faults)) => faults,
            Err(Bad::Shown(error)) => vec![error.to_string()],
        }
    }

    fn has(&self, option: &str) -> bool {
        let name = option.trim_start_matches("--").split('=').next();
        self.settings().any(|setting| setting.get_long() == name)
    }

    fn settings(&self) -> impl Iterator<Item = &Arg> {
        self.command.get_arguments().filter(|it| it.get_env().is_some())
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that writes only when it is asked to")]
fn the_page_of_settings_is_what_the_programs_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(PAGE);
    let page = page(&programs());
    if std::env::var(WRITE).is_ok() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let stale = committed.lines().zip(page.lines()).find(|(old, new)| old != new);
    assert!(committed == page, "{PAGE} is out of date: run `make prepare`: {stale:?}");
}

/// The page: settings of the same programs stand together, those of the most programs first.
fn page(programs: &[Program]) -> String {
    let mut of_row: Vec<(String, Vec<&str>)> = Vec::new();
    for program in programs {
        for row in program.settings().map(row) {
            match of_row.iter_mut().find(|(known, _)| *known == row) {
                Some((_, names)) => names.push(program.name),
                None => of_row.push((row, vec![program.name])),
            }
        }
    }
    let mut tables: BTreeMap<(usize, usize), (Vec<&str>, String)> = BTreeMap::new();
    for (at, (row, names)) in of_row.iter().enumerate() {
        let known = tables.iter().find(|(_, (known, _))| known == names).map(|(place, _)| *place);
        let place = known.unwrap_or((programs.len() - names.len(), at));
        let (_, rows) = tables.entry(place).or_insert_with(|| (names.clone(), String::new()));
        rows.push_str(row);
    }
    let mut page = HEAD.to_owned();
    for (names, rows) in tables.values() {
        let title = if names.len() == programs.len() { "Every program" } else { &names.join(", ") };
        write!(
            page,
            "\n## {title}\n\n| option | variable | default | |\n|---|---|---|---|\n{rows}"
        )
        .unwrap();
    }
    page
}

fn row(setting: &Arg) -> String {
    let option = setting.get_long().unwrap_or_default();
    let variable = setting.get_env().and_then(|it| it.to_str()).unwrap_or_default();
    let secret = if setting.is_hide_env_values_set() { ", secret" } else { "" };
    let help = setting.get_long_help().or(setting.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    let choices: Vec<_> = setting
        .get_possible_values()
        .iter()
        .filter(|_| setting.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let choices =
        if choices.is_empty() { String::new() } else { format!(": {}", choices.join(", ")) };
    let default = default(setting);
    format!("| `--{option}` | `{variable}`{secret} | {default} | {help}{choices} |\n")
}

fn default(setting: &Arg) -> String {
    let values: Vec<_> =
        setting.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = values.join(",");
    match setting.get_action() {
        _ if setting.is_required_set() => "required".to_owned(),
        ArgAction::SetTrue => "`false`".to_owned(),
        _ if default.is_empty() => "none".to_owned(),
        _ => format!("`{default}`"),
    }
}

#[test]
fn every_bad_value_of_a_program_is_told_at_once() {
    for program in programs() {
        let bad: Vec<String> = program
            .settings()
            .filter(|setting| setting.get_action().takes_values())
            .map(|setting| format!("--{}={BAD}", setting.get_long().unwrap()))
            .filter(|option| tells(&program.faults(std::slice::from_ref(option)), option))
            .collect();
        assert!(bad.len() > 7, "{} takes everything: {bad:?}", program.name);

        let faults = program.faults(&bad);

        assert_eq!(faults.len(), bad.len(), "{}: {faults:?}", program.name);
        for option in &bad {
            assert!(tells(&faults, option), "{} does not tell of {option}", program.name);
        }
    }
}

fn tells(faults: &[String], option: &str) -> bool {
    let named = format!("({}):", option.split('=').next().unwrap());
    faults.iter().any(|fault| fault.contains(&named))
}

#[test]
fn what_is_secret_is_never_told() {
    let secret =
        ["password", "secret", "database", "seal-key", "stripe-key", "sms-url", "push-url"];
    for program in programs() {
        for setting in program.settings() {
            let name = setting.get_long().unwrap();
            let is_secret = secret.iter().any(|word| name.contains(word));
            assert_eq!(setting.is_hide_env_values_set(), is_secret, "{}: {name}", program.name);
            if is_secret {
                let option = format!("--{name}={BAD}");
                let faults = program.faults(&[option]).join("\n");
                assert!(!faults.contains(BAD), "{}: {faults}", program.name);
            }
        }
    }
}
