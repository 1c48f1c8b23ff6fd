//! What templates come to.

use super::grammar::{Call, Word};
use super::network::{Network, RFC_6890, is_forwardable, is_of_rfc};
use super::{Host, TemplateError, order, select};
use crate::sys::interfaces::InterfaceAddress;

/// What a call comes to.
#[derive(Clone, Debug)]
enum Value {
    Addresses(Vec<InterfaceAddress>),
    Text(String),
    Number(i64),
}

/// The text that a pipeline comes to.
pub(super) fn text(pipeline: &[Call], host: &Host) -> Result<String, TemplateError> {
    let mut value = None;
    for call in pipeline {
        value = Some(one(call, value, host)?);
    }
    match value {
        Some(Value::Text(text)) => Ok(text),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Addresses(_)) => Err(TemplateError::NoText),
        None => Ok(String::new()),
    }
}

fn one(call: &Call, before: Option<Value>, host: &Host) -> Result<Value, TemplateError> {
    let Some((first, rest)) = call.words.split_first() else {
        return Err(TemplateError::NoText);
    };
    let arguments: Result<Vec<Value>, _> = rest.iter().map(|word| value(word, host)).collect();
    let arguments: Vec<Value> = arguments?.into_iter().chain(before).collect();
    match first {
        Word::Name(name) => function(name, arguments, host),
        _ if arguments.is_empty() => value(first, host),
        _ => Err(TemplateError::Argument {
            function: "what is no function".to_owned(),
            given: "arguments".to_owned(),
            expected: "a function first, as in {{ GetInterfaceIP \"eth0\" }}",
        }),
    }
}

fn value(word: &Word, host: &Host) -> Result<Value, TemplateError> {
    match word {
        // Among arguments, a function is called with none.
        Word::Name(name) => function(name, Vec::new(), host),
        Word::Text(text) => Ok(Value::Text(text.clone())),
        Word::Number(number) => Ok(Value::Number(*number)),
        Word::All => Ok(Value::Addresses(host.addresses.clone())),
    }
}

fn function(name: &str, arguments: Vec<Value>, host: &Host) -> Result<Value, TemplateError> {
    use Value::{Addresses, Number, Text};
    let all = || host.addresses.clone();
    let expected = match (name, arguments.as_slice()) {
        ("GetAllInterfaces", []) => return Ok(Addresses(all())),
        ("GetDefaultInterfaces", []) => return default_interfaces(host).map(Addresses),
        ("GetPrivateInterfaces", []) => return Ok(Addresses(usable(host, true))),
        ("GetPublicInterfaces", []) => return Ok(Addresses(usable(host, false))),
        ("GetPrivateIP", []) => return Ok(Text(first_ip(&usable(host, true)))),
        ("GetPublicIP", []) => return Ok(Text(first_ip(&usable(host, false)))),
        ("GetPrivateIPs", []) => return Ok(Text(private_ips(host))),
        ("GetPublicIPs", []) => return Ok(Text(public_ips(host))),
        (
            "GetAllInterfaces"
            | "GetDefaultInterfaces"
            | "GetPrivateInterfaces"
            | "GetPublicInterfaces"
            | "GetPrivateIP"
            | "GetPublicIP"
            | "GetPrivateIPs"
            | "GetPublicIPs",
            _,
        ) => "no argument",
        ("GetInterfaceIP", [Text(which)]) => {
            let (named, _) = select::split(name, "name", which, all())?;
            let mut named: Vec<_> =
                named.into_iter().filter(|it| is_forwardable(Network::of(it))).collect();
            sort("type,size", &mut named, host);
            return Ok(Text(first_ip(&named)));
        }
        ("GetInterfaceIPs", [Text(which)]) => {
            let (mut named, _) = select::split(name, "name", which, all())?;
            sort("type,size", &mut named, host);
            return Ok(Text(ips(&named)));
        }
        ("GetInterfaceIP" | "GetInterfaceIPs", _) => "the name of an interface, such as \"eth0\"",
        ("include", [Text(selector), Text(value), Addresses(list)]) => {
            return Ok(Addresses(select::split(name, selector, value, list.clone())?.0));
        }
        ("exclude", [Text(selector), Text(value), Addresses(list)]) => {
            return Ok(Addresses(select::split(name, selector, value, list.clone())?.1));
        }
        ("include" | "exclude", _) => "what to look at, a value and interfaces",
        ("sort", [Text(by), Addresses(list)]) => match order::read(by) {
            Some(clauses) => {
                let mut list = list.clone();
                order::sort(&mut list, &clauses, host.default_interface.as_deref());
                return Ok(Addresses(list));
            }
            None => order::EXPECTED,
        },
        ("sort", _) => "what to sort by, and interfaces",
        ("unique", [Text(by), Addresses(list)]) if is_unique_key(by) => {
            return Ok(Addresses(unique(&by.to_lowercase(), list.clone())));
        }
        ("unique", _) => "address or name, and interfaces",
        ("limit", [Number(count @ 0..), Addresses(list)]) => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            return Ok(Addresses(list.iter().take(count).cloned().collect()));
        }
        ("limit", _) => "a count, without quotes, and interfaces",
        ("offset", [Number(count), Addresses(list)]) => match offset(*count, list) {
            Some(rest) => return Ok(Addresses(rest)),
            None => "a count that is not larger than that of the interfaces",
        },
        ("offset", _) => "a count, without quotes, and interfaces",
        ("attr", [Text(attribute), Addresses(list)]) => match list.first() {
            None => return Ok(Text(String::new())),
            Some(first) => match attribute_of(attribute, first) {
                Some(text) => return Ok(Text(text)),
                None => ATTRIBUTES,
            },
        },
        ("join", [Text(attribute), Text(between), Addresses(list)]) => {
            let texts = list.iter().map(|address| attribute_of(attribute, address));
            match texts.collect::<Option<Vec<_>>>() {
                Some(texts) => return Ok(Text(texts.join(between))),
                None => ATTRIBUTES,
            }
        }
        ("attr", _) => "an attribute, and interfaces",
        ("join", _) => "an attribute, what to put in between, and interfaces",
        _ => return Err(unknown(name)),
    };
    Err(TemplateError::Argument { function: name.to_owned(), given: given(&arguments), expected })
}

