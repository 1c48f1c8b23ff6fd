//! What the flags say of those who connect.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{FlagError, number, wrong};
use crate::cli::ListenerArgs;
use crate::dataplane::access::{Access, Allowed, Networks};

/// How `--allow` names the gateways that Consul knows.
const FEDERATION: &str = "federation";

/// Reads the flags.
///
/// # Errors
/// The first with a wrong value.
pub(super) fn read(args: &ListenerArgs) -> Result<Access, FlagError> {
    let expected = "a network such as 10.0.0.0/8, or an IP address";
    let proxies = args
        .proxy_protocol_from
        .iter()
        .map(|text| network(text).ok_or_else(|| wrong("--proxy-protocol-from", text, expected)));
    Ok(Access {
        proxies: proxies.collect::<Result<Networks, _>>()?,
        allowed: (!args.allow.is_empty()).then(|| allowed(&args.allow)).transpose()?,
        hellos_per_source_max: number(
            "--hellos-per-source-max",
            &args.hellos_per_source_max,
            "a count of connections (0: no limit)",
            0..=u32::MAX,
        )?,
        ..Access::default()
    })
}

fn allowed(texts: &[String]) -> Result<Allowed, FlagError> {
    let expected = "`federation`, or a network such as 10.0.0.0/8";
    let networks = texts.iter().filter(|text| *text != FEDERATION);
    let networks =
        networks.map(|text| network(text).ok_or_else(|| wrong("--allow", text, expected)));
    Ok(Allowed {
        federation: texts.iter().any(|text| text == FEDERATION),
        networks: networks.collect::<Result<Networks, _>>()?,
    })
}

/// A network, or one address of it alone. One with bits behind its prefix is more likely a
/// mistake than meant.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical().into());
    }
    text.parse::<IpNet>().ok().filter(|network| network.trunc() == *network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(proxies: &[&str], allow: &[&str], hellos: &str) -> ListenerArgs {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        ListenerArgs {
            proxy_protocol_from: owned(proxies),
            allow: owned(allow),
            hellos_per_source_max: hellos.to_owned(),
            default_cluster: None,
        }
    }

    #[test]
    fn networks_and_addresses_are_taken() {
        let args = args(&["10.0.0.0/8", "2001:db8::1"], &["federation", "192.0.2.7"], "9");
        let access = read(&args).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(
            access.proxies.contains(ip("10.9.9.9")) && access.proxies.contains(ip("2001:db8::1"))
        );
        assert!(!access.proxies.contains(ip("2001:db8::2")));
        let allowed = access.allowed.unwrap();
        assert!(allowed.federation && allowed.networks.contains(ip("192.0.2.7")));
        assert_eq!(access.hellos_per_source_max, 9);
        assert!(!read(&self::args(&[], &[], "0")).unwrap().is_used());
    }

    #[test]
    fn what_is_no_network_is_named() {
        for (proxies, allow, hellos, flag) in [
            (&["10.0.0.0/33"][..], &[][..], "0", "--proxy-protocol-from"),
            (&["10.0.0.1/8"], &[], "0", "--proxy-protocol-from"),
            (&[], &["everyone"], "0", "--allow"),
            (&[], &["federation", "10.0.0.256"], "0", "--allow"),
            (&[], &[], "-1", "--hellos-per-source-max"),
        ] {
            assert_eq!(read(&args(proxies, allow, hellos)).unwrap_err().flag, flag);
        }
    }
}
