//! The ports of a stack: offsets from one base port.

/// The ports of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    base: u16,
}

/// The public ports of the processes, by their offset from the base.
const OFFSETS: [(&str, u16); 13] = [
    ("gateway", 0),
    ("order-svc", 1),
    ("payment-svc", 2),
    ("inventory-svc", 3),
    ("notify-svc", 4),
    ("outbox-relay", 5),
    ("postgres", 10),
    ("kafka", 20),
    ("simulator", 40),
    ("smtp-sink", 41),
    ("prometheus", 50),
    ("faults", 53),
    ("jaeger", 60),
];

/// A process's probes and metrics listen this far above its public port.
const PRIVATE: u16 = 1000;

impl Ports {
    /// The ports from `base` on; `None` when the highest would not be a port.
    pub fn from(base: u16) -> Option<Self> {
        base.checked_add(PRIVATE + 100).filter(|_| base > 0).map(|_| Self { base })
    }

    /// The base, which is the gateway's port.
    pub fn base(self) -> u16 {
        self.base
    }

    /// The port on which `process` serves others; the relay has only its private listener.
    pub fn of(self, process: &str) -> Option<u16> {
        let (_, offset) = OFFSETS.iter().find(|(name, _)| *name == process)?;
        let private = if process == "outbox-relay" { PRIVATE } else { 0 };
        Some(self.base + offset + private)
    }

    /// The port on which `process` answers probes and shows its metrics.
    pub fn private(self, process: &str) -> Option<u16> {
        let (_, offset) = OFFSETS.iter().find(|(name, _)| *name == process)?;
        Some(self.base + offset + PRIVATE)
    }

    /// PostgreSQL's port.
    pub fn postgres(self) -> u16 {
        self.base + 10
    }

    /// Kafka's port for clients.
    pub fn kafka(self) -> u16 {
        self.base + 20
    }

    /// The port of Kafka's controller.
    pub fn controller(self) -> u16 {
        self.base + 21
    }

    /// The port on which the sink takes webhooks and shows what it took; the one below takes mails.
    pub fn messages(self) -> u16 {
        self.base + 42
    }

    /// The port of the API of fault proxies, where there are any.
    pub fn faults(self) -> u16 {
        self.base + 53
    }

    /// The port of a fault proxy of a local stack, counted from 0: there are at most 16.
    pub fn fault_proxy(self, number: u16) -> u16 {
        self.base + 70 + number
    }

    /// Kafka's port behind a fault proxy: at most 6 lead to Kafka, the first ones.
    pub fn behind_fault_proxy(self, number: u16) -> u16 {
        self.base + 86 + number
    }

    /// The port on which Jaeger takes traces (OTLP over gRPC); the one above is its API over gRPC.
    pub fn otlp(self) -> u16 {
        self.base + 61
    }

    /// The port on which Jaeger says how it is.
    pub fn jaeger_health(self) -> u16 {
        self.base + 63
    }

    /// The port on which `shop audit --watch` shows its metrics.
    pub fn audit(self) -> u16 {
        self.base + 70 + PRIVATE
    }

    /// Every port that a stack opens.
    pub fn all(self) -> Vec<u16> {
        let services = ["gateway", "order-svc", "payment-svc", "inventory-svc", "notify-svc"];
        let public = OFFSETS.iter().filter_map(|(name, _)| self.of(name));
        let private = services.iter().filter_map(|name| self.private(name));
        let others = [self.controller(), self.messages()];
        let jaeger = [self.otlp(), self.otlp() + 1, self.jaeger_health()];
        public.chain(private).chain(others).chain(jaeger).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_the_map() {
        let ports = Ports::from(8000).unwrap();
        assert_eq!(ports.of("gateway"), Some(8000));
        assert_eq!(ports.of("notify-svc"), Some(8004));
        assert_eq!(ports.of("outbox-relay"), Some(9005));
        assert_eq!(ports.private("order-svc"), Some(9001));
        assert_eq!((ports.of("smtp-sink"), ports.messages()), (Some(8041), 8042));
        assert_eq!(ports.all().len(), 23);
        assert_eq!(Ports::from(u16::MAX), None);
    }
}
