//! `sort`: which addresses come first.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::network::{Network, RFC_6890, is_of_rfc};
use crate::sys::interfaces::InterfaceAddress;

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    key: Key,
    is_reversed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Address,
    Default,
    Name,
    Port,
    Private,
    Size,
    Type,
}

/// What was expected of the argument.
pub(super) const EXPECTED: &str = "address, default, name, port, private, size or type, with - in \
                                   front for the reverse, and commas between them";

/// Reads `default,-type,size`.
pub(super) fn read(text: &str) -> Option<Vec<Clause>> {
    let clause = |text: &str| {
        let text = text.trim().to_lowercase();
        let (is_reversed, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let key = match name {
            "address" => Key::Address,
            "default" => Key::Default,
            "name" => Key::Name,
            "port" => Key::Port,
            "private" => Key::Private,
            "size" => Key::Size,
            "type" => Key::Type,
            _ => return None,
        };
        Some(Clause { key, is_reversed })
    };
    text.split(',').map(clause).collect()
}

/// Sorts a list. Where the clauses leave it open or contradict each other (addresses of two
/// families do not compare), go-sockaddr leaves it to how Go sorts: since 1.19 by insertion, in
/// lists of up to twelve. So is it here, and never by what expects an order to be one.
pub(super) fn sort(
    list: &mut [InterfaceAddress],
    clauses: &[Clause],
    default_interface: Option<&str>,
) {
    for end in 1..list.len() {
        let mut at = end;
        while let Some([before, after]) = at.checked_sub(1).and_then(|from| list.get_mut(from..=at))
        {
            if compare(after, before, clauses, default_interface) != Ordering::Less {
                break;
            }
            std::mem::swap(before, after);
            at -= 1;
        }
    }
}

fn compare(
    one: &InterfaceAddress,
    other: &InterfaceAddress,
    clauses: &[Clause],
    default_interface: Option<&str>,
) -> Ordering {
    let decided = clauses.iter().map(|clause| {
        let order = clause.key.compare(one, other, default_interface);
        if clause.is_reversed { order.reverse() } else { order }
    });
    decided.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

impl Key {
    fn compare(
        self,
        one: &InterfaceAddress,
        other: &InterfaceAddress,
        default_interface: Option<&str>,
    ) -> Ordering {
        let is_default = |it: &InterfaceAddress| Some(&*it.interface) == default_interface;
        let (network, others) = (Network::of(one), Network::of(other));
        match self {
            Self::Address => match (one.ip, other.ip) {
                (IpAddr::V4(one), IpAddr::V4(other)) => one.cmp(&other),
                (IpAddr::V6(one), IpAddr::V6(other)) => one.cmp(&other),
                _ => Ordering::Equal,
            },
            Self::Default => is_default(other).cmp(&is_default(one)),
            Self::Name => one.interface.cmp(&other.interface),
            // No address of an interface has one.
            Self::Port => Ordering::Equal,
            Self::Private => {
                let is_private = |network| is_of_rfc(RFC_6890, network) == Some(true);
                // Of another family, nothing is private to it.
                let is_comparable = one.ip.is_ipv4() == other.ip.is_ipv4();
                let is_other = is_comparable && is_private(others);
                is_other.cmp(&is_private(network))
            }
            // Larger networks first; those of two families do not compare.
            Self::Size if one.ip.is_ipv4() == other.ip.is_ipv4() => {
                one.mask_bits.cmp(&other.mask_bits)
            }
            Self::Size => Ordering::Equal,
            Self::Type => other.ip.is_ipv4().cmp(&one.ip.is_ipv4()),
        }
    }
}
