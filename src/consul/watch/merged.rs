//! The mesh gateways of all datacenters, out of several answers. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde_json::{Error, Value};

use super::Part;
use crate::consul::names;

/// The usual name of a mesh gateway: that of `consul connect envoy`.
const GATEWAY: &str = "mesh-gateway";

/// Where gateways are asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The service that they are, first in order: usual names are never left out.
    pub(super) service: String,
    pub(super) datacenter: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the datacenter {:?} (service {:?})", self.datacenter, self.service)
    }
}

type Lists = BTreeMap<String, Vec<Value>>;

/// What is known of gateways, by whom it was said.
#[derive(Debug, Default)]
pub(super) struct Merged {
    own: Option<String>,
    datacenters: BTreeSet<String>,
    states: Option<Lists>,
    there: BTreeMap<Place, There>,
}

/// What was answered in the datacenter itself.
#[derive(Debug)]
struct There {
    gateways: Vec<Value>,
    /// Of that answer, in its datacenter's counting.
    index: u64,
    /// Whether it could be asked the last time.
    is_fresh: bool,
}

impl Merged {
    /// Takes in the answer for a part, if it says anything of where gateways are.
    pub(super) fn take(&mut self, part: Part, body: &[u8]) -> Result<(), Error> {
        match part {
            Part::Gateways => self.states(body),
            Part::Datacenters => self.datacenters(body),
            Part::Servers => self.servers(body),
            _ => Ok(()),
        }
    }

    /// Takes in the federation states.
    fn states(&mut self, body: &[u8]) -> Result<(), Error> {
        let states: Option<BTreeMap<String, Option<Vec<Value>>>> = serde_json::from_slice(body)?;
        let states = states.unwrap_or_default().into_iter();
        self.states = Some(states.map(|(name, list)| (name, list.unwrap_or_default())).collect());
        Ok(())
    }

    /// Takes in the names of all datacenters.
    fn datacenters(&mut self, body: &[u8]) -> Result<(), Error> {
        let names: Option<BTreeSet<String>> = serde_json::from_slice(body)?;
        self.datacenters = names.unwrap_or_default();
        Ok(())
    }

    /// Takes in Consul's servers, which say what the own datacenter is.
    fn servers(&mut self, body: &[u8]) -> Result<(), Error> {
        let servers: Value = serde_json::from_slice(body)?;
        let own = servers.pointer("/0/Node/Datacenter").and_then(Value::as_str);
        self.own = own.map(str::to_owned).or(self.own.take());
        Ok(())
    }

    /// Takes in what was answered in a datacenter, with its index. Says whether that is something
    /// else than before.
    pub(super) fn there(
        &mut self,
        place: &Place,
        body: &[u8],
        index: Option<u64>,
    ) -> Result<bool, Error> {
        let gateways: Option<Vec<Value>> = serde_json::from_slice(body)?;
        let mut gateways = gateways.unwrap_or_default();
        gateways.retain(|gateway| text(gateway, "/Service/Kind") == GATEWAY);
        let before = self.there.get(place);
        let is_same = before.is_some_and(|there| there.is_fresh && there.gateways == gateways);
        let index = index.unwrap_or_else(|| changed(&gateways));
        self.there.insert(place.clone(), There { gateways, index, is_fresh: true });
        Ok(!is_same)
    }

