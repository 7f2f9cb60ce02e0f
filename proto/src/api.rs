//! The HTTP API as one table: which paths there are, which service answers each, and who may call.
//!
//! The gateway routes by it, and every process that answers HTTP refuses by it who may not call; so
//! a path that is not in the table is nobody's.

use std::{fmt, sync::LazyLock};

use crate::roles::Access::{self, Customer, Open, Operator, Staff};

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
    /// The service that the body of a `POST` names at this pointer, and that then has what was
    /// begun: see `begun.rs`.
    Body(&'static str),
    /// Every service that keeps something of a customer: see `erasure.rs`.
    Erasure,
    /// The gateway, with what order-svc tells: see `stream.rs`.
    Stream,
    /// The gateway, with what Jaeger tells: see `order_trace.rs`.
    Trace,
    /// The gateway, with what Prometheus tells: see `pipeline.rs`.
    Pipeline,
}

/// A path and its methods.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Segments in braces stand for any text.
    pub path: &'static str,
    pub owner: Owner,
    /// The methods, and who may use each. HEAD is allowed wherever GET is.
    pub methods: &'static [(&'static str, Access)],
}

impl Route {
    /// The methods that the path knows, as `Allow` lists them.
    pub fn allowed(&self) -> Vec<&'static str> {
        let mut allowed: Vec<_> = self.methods.iter().map(|(method, _)| *method).collect();
        if allowed.contains(&GET) {
            allowed.push("HEAD");
        }
        allowed
    }

    /// Who may use the path with this method; `None` if the path does not know the method.
    pub fn access(&self, method: &str) -> Option<Access> {
        let wanted = if method == "HEAD" { GET } else { method };
        self.methods.iter().find(|(known, _)| *known == wanted).map(|(_, access)| *access)
    }
}

const ORDER: Owner = Owner::One(Service::Order);
const PAYMENT: Owner = Owner::One(Service::Payment);
const INVENTORY: Owner = Owner::One(Service::Inventory);
const NOTIFY: Owner = Owner::One(Service::Notify);

/// A bulk operation is its service's, which the body names in its filter.
const BULK: Owner = Owner::Body("/filter/service");

const GET: &str = "GET";
const POST: &str = "POST";
const PUT: &str = "PUT";
const DELETE: &str = "DELETE";

const fn route(
    path: &'static str,
    owner: Owner,
    methods: &'static [(&'static str, Access)],
) -> Route {
    Route { path, owner, methods }
}

