//! Values of `Proxy.Config`, which Consul reads without regard to their type: "5000" is 5000 and
//! "true" is true (its `mapstructure.WeakDecode`). Pure.

use serde_json::{Map, Value};

use super::address::Address;

/// The first of `names` that is there, as it is spelled, and its value. Names are compared without
/// regard to case, as Consul does; one spelled exactly comes first.
pub(super) fn find<'a>(
    map: &'a Map<String, Value>,
    names: &[&str],
) -> Option<(&'a str, &'a Value)> {
    let found = names.iter().find_map(|&name| {
        let folded = || map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        map.get_key_value(name).or_else(folded)
    });
    found.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.as_str(), value))
}

/// A yes or no; `None`: neither.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(yes) => Some(*yes),
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        // Go's strconv.ParseBool, and nothing is false.
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number; a fraction is cut off. `None`: no number.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(yes) => Some(i64::from(*yes)),
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?.trunc();
            // Only what an i64 can hold; beyond 2^53 nobody configures.
            #[allow(clippy::cast_possible_truncation, reason = "bounded by the check")]
            (number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
        }),
        Value::String(text) => integer_of(text),
        _ => None,
    }
}

/// Go's strconv.ParseInt with base 0: decimal, or 0x, 0o, 0b and 0 before other bases.
fn integer_of(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?),
        [b'0', b'o', ..] => (8, lower.get(2..)?),
        [b'0', b'b', ..] => (2, lower.get(2..)?),
        [b'0', _, ..] => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    i64::from_str_radix(digits, base).ok()?.checked_mul(sign)
}

/// An address: a map with `Address` and `Port`. A port that is missing is 0.
pub(super) fn address(value: &Value) -> Option<Address> {
    let map = value.as_object()?;
    let host = match find(map, &["Address"]) {
        None => String::new(),
        Some((_, host)) => host.as_str()?.to_owned(),
    };
    let port = match find(map, &["Port"]) {
        None => 0,
        Some((_, port)) => u16::try_from(integer(port)?).ok()?,
    };
    Some(Address { host, port })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{address, boolean, find, integer};
    use crate::consul::register::Address;

    #[test]
    fn types_do_not_matter() {
        for value in [json!(true), json!("true"), json!("1"), json!(1), json!("T"), json!(0.5)] {
            assert_eq!(boolean(&value), Some(true), "{value}");
        }
        for value in [json!(false), json!("false"), json!("0"), json!(0), json!("")] {
            assert_eq!(boolean(&value), Some(false), "{value}");
        }
        for value in [json!("yes"), json!([]), json!({})] {
            assert_eq!(boolean(&value), None, "{value}");
        }
        for value in [json!(5000), json!("5000"), json!(5000.9), json!("0x1388"), json!("011610")] {
            assert_eq!(integer(&value), Some(5000), "{value}");
        }
        assert_eq!(integer(&json!("-1")), Some(-1));
        for value in [json!("5s"), json!(""), json!("--1"), json!("0x-1"), json!(1e300), json!([])]
        {
            assert_eq!(integer(&value), None, "{value}");
        }
    }

    #[test]
    fn names_are_found_in_order_and_whatever_their_case() {
        let map = json!({ "Old": 1, "new": 2, "NEW": 3, "nothing": null });
        let map = map.as_object().unwrap();
        assert_eq!(find(map, &["new", "old"]), Some(("new", &json!(2))));
        assert_eq!(find(map, &["other", "old"]), Some(("Old", &json!(1))));
        assert_eq!(find(map, &["nothing"]), None);
    }

    #[test]
    fn an_address_may_lack_either_part() {
        let whole = Some(Address::new("10.0.0.1", 8443));
        assert_eq!(address(&json!({ "Address": "10.0.0.1", "Port": 8443 })), whole);
        assert_eq!(address(&json!({ "address": "10.0.0.1", "port": "8443" })), whole);
        assert_eq!(address(&json!({ "port": 1 })), Some(Address::new("", 1)));
        for value in [json!("10.0.0.1:1"), json!({ "Port": 65536 }), json!({ "Address": 1 })] {
            assert_eq!(address(&value), None, "{value}");
        }
    }
}
