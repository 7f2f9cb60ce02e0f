//! Which service answers which path: one table, so that it can be listed and tested.

use std::fmt;

/// A service behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Order,
    Payment,
    Inventory,
    Notify,
}

impl Service {
    /// Every service behind the gateway.
    pub const ALL: [Self; 4] = [Self::Order, Self::Payment, Self::Inventory, Self::Notify];

    /// The service's name in the workspace.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order-svc",
            Self::Payment => "payment-svc",
            Self::Inventory => "inventory-svc",
            Self::Notify => "notify-svc",
        }
    }

    /// The service of this name, as paths and lists name it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Which service answers a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    One(Service),
    /// The service that the path's `{service}` names.
    Named,
    /// All services; the gateway merges their answers.
    All,
    /// The service whose replay it is: see `replays.rs`.
    Replays,
    /// Every service that keeps something of a customer: see `erasure.rs`.
    Erasure,
}

/// A path and its methods.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Segments in braces stand for any text.
    pub path: &'static str,
    pub methods: &'static [&'static str],
    pub owner: Owner,
}

/// What a request's method and path lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch<'a> {
    Service(Service),
    All,
    Replays,
    Erasure,
    /// The path names a service that does not exist.
    NoService(&'a str),
    /// The path is known; it has these methods.
    WrongMethod(Vec<&'static str>),
    Nothing,
}

const ORDER: Owner = Owner::One(Service::Order);
const PAYMENT: Owner = Owner::One(Service::Payment);
const INVENTORY: Owner = Owner::One(Service::Inventory);
const NOTIFY: Owner = Owner::One(Service::Notify);

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const PUT: &[&str] = &["PUT"];
const DELETE: &[&str] = &["DELETE"];
const GET_POST: &[&str] = &["GET", "POST"];
const GET_PUT: &[&str] = &["GET", "PUT"];
const GET_PUT_DELETE: &[&str] = &["GET", "PUT", "DELETE"];

const fn route(path: &'static str, methods: &'static [&'static str], owner: Owner) -> Route {
    Route { path, methods, owner }
}

/// Every path under `/v1` that is served. HEAD is allowed wherever GET is.
pub const ROUTES: &[Route] = &[
    route("/v1/orders", GET_POST, ORDER),
    route("/v1/orders/{id}", GET_PUT_DELETE, ORDER),
    route("/v1/orders/{id}/cancel", POST, ORDER),
    route("/v1/orders/{id}/ship", POST, ORDER),
    route("/v1/orders/{id}/deliver", POST, ORDER),
    route("/v1/orders/{id}/status", GET, ORDER),
    route("/v1/orders/{id}/events", GET, ORDER),
    route("/v1/orders/{id}/history", GET, ORDER),
    route("/v1/orders/{id}/saga", GET, ORDER),
    route("/v1/sagas", GET, ORDER),
    route("/v1/customers/{id}/orders", GET, ORDER),
    route("/v1/payments", GET_POST, PAYMENT),
    route("/v1/payments/{id}", GET, PAYMENT),
    route("/v1/payments/{id}/refund", POST, PAYMENT),
    route("/v1/payment-methods/validate", POST, PAYMENT),
    route("/v1/providers/stripe/webhook", POST, PAYMENT),
    route("/v1/accounts/{customer}", GET_POST, PAYMENT),
    route("/v1/accounts/{customer}/balance", GET, PAYMENT),
    route("/v1/accounts/{customer}/deposit", POST, PAYMENT),
    route("/v1/accounts/{customer}/hold", POST, PAYMENT),
    route("/v1/accounts/{customer}/release", POST, PAYMENT),
    route("/v1/accounts/{customer}/entries", GET, PAYMENT),
    route("/v1/products", GET, INVENTORY),
    route("/v1/products/{sku}", GET_PUT, INVENTORY),
    route("/v1/products/{sku}/stock", GET_POST, INVENTORY),
    route("/v1/products/{sku}/stock/adjustments", GET, INVENTORY),
    route("/v1/warehouses", GET, INVENTORY),
    route("/v1/warehouses/{id}", PUT, INVENTORY),
    route("/v1/availability", POST, INVENTORY),
    route("/v1/reservations", GET_POST, INVENTORY),
    route("/v1/reservations/{id}", GET_PUT_DELETE, INVENTORY),
    route("/v1/notifications", GET, NOTIFY),
    route("/v1/notifications/email", POST, NOTIFY),
    route("/v1/notifications/sms", POST, NOTIFY),
    route("/v1/notifications/push", POST, NOTIFY),
    route("/v1/notifications/{id}", GET, NOTIFY),
    route("/v1/templates", GET, NOTIFY),
    route("/v1/templates/{name}/preview", POST, NOTIFY),
    route("/v1/customers/{id}", DELETE, Owner::Erasure),
    route("/v1/customers/{id}/contact", GET_PUT, NOTIFY),
    route("/v1/operations", GET, Owner::All),
    route("/v1/consumers", GET, Owner::All),
    route("/v1/consumers/{service}/pause", POST, Owner::Named),
    route("/v1/consumers/{service}/resume", POST, Owner::Named),
    route("/v1/parked", GET, Owner::All),
    route("/v1/parked/{service}/{topic}/{key}", GET, Owner::Named),
    route("/v1/parked/{service}/{topic}/{key}/{parked_id}", GET, Owner::Named),
    route("/v1/parked/{service}/{topic}/{key}/release", POST, Owner::Named),
    route("/v1/parked/{service}/{topic}/{key}/discard", POST, Owner::Named),
    route("/v1/parked/{service}/{topic}/{key}/replace", POST, Owner::Named),
    route("/v1/lanes", GET, Owner::All),
    route("/v1/lanes/{service}/pause", POST, Owner::Named),
    route("/v1/lanes/{service}/resume", POST, Owner::Named),
    route("/v1/replays", POST, Owner::Replays),
    route("/v1/replays/{id}", GET, Owner::Replays),
];

/// Routes of the contract that no service serves yet: they are not found until one does.
pub const PLANNED: &[Route] = &[
    route("/v1/orders/{id}/stream", GET, ORDER),
    route("/v1/webhooks", GET_POST, NOTIFY),
    route("/v1/webhooks/{id}", GET_PUT_DELETE, NOTIFY),
    route("/v1/webhooks/{id}/rotate-secret", POST, NOTIFY),
    route("/v1/webhooks/{id}/deliveries", GET, NOTIFY),
    route("/v1/webhooks/{id}/deliveries/{delivery}/resend", POST, NOTIFY),
    route("/v1/webhooks/{id}/replay", POST, NOTIFY),
];

/// What a request leads to.
pub fn find<'a>(method: &str, path: &'a str) -> RouteMatch<'a> {
    let wanted = if method == "HEAD" { "GET" } else { method };
    let mut allowed = Vec::new();
    for route in ROUTES.iter().filter(|route| matches(route.path, path)) {
        if route.methods.contains(&wanted) {
            return match route.owner {
                Owner::One(service) => RouteMatch::Service(service),
                Owner::All => RouteMatch::All,
                Owner::Replays => RouteMatch::Replays,
                Owner::Erasure => RouteMatch::Erasure,
                Owner::Named => {
                    let name = path.split('/').nth(3).unwrap_or_default();
                    Service::parse(name).map_or(RouteMatch::NoService(name), RouteMatch::Service)
                }
            };
        }
        allowed.extend(route.methods);
    }
    let is_planned = |route: &Route| route.methods.contains(&wanted) && matches(route.path, path);
    if allowed.is_empty() || PLANNED.iter().any(is_planned) {
        return RouteMatch::Nothing;
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    RouteMatch::WrongMethod(allowed)
}

/// Compares segment by segment; a segment in braces stands for any that is not empty.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        match segments.next() {
            Some(segment) if segment == expected => {}
            Some(segment) if expected.starts_with('{') && !segment.is_empty() => {}
            Some(_) | None => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_under_its_own_path() {
        for route in ROUTES {
            let path = route.path.replace("{service}", "notify-svc").replace(['{', '}'], "");
            for method in route.methods {
                let found = find(method, &path);
                let expected = match route.owner {
                    Owner::One(service) => RouteMatch::Service(service),
                    Owner::Named => RouteMatch::Service(Service::Notify),
                    Owner::All => RouteMatch::All,
                    Owner::Replays => RouteMatch::Replays,
                    Owner::Erasure => RouteMatch::Erasure,
                };
                assert_eq!(found, expected, "{method} {path}");
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_told_apart() {
        for path in
            ["/", "/v1", "/v1/", "/v1/orders/", "/v1/orders//saga", "/v2/orders", "v1/orders"]
        {
            assert_eq!(find("GET", path), RouteMatch::Nothing, "{path}");
        }
        assert_eq!(
            find("DELETE", "/v1/orders"),
            RouteMatch::WrongMethod(vec!["GET", "POST", "HEAD"])
        );
        assert_eq!(find("GET", "/v1/orders/a/cancel"), RouteMatch::WrongMethod(vec!["POST"]));
        assert_eq!(find("HEAD", "/v1/products"), RouteMatch::Service(Service::Inventory));
        assert_eq!(find("GET", "/v1/parked/cat-svc/t/k"), RouteMatch::NoService("cat-svc"));
    }

    #[test]
    fn what_is_planned_is_not_found_yet() {
        for route in PLANNED {
            let path = route.path.replace(['{', '}'], "");
            for method in route.methods {
                assert_eq!(find(method, &path), RouteMatch::Nothing, "{method} {path}");
            }
        }
    }
}
