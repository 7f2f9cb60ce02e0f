//! The table of the API and the services' routers: the same paths and methods.

use std::collections::BTreeSet;

use crate::{
    holds,
    rooms::SERVICES,
    workspace::{File, code, rust},
};

/// A method and a path.
type Route = (String, String);

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

#[test]
fn the_table_knows_what_the_services_serve() {
    let table = ("proto/src/api.rs", "route(\"/v1/x\", ORDER, &[(GET, Open), (PUT, Staff)]),");
    let router = ("order-svc/src/http.rs", ".route(\"/v1/x\", get(show))");
    holds(serves_what_it_knows, &[table, router]);
    let more = (
        "order-svc/src/http.rs",
        ".route(\"/v1/x\", get(show).put(change)).route(\"/v1/y\", post(make))",
    );
    holds(serves_what_it_knows, &[table, more]);
}

fn serves_what_it_knows(files: &[File]) -> Vec<String> {
    let table = files.iter().find(|file| file.path == "proto/src/api.rs");
    let known = table.map(|file| known(&code(file))).unwrap_or_default();
    let folders = SERVICES.iter().copied().chain(["service-kit"]);
    let folders: Vec<String> = folders.map(|name| format!("{name}/src/")).collect();
    let routers = rust(files).filter(|file| folders.iter().any(|it| file.path.starts_with(it)));
    let served: BTreeSet<Route> = routers.flat_map(|file| served(&code(file))).collect();
    let unserved = known.difference(&served).map(|(m, path)| format!("nobody serves {m} {path}"));
    // What the gateway will ask of all services, each of them serves before it does.
    let planned = table.map(|file| asked_of_all(&code(file))).unwrap_or_default();
    let unknown = served.difference(&known).filter(|route| !planned.contains(*route));
    let unknown = unknown.map(|(m, path)| format!("the table does not know {m} {path}"));
    unserved.chain(unknown).collect()
}

/// The rows of the table, up to the planned ones.
fn known(text: &str) -> BTreeSet<Route> {
    let text = text.split("const PLANNED").next().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().concat();
    let rows = text.split("route(\"").skip(1).filter_map(|row| row.split_once('"'));
    // What the gateway answers by itself is in no router.
    let own = [",Owner::Stream", ",Owner::Trace", ",Owner::Pipeline"];
    let rows = rows.filter(|(_, rest)| !own.iter().any(|owner| rest.starts_with(owner)));
    rows.flat_map(|(path, rest)| {
        let methods = METHODS.into_iter().filter(|method| rest.contains(&format!("({method},")));
        methods.map(|method| (method.to_owned(), shape(path))).collect::<Vec<_>>()
    })
    .collect()
}

/// The planned rows of the table that the gateway will ask of all services.
fn asked_of_all(text: &str) -> BTreeSet<Route> {
    let planned = text.split_once("const PLANNED").map_or("", |(_, planned)| planned);
    let rows = planned.lines().filter(|row| row.contains("Owner::All"));
    rows.flat_map(known).collect()
}

/// The rows of a router: `.route("/v1/x", get(a).post(b))`.
fn served(text: &str) -> Vec<Route> {
    let mut routes = Vec::new();
    let text = text.split_whitespace().collect::<Vec<_>>().concat();
    for row in text.split(".route(\"").skip(1) {
        let Some((path, rest)) = row.split_once('"') else { continue };
        for method in METHODS {
            let call = format!("{}(", method.to_lowercase());
            if rest.starts_with(&format!(",{call}")) || rest.contains(&format!(").{call}")) {
                routes.push((method.to_owned(), shape(path)));
            }
        }
    }
    routes
}

/// A path without the names of its parameters.
fn shape(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