const ATTRIBUTES: &str = "address, broadcast (of IPv4), host, mask_bits, name, netmask, network, \
                          port, string or type";

fn given(arguments: &[Value]) -> String {
    let told = |value: &Value| match value {
        Value::Addresses(_) => "interfaces".to_owned(),
        Value::Text(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
    };
    let told: Vec<String> = arguments.iter().map(told).collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(" and ") }
}

/// What Go's templates and go-sockaddr have beside, and what does the same.
fn unknown(name: &str) -> TemplateError {
    let instead = match name {
        "math" => "write the address that it would come to",
        "print" | "printf" | "println" => {
            "write the text around the braces, as in {{ GetPrivateIP }}:8443"
        }
        "range" | "with" | "if" | "else" | "end" | "define" | "template" | "block" | "break"
        | "continue" => "choose with include, exclude and sort, and take one with attr or join",
        "and" | "or" | "not" | "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "len" | "index"
        | "slice" | "call" | "html" | "js" | "urlquery" => {
            "choose with include, exclude, sort, limit and offset"
        }
        variable if variable.starts_with('$') => "there are no variables: put calls together by |",
        _ => {
            "there are GetPrivateIP, GetPublicIP, GetInterfaceIP \"NAME\", these with an s at the \
             end, GetAllInterfaces, GetDefaultInterfaces, GetPrivateInterfaces, \
             GetPublicInterfaces, include, exclude, sort, unique, limit, offset, attr and join"
        }
    };
    TemplateError::Unknown { name: name.to_owned(), instead }
}

fn default_interfaces(host: &Host) -> Result<Vec<InterfaceAddress>, TemplateError> {
    let name = host.default_interface.as_deref().ok_or(TemplateError::NoDefaultRoute)?;
    Ok(host.addresses.iter().filter(|it| it.interface == name).cloned().collect())
}

/// What others can reach: addresses that routers pass on, of interfaces that are up; private ones
/// or the rest. Those of the default route come first.
fn usable(host: &Host, is_private: bool) -> Vec<InterfaceAddress> {
    let up = nix::net::if_::InterfaceFlags::IFF_UP;
    let is_usable =
        |it: &&InterfaceAddress| is_forwardable(Network::of(it)) && it.flags.contains(up);
    let mut list: Vec<_> = host.addresses.iter().filter(is_usable).cloned().collect();
    sort("default,type,size", &mut list, host);
    list.retain(|it| is_set_apart(it) == is_private);
    list
}

fn is_set_apart(address: &InterfaceAddress) -> bool {
    is_of_rfc(RFC_6890, Network::of(address)) == Some(true)
}

fn private_ips(host: &Host) -> String {
    let mut list = host.addresses.clone();
    sort("type,size", &mut list, host);
    list.retain(|it| is_set_apart(it) && is_forwardable(Network::of(it)));
    ips(&list)
}

fn public_ips(host: &Host) -> String {
    let mut list = host.addresses.clone();
    sort("type,size", &mut list, host);
    list.retain(|it| !is_set_apart(it));
    ips(&list)
}

fn sort(by: &str, list: &mut [InterfaceAddress], host: &Host) {
    let clauses = order::read(by).unwrap_or_default();
    order::sort(list, &clauses, host.default_interface.as_deref());
}

fn first_ip(list: &[InterfaceAddress]) -> String {
    list.first().map(|address| address.ip.to_string()).unwrap_or_default()
}

fn ips(list: &[InterfaceAddress]) -> String {
    list.iter().map(|address| address.ip.to_string()).collect::<Vec<_>>().join(" ")
}

fn is_unique_key(by: &str) -> bool {
    matches!(by.to_lowercase().as_str(), "address" | "name")
}

/// Of neighbours that are alike, the first.
fn unique(by: &str, mut list: Vec<InterfaceAddress>) -> Vec<InterfaceAddress> {
    list.dedup_by_key(|address| match by {
        "name" => address.interface.clone(),
        _ => select::cidr(address),
    });
    list
}

/// Without the first so many, or the last so many alone.
fn offset(count: i64, list: &[InterfaceAddress]) -> Option<Vec<InterfaceAddress>> {
    let distance = usize::try_from(count.unsigned_abs()).ok()?;
    let from = if count < 0 { list.len().checked_sub(distance)? } else { distance };
    list.get(from..).map(<[_]>::to_vec)
}

fn attribute_of(name: &str, address: &InterfaceAddress) -> Option<String> {
    let network = Network::of(address);
    Some(match name.to_lowercase().as_str() {
        "address" | "host" => address.ip.to_string(),
        "broadcast" if address.ip.is_ipv4() => network.last().to_string(),
        "mask_bits" => address.mask_bits.to_string(),
        "name" => address.interface.clone(),
        "netmask" => network.mask().to_string(),
        "network" => network.first().to_string(),
        "port" => "0".to_owned(),
        "string" => select::cidr(address),
        "type" => if address.ip.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        _ => return None,
    })
}
