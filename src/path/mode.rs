//! Which mesh gateway mode wins, and where it was set.

/// What each place says of the mode; empty: nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The sidecar's own service, and the one that it dials.
    pub(super) own_service: String,
    pub(super) upstream_service: String,
    /// `MeshGateway` of the upstream, as the agent has it: where the registration says nothing,
    /// that of the instance is merged into it.
    pub(super) upstream: String,
    /// `Proxy.MeshGateway` of the sidecar, as the agent has it: where the registration says
    /// nothing, what the entries below say is merged into it, if the proxy has a
    /// `DestinationServiceID` (Consul's `agent/service_manager.go`).
    pub(super) instance: String,
    /// `service-defaults` of the sidecar's own service.
    pub(super) own_defaults: String,
    /// `service-defaults` of the service that is dialed.
    pub(super) upstream_defaults: String,
    /// `proxy-defaults`.
    pub(super) proxy_defaults: String,
}

impl Said {
    /// What overrides what Consul's servers know (`OverrideMeshGateway`: the upstream's mode laid
    /// over the proxy's, Consul's `agent/proxycfg/state.go`).
    pub(super) fn overriding(&self) -> &str {
        if self.upstream.is_empty() { &self.instance } else { &self.upstream }
    }

    /// The mode in force for another datacenter, and who set it. Where the registration repeats
    /// what an entry says, the entry is named: without it, nothing would change.
    pub(super) fn winner(&self) -> (&str, String) {
        let merged = [
            (&self.own_defaults, format!("service-defaults of {:?}", self.own_service)),
            (&self.proxy_defaults, "proxy-defaults".to_owned()),
        ];
        if !self.upstream.is_empty() && self.upstream != self.instance {
            return (&self.upstream, "the upstream definition".to_owned());
        }
        if !self.instance.is_empty() {
            let entry = merged.into_iter().find(|(mode, _)| !mode.is_empty());
            let place = entry.filter(|(mode, _)| **mode == self.instance).map(|(_, place)| place);
            return (&self.instance, place.unwrap_or_else(|| "the service instance".to_owned()));
        }
        let defaults = [
            (&self.upstream_defaults, format!("service-defaults of {:?}", self.upstream_service)),
            (&self.proxy_defaults, "proxy-defaults".to_owned()),
        ];
        let entry = defaults.into_iter().find(|(mode, _)| !mode.is_empty());
        entry.map_or(("none", "nobody".to_owned()), |(mode, place)| (mode, place))
    }
}

#[cfg(test)]
mod tests {
    use super::Said;

    #[test]
    fn the_nearest_place_wins() {
        let own_service = "client".to_owned();
        let mut said = Said { own_service, upstream_service: "web".to_owned(), ..Said::default() };
        let told = |said: &Said| {
            let (mode, place) = said.winner();
            format!("{mode} by {place}")
        };
        assert_eq!(told(&said), "none by nobody");
        "local".clone_into(&mut said.proxy_defaults);
        assert_eq!(told(&said), "local by proxy-defaults");
        "remote".clone_into(&mut said.upstream_defaults);
        assert_eq!(told(&said), "remote by service-defaults of \"web\"");
        // The agent merges proxy-defaults into what is registered.
        "local".clone_into(&mut said.instance);
        assert_eq!(told(&said), "local by proxy-defaults");
        "none".clone_into(&mut said.own_defaults);
        "none".clone_into(&mut said.instance);
        assert_eq!(told(&said), "none by service-defaults of \"client\"");
        "remote".clone_into(&mut said.instance);
        assert_eq!(
            (told(&said).as_str(), said.overriding()),
            ("remote by the service instance", "remote")
        );
        said.upstream.clone_from(&said.instance);
        assert_eq!(told(&said), "remote by the service instance");
        "local".clone_into(&mut said.upstream);
        assert_eq!(
            (told(&said).as_str(), said.overriding()),
            ("local by the upstream definition", "local")
        );
    }
}
