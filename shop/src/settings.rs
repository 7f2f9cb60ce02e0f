//! The settings each process is started with, and how the caller's environment overrides them.
//!
//! A process inherits the environment of `shop up`, so `SHOP_PAYMENT_DEADLINE=2s` reaches all of
//! them. Settings that make it part of this stack (ports, addresses) win over that, and settings
//! for one process alone win over both: `SHOP_ORDER_SVC__PAYMENT_DEADLINE=2s`.

use std::path::Path;

use crate::{
    Ports, Stack,
    faults::{self, KAFKA, POSTGRES},
    home::DATABASES,
    processes::{FAULTS, JAEGER, PROMETHEUS},
    token::KEY_SET,
};

/// The `SHOP_*` variables of the caller, read once.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// For one process each: `SHOP_ORDER_SVC__PAYMENT_DEADLINE`.
    set: Vec<(String, String)>,
    /// For all: `SHOP_PAYMENT_DEADLINE`.
    shared: Vec<(String, String)>,
}

impl Overrides {
    /// The variables of this process's environment.
    pub fn from_environment() -> Self {
        Self::from_variables(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// The overrides among these variables.
    pub fn from_variables(variables: impl Iterator<Item = (String, String)>) -> Self {
        let ours = variables.filter(|(name, _)| name.starts_with("SHOP_"));
        let (set, shared) = ours.partition(|(name, _)| name.contains("__"));
        Self { set, shared }
    }

    /// Whether `SHOP_JWKS` says where the keys of tokens are, instead of the stack's own issuer.
    pub fn has_own_issuer(&self) -> bool {
        self.shared.iter().any(|(name, _)| name == "SHOP_JWKS")
    }

    /// The settings for one process: `PAYMENT_DEADLINE` and its value.
    pub fn of(&self, process: &str) -> Vec<(String, String)> {
        let prefix = format!("SHOP_{}__", process.to_uppercase().replace('-', "_"));
        let own = |(name, value): &(String, String)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), value.clone()))
        };
        self.set.iter().filter_map(own).collect()
    }

    /// One setting for one process.
    pub fn get(&self, process: &str, setting: &str) -> Option<String> {
        self.of(process).into_iter().find(|(name, _)| name == setting).map(|(_, value)| value)
    }

    /// The settings for all processes: `SHOP_PAYMENT_DEADLINE` and its value.
    pub fn shared(&self) -> &[(String, String)] {
        &self.shared
    }

    /// The names of the variables themselves, which are hidden from every process.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.set.iter().map(|(name, _)| name.as_str())
    }
}

