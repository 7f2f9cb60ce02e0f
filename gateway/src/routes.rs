//! What a request's method and path lead to, by the table of the API.

use proto::api::{self, Owner};

pub use proto::api::Service;

/// What a request's method and path lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch<'a> {
    Service(Service),
    All,
    /// What the service has begun that a body names at this pointer.
    Begun(&'static str),
    Erasure,
    Stream,
    Trace,
    Pipeline,
    /// The path names a service that does not exist.
    NoService(&'a str),
    /// The path is known; it has these methods.
    WrongMethod(Vec<&'static str>),
    Nothing,
}

/// What a request leads to.
pub fn find<'a>(method: &str, path: &'a str) -> RouteMatch<'a> {
    let Some(route) = api::find(path) else { return RouteMatch::Nothing };
    if route.access(method).is_none() {
        return RouteMatch::WrongMethod(route.allowed());
    }
    match route.owner {
        Owner::One(service) => RouteMatch::Service(service),
        Owner::All => RouteMatch::All,
        Owner::Body(pointer) => RouteMatch::Begun(pointer),
        Owner::Erasure => RouteMatch::Erasure,
        Owner::Stream => RouteMatch::Stream,
        Owner::Trace => RouteMatch::Trace,
        Owner::Pipeline => RouteMatch::Pipeline,
        Owner::Named => {
            let name = path.split('/').nth(3).unwrap_or_default();
            Service::parse(name).map_or(RouteMatch::NoService(name), RouteMatch::Service)
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::api::ROUTES;

    use super::*;

    #[test]
    fn every_route_is_found_under_its_own_path() {
        for route in ROUTES {
            let path = route.path.replace("{service}", "notify-svc").replace(['{', '}'], "");
            for (method, _) in route.methods {
                let found = find(method, &path);
                let expected = match route.owner {
                    Owner::One(service) => RouteMatch::Service(service),
                    Owner::Named => RouteMatch::Service(Service::Notify),
                    Owner::All => RouteMatch::All,
                    Owner::Body(pointer) => RouteMatch::Begun(pointer),
                    Owner::Erasure => RouteMatch::Erasure,
                    Owner::Stream => RouteMatch::Stream,
                    Owner::Trace => RouteMatch::Trace,
                    Owner::Pipeline => RouteMatch::Pipeline,
                };
                assert_eq!(found, expected, "{method} {path}");
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_told_apart() {
        assert_eq!(find("GET", "/v1/orders/"), RouteMatch::Nothing);
        assert_eq!(
            find("DELETE", "/v1/orders"),
            RouteMatch::WrongMethod(vec!["GET", "POST", "HEAD"])
        );
        assert_eq!(find("GET", "/v1/orders/a/cancel"), RouteMatch::WrongMethod(vec!["POST"]));
        assert_eq!(find("HEAD", "/v1/products"), RouteMatch::Service(Service::Inventory));
        assert_eq!(find("GET", "/v1/parked/cat-svc/t/k"), RouteMatch::NoService("cat-svc"));
    }
}
