//! Reading settings: everything that is wrong is found before anything of it is told.

use std::{collections::HashSet, ffi::OsString, io::Write as _, process::ExitCode};

use clap::{
    Arg, ArgMatches, Command, FromArgMatches,
    builder::{Resettable, ValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{ProcessConfig, SecretFault, secret_file};

/// What `--help` says below the settings.
const FILES: &str = "Each setting may also be the content of a file: where SHOP_X sets it, \
SHOP_X_FILE names the file. Secrets are mounted so, and are never printed.";

/// The settings from the command line and the environment. If they are not usable, everything that
/// is wrong is printed to standard error, and the exit code is returned.
pub(crate) fn load<C: ProcessConfig>(name: &'static str) -> Result<C, ExitCode> {
    read(name, std::env::args_os().collect()).map_err(|bad| bad.report(name))
}

/// Why no settings were read.
#[derive(Debug)]
pub enum Bad {
    /// Help, the version, or a command line that cannot be understood at all: clap's own text.
    Shown(clap::Error),
    /// Every value that is missing or wrong.
    Values(Vec<String>),
}

impl Bad {
    /// Prints everything to standard error; returns what the program `name` ends with.
    pub fn report(self, name: &str) -> ExitCode {
        match self {
            Self::Shown(error) => {
                let code = u8::try_from(error.exit_code()).unwrap_or(2);
                // When standard error is closed, there is nobody to report to.
                drop(error.print());
                ExitCode::from(code)
            }
            Self::Values(problems) => {
                let list =
                    problems.iter().fold(String::new(), |all, line| all + "  " + line + "\n");
                let text =
                    format!("{name}: the settings are not usable\n{list}See {name} --help.\n");
                drop(std::io::stderr().write_all(text.as_bytes()));
                ExitCode::from(2)
            }
        }
    }
}

/// The command line of a process: `--help` and docs/configuration.md are made of it.
pub fn command<C: ProcessConfig>(name: &'static str) -> Command {
    C::command()
        .name(name)
        .bin_name(name)
        .mut_arg("port", |port| port.default_value(C::PORT))
        .args_override_self(true)
        .after_help(FILES)
}

/// What is wrong with settings, one by one.
#[derive(Default)]
struct Faults {
    problems: Vec<String>,
    /// The ids of their arguments.
    ids: HashSet<String>,
}

/// Reads the settings from `args` (the program's name first) and the environment.
pub fn read<C: ProcessConfig>(name: &'static str, mut args: Vec<OsString>) -> Result<C, Bad> {
    let command = command::<C>(name);
    let mut faults = Faults::default();
    read_files(&command, &mut args, &mut faults);
    let matches = parse(command.clone(), &args, &mut faults)?;
    let problems = if faults.problems.is_empty() {
        let config = C::from_arg_matches(&matches).map_err(Bad::Shown)?;
        let problems = config.contradictions();
        if problems.is_empty() {
            return Ok(config);
        }
        problems
    } else {
        let others = contradictions_of_others::<C>(command, &args, &faults.ids);
        [faults.problems, others].concat()
    };
    Err(Bad::Values(problems))
}

/// Reads the arguments of a command of a process, as [`read`] does its settings.
pub fn read_command<C: FromArgMatches>(
    command: Command,
    mut args: Vec<OsString>,
) -> Result<C, Bad> {
    let mut faults = Faults::default();
    read_files(&command, &mut args, &mut faults);
    let matches = parse(command, &args, &mut faults)?;
    if !faults.problems.is_empty() {
        return Err(Bad::Values(faults.problems));
    }
    C::from_arg_matches(&matches).map_err(Bad::Shown)
}

/// clap stops at the first bad value. So each one is noted, its argument made to accept anything,
/// and the command line parsed again.
fn parse(mut command: Command, args: &[OsString], faults: &mut Faults) -> Result<ArgMatches, Bad> {
    let mut noted = HashSet::new();
    loop {
        // A clone: parsing builds a command, and a built one may not be changed.
        let mut settled = command.clone();
        match settled.try_get_matches_from_mut(args) {
            Ok(matches) => {
                faults.ids.extend(noted);
                return Ok(matches);
            }
            Err(error) => match note(&settled, &error, &mut faults.problems) {
                // What stays wrong although its arguments accept anything is a rule of clap's own.
                Some(ids) if !ids.iter().all(|id| noted.contains(id)) => {
                    noted.extend(ids.iter().cloned());
                    for id in ids {
                        command = command.mut_arg(id, lenient);
                    }
                }
                Some(_) | None => return Err(Bad::Shown(error)),
            },
        }
    }
}

fn lenient(arg: Arg) -> Arg {
    arg.required(false).value_parser(ValueParser::os_string())
}

/// How the settings that are right one by one contradict one another, while those of the arguments
/// `wrong` have their defaults. None are known if one of those has no default and is required.
fn contradictions_of_others<C: ProcessConfig>(
    mut command: Command,
    args: &[OsString],
    wrong: &HashSet<String>,
) -> Vec<String> {
    let of_wrong = command.get_arguments().filter(|arg| wrong.contains(arg.get_id().as_str()));
    let (flags, names): (Vec<_>, Vec<_>) = of_wrong
        .map(|arg| {
            let name = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            (format!("--{}", arg.get_long().unwrap_or_default()), name.unwrap_or_default())
        })
        .unzip();
    for id in wrong {
        command = command.mut_arg(id, |arg| arg.env(Resettable::Reset));
    }
    let others = command.try_get_matches_from(without(args, &flags)).ok();
    let Some(config) = others.and_then(|it| C::from_arg_matches(&it).ok()) else {
        return Vec::new();
    };
    // What names a setting that is wrong may hold no more once that is put right.
    let is_settled = |problem: &String| {
        let mut words = problem.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        !words.any(|word| names.iter().any(|name| name == word))
    };
    config.contradictions().into_iter().filter(is_settled).collect()
}

/// The arguments without these flags and their values.
fn without(args: &[OsString], flags: &[String]) -> Vec<OsString> {
    let (mut rest, mut is_value) = (Vec::new(), false);
    for arg in args {
        if std::mem::take(&mut is_value) {
            continue;
        }
        let text = arg.to_string_lossy();
        let (name, value) = text.split_once('=').map_or((&*text, None), |(a, b)| (a, Some(b)));
        if flags.iter().any(|flag| flag == name) {
            is_value = value.is_none();
        } else {
            rest.push(arg.clone());
        }
    }
    rest
}

/// Adds the settings that come from a file: `<VARIABLE>_FILE` names it, as secrets are mounted.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn read_files(command: &Command, args: &mut Vec<OsString>, faults: &mut Faults) {
    for arg in command.get_arguments() {
        let (Some(variable), Some(long)) = (arg.get_env().and_then(|v| v.to_str()), arg.get_long())
        else {
            continue;
        };
        let flag = format!("--{long}");
        let given = args.iter().filter_map(|a| a.to_str()).any(|a| {
            a.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        });
        if given || std::env::var_os(variable).is_some() {
            continue;
        }
        let Ok(path) = std::env::var(format!("{variable}_FILE")) else { continue };
        match secret_file(&path) {
            Ok(text) => args.push(format!("{flag}={}", text.expose()).into()),
            Err(wrong) => {
                faults.problems.push(format!("{variable}_FILE: {wrong}"));
                faults.ids.insert(arg.get_id().to_string());
            }
        }
    }
}

/// Adds the values that `error` is about to `problems`. Returns the ids of their arguments, or
/// `None` if the error is about something else.
fn note(command: &Command, error: &clap::Error, problems: &mut Vec<String>) -> Option<Vec<String>> {
    let named = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(name) => vec![name.clone()],
        ContextValue::Strings(names) => names.clone(),
        _ => return None,
    };
    let args: Vec<&Arg> = named
        .iter()
        .filter_map(|name| command.get_arguments().find(|arg| arg.to_string() == *name))
        .collect();
    if args.is_empty() {
        return None;
    }
    for arg in &args {
        let name = arg.get_env().map_or_else(
            || format!("--{}", arg.get_id()),
            |env| format!("{} (--{})", env.to_string_lossy(), arg.get_long().unwrap_or_default()),
        );
        problems.push(match error.kind() {
            ErrorKind::MissingRequiredArgument => format!("{name}: is not set"),
            ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::InvalidUtf8 => {
                format!("{name}: {}", bad_value(arg, error))
            }
            _ => return None,
        });
    }
    Some(args.iter().map(|arg| arg.get_id().to_string()).collect())
}

fn bad_value(arg: &Arg, error: &clap::Error) -> String {
    use std::error::Error;

    let why = error.source().map(ToString::to_string);
    let choices = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) => Some(format!("write one of {}", valid.join(", "))),
        _ => None,
    };
    let why = why.or(choices).unwrap_or_else(|| "is not valid".to_owned());
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !arg.is_hide_env_values_set() => {
            format!("{value:?} is not usable: {why}")
        }
        // Another parser's message may quote the value.
        _ if arg.is_hide_env_values_set() => {
            let fault = error.source().and_then(|why| why.downcast_ref::<SecretFault>());
            let why = fault.map_or_else(String::new, |fault| format!(": {fault}"));
            format!("the value is not usable{why}")
        }
        _ => why,
    }
}