    /// Whether gateways were found there the last time.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.there.get(place).is_some_and(|there| !there.gateways.is_empty())
    }

    /// A datacenter cannot be asked. Says whether it could be before.
    pub(super) fn not_there(&mut self, place: &Place) -> bool {
        let there = self.there.get_mut(place);
        there.is_some_and(|there| std::mem::replace(&mut there.is_fresh, false))
    }

    /// Where to ask: in every other datacenter, for gateways of the usual name and of those that
    /// it has. Nowhere until the own datacenter is known.
    pub(super) fn places(&self) -> BTreeSet<Place> {
        let Some(own) = &self.own else { return BTreeSet::new() };
        let usual = self.datacenters.iter().map(|datacenter| (datacenter, GATEWAY));
        let states = self.states.iter().flatten();
        let named = states.flat_map(|(datacenter, gateways)| {
            let names = gateways.iter().map(|gateway| text(gateway, "/Service/Service"));
            names.chain([GATEWAY]).map(move |name| (datacenter, name))
        });
        let is_another = |datacenter: &str| {
            !datacenter.eq_ignore_ascii_case(own) && names::is_datacenter(datacenter)
        };
        usual
            .chain(named)
            .filter(|(datacenter, service)| is_another(datacenter) && !service.is_empty())
            .map(|(datacenter, service)| Place {
                service: service.to_owned(),
                datacenter: datacenter.clone(),
            })
            .collect()
    }

    /// All of it, as an answer of federation states; `None` while these are not there.
    pub(super) fn body(&self) -> Option<Bytes> {
        let mut lists = self.states.clone()?;
        let places = self.places();
        for (place, there) in self.there.iter().filter(|(place, _)| places.contains(place)) {
            let list = lists.entry(place.datacenter.clone()).or_default();
            let (known, others): (Vec<_>, Vec<_>) =
                list.drain(..).partition(|it| text(it, "/Service/Service") == place.service);
            *list = others;
            list.extend(if there.counts_before(&known) { there.gateways.clone() } else { known });
        }
        lists.retain(|datacenter, list| {
            let of_states = self.states.as_ref().is_some_and(|s| s.contains_key(datacenter));
            of_states || !list.is_empty()
        });
        serde_json::to_vec(&lists).ok().map(Bytes::from)
    }
}

impl There {
    /// A question that is held where nobody is any more was answered last before the federation
    /// states had others: for as long as it takes until that shows, the answer is the older one.
    fn counts_before(&self, known: &[Value]) -> bool {
        let is_newer = match self.is_fresh {
            true => self.index >= changed(known),
            false => changed(&self.gateways) > changed(known),
        };
        !self.gateways.is_empty() && is_newer
    }
}

/// When a list was changed last, by the indexes of its datacenter.
fn changed(gateways: &[Value]) -> u64 {
    let index = |gateway: &Value| gateway.pointer("/Service/ModifyIndex").and_then(Value::as_u64);
    gateways.iter().filter_map(index).max().unwrap_or_default()
}