/// Every path under `/v1` that is served.
pub const ROUTES: &[Route] = &[
    route("/v1/orders", ORDER, &[(GET, Customer), (POST, Customer)]),
    route("/v1/orders/{id}", ORDER, &[(GET, Customer), (PUT, Customer), (DELETE, Customer)]),
    route("/v1/orders/{id}/cancel", ORDER, &[(POST, Customer)]),
    route("/v1/orders/{id}/ship", ORDER, &[(POST, Staff)]),
    route("/v1/orders/{id}/deliver", ORDER, &[(POST, Staff)]),
    route("/v1/orders/{id}/status", ORDER, &[(GET, Customer)]),
    route("/v1/orders/{id}/events", ORDER, &[(GET, Customer)]),
    route("/v1/orders/{id}/history", ORDER, &[(GET, Customer)]),
    route("/v1/orders/{id}/saga", ORDER, &[(GET, Customer)]),
    route("/v1/orders/{id}/stream", Owner::Stream, &[(GET, Customer)]),
    route("/v1/orders/{id}/trace", Owner::Trace, &[(GET, Customer)]),
    route("/v1/sagas", ORDER, &[(GET, Staff)]),
    route("/v1/customers/{id}/orders", ORDER, &[(GET, Customer)]),
    route("/v1/payments", PAYMENT, &[(GET, Customer), (POST, Customer)]),
    route("/v1/payments/{id}", PAYMENT, &[(GET, Customer)]),
    route("/v1/payments/{id}/refund", PAYMENT, &[(POST, Staff)]),
    route("/v1/payment-methods/validate", PAYMENT, &[(POST, Customer)]),
    route("/v1/providers/stripe/webhook", PAYMENT, &[(POST, Open)]),
    route("/v1/accounts/{customer}", PAYMENT, &[(GET, Customer), (POST, Customer)]),
    route("/v1/accounts/{customer}/balance", PAYMENT, &[(GET, Customer)]),
    route("/v1/accounts/{customer}/deposit", PAYMENT, &[(POST, Customer)]),
    route("/v1/accounts/{customer}/hold", PAYMENT, &[(POST, Customer)]),
    route("/v1/accounts/{customer}/release", PAYMENT, &[(POST, Customer)]),
    route("/v1/accounts/{customer}/entries", PAYMENT, &[(GET, Customer)]),
    route("/v1/products", INVENTORY, &[(GET, Open)]),
    route("/v1/products/{sku}", INVENTORY, &[(GET, Open), (PUT, Staff)]),
    route("/v1/products/{sku}/stock", INVENTORY, &[(GET, Open), (POST, Staff)]),
    route("/v1/products/{sku}/stock/adjustments", INVENTORY, &[(GET, Staff)]),
    route("/v1/warehouses", INVENTORY, &[(GET, Customer)]),
    route("/v1/warehouses/{id}", INVENTORY, &[(PUT, Staff)]),
    route("/v1/availability", INVENTORY, &[(POST, Open)]),
    route("/v1/reservations", INVENTORY, &[(GET, Customer), (POST, Staff)]),
    route("/v1/reservations/{id}", INVENTORY, &[(GET, Customer), (PUT, Staff), (DELETE, Staff)]),
    route("/v1/notifications", NOTIFY, &[(GET, Customer)]),
    route("/v1/notifications/email", NOTIFY, &[(POST, Staff)]),
    route("/v1/notifications/sms", NOTIFY, &[(POST, Staff)]),
    route("/v1/notifications/push", NOTIFY, &[(POST, Staff)]),
    route("/v1/notifications/{id}", NOTIFY, &[(GET, Customer)]),
    route("/v1/webhooks", NOTIFY, &[(GET, Staff), (POST, Staff)]),
    route("/v1/webhooks/{id}", NOTIFY, &[(GET, Staff), (PUT, Staff), (DELETE, Staff)]),
    route("/v1/webhooks/{id}/rotate-secret", NOTIFY, &[(POST, Staff)]),
    route("/v1/webhooks/{id}/deliveries", NOTIFY, &[(GET, Staff)]),
    route("/v1/webhooks/{id}/deliveries/{delivery}/resend", NOTIFY, &[(POST, Staff)]),
    route("/v1/webhooks/{id}/replay", NOTIFY, &[(POST, Staff)]),
    route("/v1/templates", NOTIFY, &[(GET, Customer)]),
    route("/v1/templates/{name}/preview", NOTIFY, &[(POST, Customer)]),
    route("/v1/customers/{id}", Owner::Erasure, &[(DELETE, Customer)]),
    route("/v1/customers/{id}/contact", NOTIFY, &[(GET, Customer), (PUT, Customer)]),
    route("/v1/operations", Owner::All, &[(GET, Operator)]),
    route("/v1/consumers", Owner::All, &[(GET, Operator)]),
    route("/v1/consumers/{service}/pause", Owner::Named, &[(POST, Operator)]),
    route("/v1/consumers/{service}/resume", Owner::Named, &[(POST, Operator)]),
    route("/v1/parked", Owner::All, &[(GET, Operator)]),
    route("/v1/parked/bulk", BULK, &[(POST, Operator)]),
    route("/v1/parked/bulk/{id}", BULK, &[(GET, Operator)]),
    route("/v1/parked/bulk/{id}/keys", BULK, &[(GET, Operator)]),
    route("/v1/parked/{service}/{topic}/{key}", Owner::Named, &[(GET, Operator)]),
    route("/v1/parked/{service}/{topic}/{key}/{parked_id}", Owner::Named, &[(GET, Operator)]),
    route("/v1/parked/{service}/{topic}/{key}/release", Owner::Named, &[(POST, Operator)]),
    route("/v1/parked/{service}/{topic}/{key}/discard", Owner::Named, &[(POST, Operator)]),
    route("/v1/parked/{service}/{topic}/{key}/replace", Owner::Named, &[(POST, Operator)]),
    route("/v1/pipeline", Owner::Pipeline, &[(GET, Operator)]),
    route("/v1/lanes", Owner::All, &[(GET, Operator)]),
    route("/v1/lanes/{service}/pause", Owner::Named, &[(POST, Operator)]),
    route("/v1/lanes/{service}/resume", Owner::Named, &[(POST, Operator)]),
    route("/v1/replays", Owner::Body("/service"), &[(POST, Operator)]),
    route("/v1/replays/{id}", Owner::Body("/service"), &[(GET, Operator)]),
];

