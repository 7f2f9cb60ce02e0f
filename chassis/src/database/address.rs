//! The address of a database: what of it is checked before anything starts.

use std::{borrow::Cow, str::FromStr};

use reqwest::Url;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::{
    certificates::{certificate_file, key_file},
    config::{Secret, SecretFault},
};

/// The parameters that are taken in an address, by libpq's names. The client would log any other
/// one, with its value, and go on without.
const PARAMETERS: [&str; 13] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "options",
    // The client's own, which it writes when it is asked for an address.
    "statement-cache-capacity",
];

/// Parses `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE`, and
/// looks at the files that it names.
pub fn database_url(text: &str) -> Result<Secret<String>, SecretFault> {
    check(text).map_err(SecretFault)?;
    Ok(Secret::new(text.to_owned()))
}

fn check(text: &str) -> Result<(), String> {
    let wrong = || "write postgres://user:password@host:port/database".to_owned();
    let url: Url = text.parse().map_err(|_| wrong())?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong());
    }
    if url.query_pairs().any(|(name, _)| !is_parameter(&name)) {
        // Its name is not told: what follows a question mark may be the rest of a password.
        return Err(format!("one parameter is none of {}", PARAMETERS.join(", ")));
    }
    let is_mode = |mode: &str| PgSslMode::from_str(mode).is_ok();
    if parameter(&url, "sslmode").is_some_and(|mode| !is_mode(&mode)) {
        let modes = "disable, prefer, require, verify-ca or verify-full";
        return Err(format!("sslmode: write {modes}"));
    }
    let options = PgConnectOptions::from_str(text).map_err(|_| wrong())?;
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    let file = |name: &str, look: fn(&str) -> Result<std::path::PathBuf, String>| {
        let Some(path) = parameter(&url, name) else { return Ok(false) };
        look(&path).map(|_| true).map_err(|why| format!("{name}: {path}: {why}"))
    };
    if file("sslrootcert", certificate_file)? && !is_verified {
        return Err("sslrootcert is looked at with sslmode=verify-full only".to_owned());
    }
    if file("sslcert", certificate_file)? != file("sslkey", key_file)? {
        return Err("sslcert and sslkey are set together".to_owned());
    }
    Ok(())
}

fn is_parameter(name: &str) -> bool {
    PARAMETERS.contains(&name) || name.starts_with("options[")
}

fn parameter<'a>(url: &'a Url, name: &str) -> Option<Cow<'a, str>> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_without_being_quoted() {
        let fine = "postgres://me:hush@db.example:5432/orders?sslmode=verify-full";
        assert_eq!(database_url(fine).unwrap().expose(), fine);
        assert!(database_url("postgres://order_svc:hush@%2Fvar%2Frun/orders").is_ok());
        for (text, why) in [
            ("hush", "write postgres://"),
            ("mysql://me:hush@db/orders", "write postgres://"),
            ("postgres://me:hush@db/orders?sslmode=full", "sslmode: write disable"),
            ("postgres://me:hush@db/orders?sslpassword=hush", "one parameter is none of sslmode"),
            ("postgres://me:0?hush@db/orders", "none of"),
            ("postgres://me:hush@db/o?sslmode=verify-full&sslrootcert=/none", "sslrootcert: /none"),
            ("postgres://me:hush@db/o?sslcert=Cargo.toml", "sslcert: Cargo.toml: it has no"),
        ] {
            let said = database_url(text).unwrap_err().to_string();
            assert!(said.contains(why) && !said.contains("hush"), "{text}: {said}");
        }
    }
}