fn text<'a>(gateway: &'a Value, pointer: &str) -> &'a str {
    gateway.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gateway(name: &str, id: &str, index: u64) -> Value {
        json!({ "Service": {
            "Kind": "mesh-gateway", "Service": name, "ID": id, "ModifyIndex": index,
        }})
    }

    fn take(merged: &mut Merged, states: &Value) {
        merged.states(states.to_string().as_bytes()).unwrap();
    }

    /// An answer of now: it is of an index that nothing before it has.
    fn there(merged: &mut Merged, place: &Place, gateways: &Value) -> bool {
        merged.there(place, gateways.to_string().as_bytes(), Some(100)).unwrap()
    }

    fn ids(merged: &Merged, datacenter: &str) -> Vec<String> {
        let body: Value = serde_json::from_slice(&merged.body().unwrap()).unwrap();
        let list = body[datacenter].as_array().cloned().unwrap_or_default();
        list.iter().map(|gateway| text(gateway, "/Service/ID").to_owned()).collect()
    }

    fn place(datacenter: &str, service: &str) -> Place {
        Place { service: service.to_owned(), datacenter: datacenter.to_owned() }
    }

    fn merged() -> Merged {
        let mut merged = Merged::default();
        merged.servers(br#"[{"Node":{"Datacenter":"dc1"}}]"#).unwrap();
        merged.datacenters(br#"["dc2","dc1"]"#).unwrap();
        merged
    }

    #[test]
    fn other_datacenters_are_asked_for_the_usual_name_and_those_that_they_have() {
        let mut merged = merged();
        assert_eq!(merged.places(), BTreeSet::from([place("dc2", GATEWAY)]));
        let states = json!({
            "DC1": [gateway("own", "a", 1)], "dc2": [gateway("edge", "a", 1)],
            "dc3": null, "a.b": [gateway("odd", "a", 1)],
        });
        take(&mut merged, &states);
        let expected = [place("dc2", "edge"), place("dc2", GATEWAY), place("dc3", GATEWAY)];
        assert_eq!(merged.places(), BTreeSet::from(expected));
        assert_eq!(Merged::default().places(), BTreeSet::new());
    }

    #[test]
    fn what_was_asked_there_counts_while_it_can_be_and_is_not_empty() {
        let (mut merged, dc2) = (merged(), place("dc2", GATEWAY));
        assert!(there(&mut merged, &dc2, &json!([gateway(GATEWAY, "new", 9)])));
        assert_eq!(merged.body(), None, "the federation states are not there");
        let other = gateway("edge", "other", 3);
        take(&mut merged, &json!({ "dc2": [gateway(GATEWAY, "old", 20), other] }));
        assert_eq!(ids(&merged, "dc2"), ["other", "new"]);
        assert!(!there(&mut merged, &dc2, &json!([gateway(GATEWAY, "new", 9)])));
        assert!(there(&mut merged, &dc2, &json!([])), "it may be hidden");
        assert_eq!(ids(&merged, "dc2"), ["other", "old"]);
        // Those that are no gateways are not taken for such.
        there(&mut merged, &dc2, &json!([{ "Service": { "ID": "web", "Service": GATEWAY } }]));
        assert_eq!(ids(&merged, "dc2"), ["other", "old"]);
    }

    #[test]
    fn where_it_cannot_be_asked_what_was_changed_later_counts() {
        let (mut merged, dc2) = (merged(), place("dc2", GATEWAY));
        take(&mut merged, &json!({ "dc2": [gateway(GATEWAY, "old", 5)] }));
        there(&mut merged, &dc2, &json!([gateway(GATEWAY, "new", 9)]));
        assert!(merged.not_there(&dc2));
        assert!(!merged.not_there(&dc2), "it was told already");
        assert_eq!(ids(&merged, "dc2"), ["new"]);
        take(&mut merged, &json!({ "dc2": [gateway(GATEWAY, "newest", 10)] }));
        assert_eq!(ids(&merged, "dc2"), ["newest"]);
        assert!(there(&mut merged, &dc2, &json!([gateway(GATEWAY, "new", 9)])));
        assert_eq!(ids(&merged, "dc2"), ["new"]);
    }

    /// All gateways of a datacenter were replaced, and those who knew the old ones still wait for
    /// an answer through them.
    #[test]
    fn a_question_that_is_held_does_not_count_before_what_was_changed_since() {
        let (mut merged, dc2) = (merged(), place("dc2", GATEWAY));
        take(&mut merged, &json!({ "dc2": [gateway(GATEWAY, "old", 5)] }));
        let old = json!([gateway(GATEWAY, "old", 5)]).to_string();
        merged.there(&dc2, old.as_bytes(), Some(7)).unwrap();
        take(&mut merged, &json!({ "dc2": [gateway(GATEWAY, "new", 8)] }));
        assert_eq!(ids(&merged, "dc2"), ["new"]);
        // What was removed has an index that no gateway has which is left.
        take(
            &mut merged,
            &json!({ "dc2": [gateway(GATEWAY, "old", 5), gateway(GATEWAY, "b", 8)] }),
        );
        merged.there(&dc2, old.as_bytes(), Some(9)).unwrap();
        assert_eq!(ids(&merged, "dc2"), ["old"]);
        // Without an index, the answer's own gateways say when it was changed.
        merged.there(&dc2, old.as_bytes(), None).unwrap();
        assert_eq!(ids(&merged, "dc2"), ["old", "b"]);
    }

    #[test]
    fn a_datacenter_without_gateways_stays_as_the_federation_states_have_it() {
        let (mut merged, dc2) = (merged(), place("dc2", GATEWAY));
        take(&mut merged, &json!({}));
        there(&mut merged, &dc2, &json!([]));
        assert_eq!(merged.body().unwrap(), "{}");
        take(&mut merged, &json!({ "dc2": [] }));
        assert_eq!(merged.body().unwrap(), r#"{"dc2":[]}"#);
    }

    #[test]
    fn what_is_no_answer_changes_nothing() {
        let (mut merged, dc2) = (merged(), place("dc2", GATEWAY));
        take(&mut merged, &json!({ "dc2": [gateway(GATEWAY, "old", 5)] }));
        assert!(merged.states(b"[").is_err() && merged.there(&dc2, b"{", None).is_err());
        assert!(merged.servers(b"").is_err() && merged.datacenters(b"{}").is_err());
        assert_eq!(ids(&merged, "dc2"), ["old"]);
    }
}