/// Routes of the contract that no service serves yet: they are not found until one does.
pub const PLANNED_ROUTES: &[Route] = &[];

static BY_PATH: LazyLock<matchit::Router<&'static Route>> = LazyLock::new(|| {
    let mut router = matchit::Router::new();
    for route in ROUTES {
        router.insert(route.path, route).expect("a path is in the table once");
    }
    router
});

/// The route of a path that is served.
pub fn find(path: &str) -> Option<&'static Route> {
    // A name between two slashes is never empty.
    let found = BY_PATH.at(path).ok().filter(|_| !path.contains("//"));
    found.map(|found| *found.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::{Role, Roles};

    #[test]
    fn every_path_leads_to_its_own_route() {
        for route in ROUTES {
            let path = route.path.replace(['{', '}'], "");
            assert_eq!(find(&path).map(|found| found.path), Some(route.path));
        }
        for path in
            ["/", "/v1", "/v1/", "/v1/orders/", "/v1/orders//saga", "/v2/orders", "v1/orders"]
        {
            assert!(find(path).is_none(), "{path}");
        }
    }

    /// The table once more, as a text to be read when it changes: a route that is opened by
    /// mistake is opened twice, or not at all.
    #[test]
    fn who_may_call_what_is_as_written() {
        let rows = ROUTES.iter().flat_map(|route| {
            route
                .methods
                .iter()
                .map(|(method, access)| format!("{method} {} {access:?}\n", route.path))
        });
        assert_eq!(rows.collect::<String>(), include_str!("api.golden"));
    }

    #[test]
    fn who_may_only_look_changes_nothing() {
        let viewer = Roles::from_iter([Role::Viewer]);
        let calls = ROUTES.iter().flat_map(|route| route.methods.iter().map(move |it| (route, it)));
        let changes = calls.filter(|(_, (method, _))| *method != GET);
        let permitted = changes.filter(|(_, (_, access))| access.permits(viewer, false));
        let permitted: Vec<_> = permitted.map(|(route, _)| route.path).collect();
        // A webhook is for a payment provider, by its signature; availability is only asked.
        assert_eq!(permitted, ["/v1/providers/stripe/webhook", "/v1/availability"]);
    }

    #[test]
    fn what_is_planned_is_not_found_yet() {
        for route in PLANNED_ROUTES {
            let path = route.path.replace(['{', '}'], "");
            assert!(find(&path).is_none(), "{path}");
        }
    }

    #[test]
    fn head_is_as_open_as_get() {
        let route = find("/v1/products/mug").unwrap();
        assert_eq!(route.access("HEAD"), Some(Open));
        assert_eq!(route.access("PUT"), Some(Staff));
        assert_eq!(route.access("PATCH"), None);
    }
}
