//! Values of fields that are no text.

/// Go's `strconv.ParseInt(text, 0, 64)`: decimal, or with a prefix (`0x`, `0o`, `0`, `0b`), with
/// underscores between digits.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let (base, digits, is_prefixed) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest, true),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest, true),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest, true),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest, true),
        all => (10, all, false),
    };
    // An underscore has a digit, or the prefix, before it and a digit behind it.
    let (mut magnitude, mut may_be_underscore, mut is_complete) = (0_i128, is_prefixed, false);
    for byte in digits {
        if *byte == b'_' {
            if !may_be_underscore {
                return None;
            }
            (may_be_underscore, is_complete) = (false, false);
            continue;
        }
        let digit = char::from(*byte).to_digit(base)?;
        magnitude = magnitude.checked_mul(base.into())?.checked_add(digit.into())?;
        (may_be_underscore, is_complete) = (true, true);
    }
    if !is_complete {
        return None;
    }
    i64::try_from(if is_negative { magnitude.checked_neg()? } else { magnitude }).ok()
}

/// Go's `strconv.ParseBool`.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_gos() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("80", 80),
            ("0x1F", 31),
            ("0X1f", 31),
            ("0o17", 15),
            ("017", 15),
            ("0_1", 1),
            ("0x_1", 1),
            ("0b101", 5),
            ("1_000", 1000),
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(integer(text.as_bytes()), Some(expected), "{text}");
        }
        let long = "9".repeat(100);
        for text in [
            "",
            "-",
            "+",
            "+-1",
            "a",
            "1.0",
            "08",
            "0x",
            "0xg",
            "0b2",
            "_1",
            "1_",
            "1__0",
            "0_",
            " 1",
            "1 ",
            "9223372036854775808",
            "-9223372036854775809",
            &long,
            "1e3",
            "\u{663}",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn booleans_are_gos() {
        assert_eq!(boolean(b"T"), Some(true));
        assert_eq!(boolean(b"False"), Some(false));
        for text in ["", "yes", "tRUE", "2"] {
            assert_eq!(boolean(text.as_bytes()), None, "{text}");
        }
    }
}
