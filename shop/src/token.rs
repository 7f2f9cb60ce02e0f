//! `shop token`: tokens of the local stack's own issuer, for whoever calls its API.

use std::{fs, process::ExitCode, time::Duration};

use anyhow::Context as _;
use chassis::{config::duration, identity::Issuer};
use proto::Role;

use crate::{Home, terminal};

/// The signing key of a stack, in its home.
const SIGNING_KEY: &str = "signing-key.pem";
/// The public half, which services read.
pub const KEY_SET: &str = "jwks.json";
/// How long the token lives that a command makes for itself: longer than any command runs.
const OWN_TTL: Duration = Duration::from_hours(24);
/// How long the token lives that opens the console.
const CONSOLE_TTL: Duration = Duration::from_hours(1);
/// Under which name the commands of `shop` act.
const OWN_NAME: &str = "shop";
/// For whom: for every customer, and for what has stopped.
const OWN_ROLES: [Role; 2] = [Role::Staff, Role::Operator];

/// The arguments of `shop token`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Who calls: a customer's id [default: the role's name].
    #[arg(long, value_name = "ID")]
    pub sub: Option<String>,
    /// What they may do: customer, staff, operator, viewer; more than once for several
    /// [default: customer].
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    pub role: Vec<Role>,
    /// How long the token lives.
    #[arg(long, value_parser = duration, default_value = "1h")]
    pub ttl: Duration,
}

/// Runs the command.
pub fn run(args: &Args, home: &Home) -> anyhow::Result<ExitCode> {
    let name = args.role.first().copied().unwrap_or(Role::Customer).as_str();
    let subject = args.sub.as_deref().unwrap_or(name);
    terminal::say(issuer(home)?.token(subject, &args.role, args.ttl)?);
    Ok(ExitCode::SUCCESS)
}

/// Makes the signing key of a stack, if there is none yet, and writes its public half.
pub fn make_key(home: &Home) -> anyhow::Result<()> {
    if !home.path().join(SIGNING_KEY).exists() {
        home.write_private(SIGNING_KEY, Issuer::new_key()?.as_bytes())?;
    }
    home.write_private(KEY_SET, issuer(home)?.key_set().as_bytes())
}

/// The token under which the commands of `shop` act on this stack: the one that was given, or one
/// of the stack's own issuer.
pub fn own(home: &Home) -> anyhow::Result<String> {
    home.token().map_or_else(|| of(home, OWN_NAME, &OWN_ROLES), |given| Ok(given.to_owned()))
}

/// A short-lived token for whoever opens the console from the terminal.
pub fn of_console(home: &Home) -> anyhow::Result<String> {
    Ok(issuer(home)?.token("console", &OWN_ROLES, CONSOLE_TTL)?)
}

/// The token of somebody with these roles, for a day.
pub fn of(home: &Home, subject: &str, roles: &[Role]) -> anyhow::Result<String> {
    lasting(home, subject, roles, OWN_TTL)
}

/// The token of somebody with these roles that lives for `ttl`.
pub fn lasting(
    home: &Home,
    subject: &str,
    roles: &[Role],
    ttl: Duration,
) -> anyhow::Result<String> {
    Ok(issuer(home)?.token(subject, roles, ttl)?)
}

/// The tokens of these customers.
pub fn of_customers(
    home: &Home,
    names: impl Iterator<Item = String>,
) -> anyhow::Result<Vec<String>> {
    let issuer = issuer(home)?;
    names.map(|name| Ok(issuer.token(&name, &[Role::Customer], OWN_TTL)?)).collect()
}

fn issuer(home: &Home) -> anyhow::Result<Issuer> {
    let file = home.path().join(SIGNING_KEY);
    let pem = fs::read_to_string(&file)
        .with_context(|| format!("no signing key {}: `shop up` makes one", file.display()))?;
    Issuer::from_pem(&pem).with_context(|| file.display().to_string())
}