/// The environment that makes `process` part of the stack.
pub fn of(process: &str, stack: &Stack, ports: Ports, home: &Path) -> Vec<(String, String)> {
    let file = |name: &str| home.join(name).display().to_string();
    // Where fault proxies are wanted, each connection leads through its own.
    let proxy = |to| stack.process(FAULTS).and_then(|_| faults::port(ports, process, to));
    let port_of = |to| proxy(to).or_else(|| ports.of(to));
    let url = |to| port_of(to).map(|port| format!("http://127.0.0.1:{port}"));
    let database_url = |role, database| match proxy(POSTGRES) {
        Some(port) => stack.url_at(port, role, database),
        None => stack.local_url(role, database),
    };
    // Many processes share few cores, so each has one thread; wake-ups make frequent polling
    // unnecessary.
    let mut settings = vec![
        ("BIND", "127.0.0.1".to_owned()),
        ("THREADS", "1".to_owned()),
        ("POLL_HOT", "5ms".to_owned()),
        // There is one instance of each program, so nobody can go elsewhere meanwhile.
        ("LAME_DUCK", "0s".to_owned()),
    ];
    // The relay has only its private listener, which is a thousand above the port that it is given.
    let relay = process == "outbox-relay";
    let port = ports.of(process).map(|port| if relay { port - 1000 } else { port });
    settings.extend(port.map(|port| ("PORT", port.to_string())));
    if !["simulator", "smtp-sink"].contains(&process) {
        settings.extend(port_of(KAFKA).map(|port| ("KAFKA", format!("127.0.0.1:{port}"))));
        if stack.process(JAEGER).is_some() {
            settings.push(("OTLP_ENDPOINT", format!("http://127.0.0.1:{}", ports.otlp())));
        }
    }
    let owned = DATABASES.iter().find(|(_, role)| role.replace('_', "-") == process);
    if process == "gateway" || owned.is_some() {
        settings.push(("JWKS", file(KEY_SET)));
    }
    settings.extend(owned.map(|(database, role)| ("DATABASE_URL", database_url(role, database))));
    match process {
        "order-svc" => settings.push(("SEAL_KEY_FILE", file("seal-key"))),
        "payment-svc" => {
            settings.push(("SEAL_KEY_FILE", file("seal-key")));
            settings.extend(url("simulator").map(|url| ("SIMULATOR_URL", url)));
            // The simulator speaks Stripe's protocol, too, and takes any key that is for tests.
            settings.extend(url("simulator").map(|url| ("STRIPE_URL", format!("{url}/stripe"))));
            settings.push(("STRIPE_KEY", "sk_test_shop".to_owned()));
            settings.push(("STRIPE_WEBHOOK_SECRET_FILE", file("webhook-secret")));
        }
        "notify-svc" => settings.extend(providers(ports, &file("webhook-secret"))),
        "simulator" => {
            settings.push(("LEDGER", file("simulator-ledger.jsonl")));
            let webhook = |gateway| format!("{gateway}/v1/providers/stripe/webhook");
            settings.extend(url("gateway").map(|url| ("STRIPE_WEBHOOK_URL", webhook(url))));
            settings.push(("STRIPE_WEBHOOK_SECRET_FILE", file("webhook-secret")));
        }
        "smtp-sink" => {
            settings.push(("HTTP_PORT", ports.messages().to_string()));
            settings.push(("MESSAGES", file("messages.jsonl")));
            settings.push(("SECRET_FILE", file("webhook-secret")));
        }
        "outbox-relay" => {
            let all = DATABASES.map(|(name, role)| format!("{name}={}", database_url(role, name)));
            settings.push(("DATABASES", all.join(",")));
            // Keeps a stack on a developer's machine below 20 GB.
            settings.push(("OUTBOX_SIZE", "1GiB".to_owned()));
        }
        "gateway" => {
            let upstreams = [
                ("ORDER_URL", "order-svc"),
                ("PAYMENT_URL", "payment-svc"),
                ("INVENTORY_URL", "inventory-svc"),
                ("NOTIFY_URL", "notify-svc"),
            ];
            settings.extend(upstreams.into_iter().filter_map(|(name, to)| Some((name, url(to)?))));
            for (setting, name) in [("PROMETHEUS_URL", PROMETHEUS), ("JAEGER_URL", JAEGER)] {
                let is_there = stack.process(name).is_some();
                settings.extend(url(name).filter(|_| is_there).map(|url| (setting, url)));
            }
        }
        _ => {}
    }
    settings.into_iter().map(|(name, value)| (format!("SHOP_{name}"), value)).collect()
}

/// The stack's sink as the provider of every channel.
fn providers(ports: Ports, secret: &str) -> Vec<(&'static str, String)> {
    let mails = ports.of("smtp-sink").unwrap_or_default();
    let webhook = |channel| format!("http://127.0.0.1:{}/webhooks/{channel}", ports.messages());
    vec![
        ("SMTP_HOST", "127.0.0.1".to_owned()),
        ("SMTP_PORT", mails.to_string()),
        ("SMTP_TLS", "none".to_owned()),
        ("SMS_URL", webhook("sms")),
        ("SMS_SECRET_FILE", secret.to_owned()),
        ("PUSH_URL", webhook("push")),
        ("PUSH_SECRET_FILE", secret.to_owned()),
        ("PRIVATE_WEBHOOKS", "true".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_what_is_said_for_it_alone() {
        let said = [
            ("SHOP_PAYMENT_DEADLINE", "9s"),
            ("SHOP_ORDER_SVC__PAYMENT_DEADLINE", "2s"),
            ("SHOP_KAFKA__HEAP", "256m"),
            ("PATH", "/bin"),
        ];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let overrides = Overrides::from_variables(said.into_iter());

        assert_eq!(overrides.get("order-svc", "PAYMENT_DEADLINE").as_deref(), Some("2s"));
        assert_eq!(overrides.get("payment-svc", "PAYMENT_DEADLINE"), None);
        assert_eq!(overrides.of("kafka"), [("HEAP".to_owned(), "256m".to_owned())]);
        assert_eq!(overrides.names().count(), 2);
    }
}
