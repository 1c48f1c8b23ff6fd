//! The labels that Consul's bootstrap has Envoy take out of the names of clusters.
//!
//! Only for people: nothing is routed by them. Names of services may have dots, and then a name
//! means nothing for sure, and has none of these labels.

/// Names and values for the name of a cluster, `[subset.]service.namespace.datacenter.internal.`
/// and the trust domain; none for other names.
pub(super) fn labels(cluster: &str) -> Vec<(&'static str, &str)> {
    let Some((full_target, target, trust_domain)) = split(cluster) else { return Vec::new() };
    let parts: Vec<&str> = target.split('.').collect();
    let (subset, [service, namespace, datacenter]) = match *parts.as_slice() {
        [service, namespace, datacenter] => (None, [service, namespace, datacenter]),
        [subset, service, namespace, datacenter] => {
            (Some(subset), [service, namespace, datacenter])
        }
        _ => return Vec::new(),
    };
    let mut labels = vec![
        ("consul_destination_datacenter", datacenter),
        ("consul_destination_full_target", full_target),
        ("consul_destination_namespace", namespace),
        ("consul_destination_routing_type", "internal"),
        ("consul_destination_service", service),
        ("consul_destination_target", target),
        ("consul_destination_trust_domain", trust_domain),
    ];
    labels.extend(subset.map(|subset| ("consul_destination_service_subset", subset)));
    labels
}

/// Full target, target and trust domain, the latter without its `.consul`.
fn split(cluster: &str) -> Option<(&str, &str, &str)> {
    let full_target = cluster.strip_suffix(".consul")?;
    let (rest, trust_domain) = full_target.rsplit_once('.')?;
    let target = rest.strip_suffix(".internal")?;
    Some((full_target, target, trust_domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label<'a>(cluster: &'a str, name: &str) -> Option<&'a str> {
        labels(cluster).into_iter().find(|(n, _)| n.ends_with(name)).map(|(_, value)| value)
    }

    #[test]
    fn services_and_subsets_have_labels() {
        let web = "web.default.dc1.internal.1111-22.consul";
        assert_eq!(label(web, "_service"), Some("web"));
        assert_eq!(label(web, "_datacenter"), Some("dc1"));
        assert_eq!(label(web, "_namespace"), Some("default"));
        assert_eq!(label(web, "n_target"), Some("web.default.dc1"));
        assert_eq!(label(web, "_full_target"), Some("web.default.dc1.internal.1111-22"));
        assert_eq!(label(web, "_trust_domain"), Some("1111-22"));
        assert_eq!(label(web, "_subset"), None);
        let canary = "canary.web.default.dc1.internal.1111-22.consul";
        assert_eq!(label(canary, "_service"), Some("web"));
        assert_eq!(label(canary, "_subset"), Some("canary"));
    }

    #[test]
    fn what_is_no_service_for_sure_has_none() {
        for name in [
            "dc2.internal.1111-22.consul",
            "a.b.web.default.dc1.internal.1111-22.consul",
            "node.server.dc1.consul",
            "web.example",
            "",
            ".internal..consul",
        ] {
            assert_eq!(labels(name), [], "{name}");
        }
    }
}
