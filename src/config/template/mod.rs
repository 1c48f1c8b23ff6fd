//! Addresses that are worked out on the host: go-sockaddr's templates, as the flags of
//! `consul connect envoy` take them.
//!
//! `{{ GetInterfaceIP "eth1" }}:8443`: what stands in braces is replaced by what it comes to on
//! this host, what stands around them stays. Within, functions are put together by `|`; what one
//! comes to is the last argument of the next. Consul evaluates the same texts by go-sockaddr 1.0
//! (its `template/doc.go` says what they mean); what is left out here is refused by name.
//!
//! [`grammar`] reads, [`evaluate`] works out, with [`select`] and [`order`] for lists and
//! [`network`] for what is known of addresses. All of it is pure.

mod evaluate;
mod grammar;
mod network;
mod order;
mod select;
#[cfg(test)]
mod tests;

use std::io;

use crate::sys::interfaces::{self, InterfaceAddress};

/// Why a template comes to nothing. A part of a sentence: what is wrong, and what to type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not written as templates are.
    #[error(
        "{rest:?} cannot be read: in braces there is FUNCTION ARGUMENT … | FUNCTION …, with texts \
         in double quotes, as in {{{{ GetInterfaceIP \"eth0\" }}}}"
    )]
    Unreadable {
        /// From where on.
        rest: String,
    },
    /// A function that go-sockaddr or Go's templates have, and Sluice does not, or nobody.
    #[error("{name} is not taken here: {instead}")]
    Unknown {
        /// Its name.
        name: String,
        /// What to write in its place.
        instead: &'static str,
    },
    /// A function has other arguments than it takes.
    #[error("{function} is given {given}: expected {expected}")]
    Argument {
        /// The function.
        function: String,
        /// What it has.
        given: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// It ends with a list.
    #[error("it comes to interfaces, and not to an address: put | attr \"address\" at its end")]
    NoText,
    /// There is no default route.
    #[error(
        "this host has no default route by a gateway (`ip route`): name an interface, as in \
         {{{{ GetInterfaceIP \"eth0\" }}}}"
    )]
    NoDefaultRoute,
    /// It comes to nothing at all.
    #[error(
        "on this host it comes to nothing: `ip address` shows which interfaces and addresses there \
         are"
    )]
    Empty,
    /// It comes to an IPv6 address, and what stands around runs into it.
    #[error(
        "it comes to the IPv6 address {address}: write brackets around it, as in [{{{{ … }}}}]:443"
    )]
    Unbracketed {
        /// The address.
        address: String,
    },
    /// Linux does not tell its interfaces.
    #[error("the interfaces of this host cannot be read: {reason}")]
    NoInterfaces {
        /// Why not.
        reason: String,
    },
}

/// What a template is worked out with.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its addresses, by interface.
    pub addresses: Vec<InterfaceAddress>,
    /// The interface of its default route.
    pub default_interface: Option<String>,
}

impl Host {
    /// This one.
    ///
    /// # Errors
    /// Whatever getifaddrs(3) says.
    pub fn here() -> io::Result<Self> {
        let default_interface = interfaces::of_default_route();
        Ok(Self { addresses: interfaces::addresses()?, default_interface })
    }
}

/// Replaces what stands in double braces by what it comes to on this host. A text without any is
/// itself.
///
/// # Errors
/// See [`TemplateError`].
pub fn render_here(text: &str) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let host =
        Host::here().map_err(|error| TemplateError::NoInterfaces { reason: error.to_string() })?;
    render(text, &host)
}

/// The same on a given host.
///
/// # Errors
/// See [`TemplateError`].
pub fn render(text: &str, host: &Host) -> Result<String, TemplateError> {
    let pieces = grammar::read(text)?;
    let (mut rendered, mut around) = (String::new(), String::new());
    let mut bare = None;
    for piece in &pieces {
        match piece {
            grammar::Piece::Literal(literal) => {
                rendered.push_str(literal);
                around.push_str(literal);
            }
            grammar::Piece::Action(pipeline) => {
                let value = evaluate::text(pipeline, host)?;
                bare = bare.or(value.parse::<std::net::Ipv6Addr>().ok());
                rendered.push_str(&value);
            }
        }
    }
    match bare {
        _ if rendered.is_empty() => Err(TemplateError::Empty),
        Some(address) if !around.is_empty() && !around.starts_with('[') => {
            Err(TemplateError::Unbracketed { address: address.to_string() })
        }
        _ => Ok(rendered),
    }
}
