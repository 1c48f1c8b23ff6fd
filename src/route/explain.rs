//! Why a name leads where it leads: what `sluice routes NAME` and the admin server answer.

use super::RoutingTable;
use super::table::{ClusterView, Rule};
use crate::refusal::Refusal;
use crate::tls::server_name::{CanonicalName, NameError};

/// What becomes of a name.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// The name in its canonical form; as asked, if it has none.
    pub name: String,
    /// The rule that decides.
    pub rule: Option<Rule<'a>>,
    /// Where it leads.
    pub cluster: Option<ClusterView<'a>>,
    /// Why it is refused.
    pub refused: Option<Refusal>,
    /// All of it in a sentence.
    pub because: String,
}

impl<'a> Explanation<'a> {
    /// Looks a name up as a worker would, and keeps the reasons.
    #[must_use]
    pub fn of(table: &'a RoutingTable, name: &str) -> Self {
        let canonical = match canonical(name) {
            Ok(canonical) => canonical,
            // As a hello without any.
            Err((Refusal::NoServerName, _)) if table.default_cluster().is_some() => {
                let cluster = table.default_cluster().and_then(|id| table.cluster(id));
                return Self::by_default(name.to_owned(), cluster);
            }
            Err((why, because)) => return Self::refused(name.to_owned(), None, why, because),
        };
        let rule = table.explain(&canonical);
        let refused = rule.map_or(Err(Refusal::UnknownName), |rule| rule.target);
        if let (Err(Refusal::UnknownName), Some(id)) = (refused, table.default_cluster()) {
            return Self::by_default(canonical, table.cluster(id));
        }
        let Some(rule) = rule else {
            let because = "no route has this name, or a suffix of it".to_owned();
            return Self::refused(canonical, None, Refusal::UnknownName, because);
        };
        match rule.target {
            Err(why) => {
                let because = format!("route {rule} refuses: {}", why.sentence());
                Self::refused(canonical, Some(rule), why, because)
            }
            Ok(id) => Self::routed(canonical, rule, table.cluster(id)),
        }
    }

    fn routed(name: String, rule: Rule<'a>, cluster: Option<ClusterView<'a>>) -> Self {
        let how = if rule.is_suffix() { "the longest suffix that fits" } else { "the very name" };
        match cluster.filter(|cluster| cluster.endpoint_count() > 0) {
            Some(found) => {
                let because = format!("route {rule} is {how}; its cluster is {:?}", found.name());
                Self { name, rule: Some(rule), cluster, refused: None, because }
            }
            None => {
                let because = format!("route {rule} is {how}, and has no endpoint");
                let refused = Self::refused(name, Some(rule), Refusal::NoEndpoints, because);
                Self { cluster, ..refused }
            }
        }
    }

    fn by_default(name: String, cluster: Option<ClusterView<'a>>) -> Self {
        let called = cluster.map(|cluster| cluster.name()).unwrap_or_default();
        let because = format!("no route has this name; the default cluster is {called:?}");
        match cluster.filter(|cluster| cluster.endpoint_count() > 0) {
            Some(_) => Self { name, rule: None, cluster, refused: None, because },
            None => {
                let because = format!("{because}, and has no endpoint");
                let refused = Self::refused(name, None, Refusal::NoEndpoints, because);
                Self { cluster, ..refused }
            }
        }
    }

    fn refused(name: String, rule: Option<Rule<'a>>, why: Refusal, because: String) -> Self {
        Self { name, rule, cluster: None, refused: Some(why), because }
    }
}

/// The form that is looked up; else why a hello with this name is refused.
fn canonical(name: &str) -> Result<String, (Refusal, String)> {
    match CanonicalName::new(name) {
        Ok(canonical) => Ok(canonical.as_str().to_owned()),
        Err(error @ NameError::Address) => Err((Refusal::NoServerName, error.to_string())),
        Err(error) => Err((Refusal::MalformedHello, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::model::{Cluster, Endpoint, Pattern, Routes, Target};

    fn table() -> RoutingTable {
        let mut routes = Routes::default();
        let web = Cluster::new("web", vec![Endpoint::new("127.0.0.1:1".parse().unwrap())]);
        let target = routes.add_cluster(web);
        routes.add_route(Pattern::parse("web.example").unwrap(), target);
        let target = routes.add_cluster(Cluster::new("empty", Vec::new()));
        routes.add_route(Pattern::parse("*.dc2.example").unwrap(), target);
        let nowhere = Target::Refuse(Refusal::NoGateways);
        routes.add_route(Pattern::parse("*.dc3.example").unwrap(), nowhere);
        RoutingTable::from_routes(&routes).unwrap()
    }

    #[test]
    fn says_which_rule_decides() {
        let table = table();
        let found = Explanation::of(&table, "WEB.example.");
        assert_eq!((found.refused, found.name.as_str()), (None, "web.example"));
        assert_eq!(found.cluster.unwrap().name(), "web");
        assert!(found.because.contains("the very name"), "{}", found.because);
    }

    #[test]
    fn says_what_goes_to_the_default_cluster() {
        let mut routes = Routes::default();
        let web = Cluster::new("web", vec![Endpoint::new("127.0.0.1:1".parse().unwrap())]);
        routes.add_cluster(web);
        routes.add_cluster(Cluster::new("empty", Vec::new()));
        let nowhere = Target::Refuse(Refusal::NoGateways);
        routes.add_route(Pattern::parse("*.dc3.example").unwrap(), nowhere);
        let unknown = Target::Refuse(Refusal::UnknownName);
        routes.add_route(Pattern::parse("*.dc1.example").unwrap(), unknown);
        assert!(!routes.set_default("missing") && routes.set_default("web"));
        let table = RoutingTable::from_routes(&routes).unwrap();
        for name in ["anything", "a.dc1.example", "10.0.0.1"] {
            let found = Explanation::of(&table, name);
            assert_eq!(found.cluster.map(|cluster| cluster.name()), Some("web"), "{name}");
            assert!(found.because.contains("the default cluster is \"web\""), "{}", found.because);
        }
        // Another reason stays one.
        assert_eq!(Explanation::of(&table, "a.dc3.example").refused, Some(Refusal::NoGateways));
        assert!(routes.set_default("empty"));
        let table = RoutingTable::from_routes(&routes).unwrap();
        assert_eq!(Explanation::of(&table, "x").refused, Some(Refusal::NoEndpoints));
        assert_eq!(table.copy().lookup("x"), table.lookup("x"), "each worker has its copy");
    }

    #[test]
    fn says_why_a_name_is_refused() {
        let table = table();
        for (name, why) in [
            ("a.dc2.example", Refusal::NoEndpoints),
            ("a.dc3.example", Refusal::NoGateways),
            ("dc2.example", Refusal::UnknownName),
            ("10.0.0.1", Refusal::NoServerName),
            ("", Refusal::MalformedHello),
            ("a b", Refusal::MalformedHello),
        ] {
            let found = Explanation::of(&table, name);
            assert_eq!(found.refused, Some(why), "{name}: {}", found.because);
            assert!(!found.because.is_empty());
        }
    }
}
