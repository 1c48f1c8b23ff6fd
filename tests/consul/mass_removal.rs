//! Most services go from Consul at once: nobody believes it too soon.

use serde_json::{Value, json};

use crate::support::datacenter::{Datacenter, Plan};
use crate::support::scene::{Scene, server_name};

const NODE: &str = "rack";
const COUNT: usize = 20;

fn service(number: usize) -> String {
    format!("service-{number}")
}

/// Registers the sidecars of all services on a node of their own.
fn register_all(datacenter: &Datacenter, scene: &Scene) {
    let at = scene.echo.address;
    for number in 0..COUNT {
        let service = service(number);
        datacenter.put(
            "/v1/catalog/register",
            &json!({
                "Node": NODE, "Address": at.ip().to_string(),
                "Service": {
                    "Kind": "connect-proxy", "ID": format!("{service}-proxy"),
                    "Service": format!("{service}-proxy"), "Port": at.port(),
                    "Proxy": { "DestinationServiceName": service },
                },
            }),
        );
    }
    let names = names(datacenter);
    for gateway in &scene.gateways {
        names.iter().for_each(|name| gateway.wait_routed(name, true));
    }
}

fn names(datacenter: &Datacenter) -> Vec<String> {
    let template = server_name(datacenter, "NAME");
    (0..COUNT).map(|number| template.replacen("NAME", &service(number), 1)).collect()
}

fn held(routes: &Value) -> &str {
    routes["source"]["held"][0].as_str().unwrap_or_default()
}

#[test]
fn it_is_held_while_additions_are_taken_and_applied_when_accepted() {
    let datacenter = Plan::new("dc1").start();
    let mut scene = Scene::start(&datacenter, &datacenter.url(), |launch| launch);
    register_all(&datacenter, &scene);
    scene.forget_lines();
    // With its node, all 20 go in one moment.
    datacenter.put("/v1/catalog/deregister", &json!({ "Node": NODE }));
    let removal = "catalog: would remove 20 of 21 services";
    scene.wait_routes("it is held", |routes| held(routes) == removal);
    datacenter.register(&scene.echo.sidecar_of("later"));
    let (names, later) = (names(&datacenter), server_name(&datacenter, "later"));
    for gateway in &scene.gateways {
        gateway.wait_routed(&later, true);
        let (code, listing) = gateway.list(&[]);
        assert_eq!(code, Some(0), "{listing}");
        assert!(listing.contains(&format!("# held back: {removal}")), "{listing}");
        assert!(names.iter().all(|name| listing.contains(name)), "{listing}");
    }
    scene.must_flow("while it is held");
    for gateway in &scene.gateways {
        assert_eq!(gateway.list(&["accept"]), (Some(0), "accepted\n".to_owned()));
        names.iter().for_each(|name| gateway.wait_routed(name, false));
        gateway.wait_routed(&later, true);
        assert_eq!(held(&gateway.routes()), "");
    }
    let ended = "not held back any more: it was accepted";
    scene.must_have_logged_once(&["Consul's answer would remove 20 of 21 services", ended]);
    scene.end_traffic();
}

#[test]
fn it_ends_by_itself_when_the_services_come_back() {
    let datacenter = Plan::new("dc1").start();
    let mut scene = Scene::start(&datacenter, &datacenter.url(), |launch| launch);
    register_all(&datacenter, &scene);
    scene.forget_lines();
    datacenter.put("/v1/catalog/deregister", &json!({ "Node": NODE }));
    scene.wait_routes("it is held", |routes| !held(routes).is_empty());
    register_all(&datacenter, &scene);
    scene.wait_routes("nothing is held", |routes| held(routes).is_empty());
    let ended = "not held back any more: what it would remove is there again";
    scene.must_have_logged_once(&["Consul's answer would remove 20 of 21 services", ended]);
    for gateway in &scene.gateways {
        let (code, told) = gateway.list(&["accept"]);
        assert_eq!((code, told.as_str()), (Some(1), "nothing is held back\n"));
        names(&datacenter).iter().for_each(|name| gateway.wait_routed(name, true));
    }
    // One that goes alone is believed at once.
    let gone = json!({ "Node": NODE, "ServiceID": format!("{}-proxy", service(0)) });
    datacenter.put("/v1/catalog/deregister", &gone);
    let name = &names(&datacenter)[0];
    scene.gateways.iter().for_each(|gateway| gateway.wait_routed(name, false));
    scene.end_traffic();
}
