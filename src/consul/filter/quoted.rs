//! Go's interpreted string literals.

/// What stands between double quotes (Go's `strconv.Unquote`); `None` if Go does not read it. In
/// go-bexpr a double quote cannot be within: the text ends there.
pub(crate) fn unquote(inner: &str) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        match character {
            '\n' => return None,
            '\\' => escape(&mut rest, &mut text)?,
            other => push(&mut text, other),
        }
    }
    Some(text)
}

fn escape(rest: &mut std::str::Chars<'_>, text: &mut Vec<u8>) -> Option<()> {
    let byte = match rest.next()? {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        'x' => u8::try_from(digits(rest, 0, 2, 16)?).ok()?,
        'u' => return code_point(digits(rest, 0, 4, 16)?, text),
        'U' => return code_point(digits(rest, 0, 8, 16)?, text),
        first => u8::try_from(digits(rest, first.to_digit(8)?, 2, 8)?).ok()?,
    };
    text.push(byte);
    Some(())
}

/// `first`, then exactly so many more digits.
fn digits(rest: &mut std::str::Chars<'_>, first: u32, count: usize, base: u32) -> Option<u32> {
    let mut number = first;
    for _ in 0..count {
        let digit = rest.next()?.to_digit(base)?;
        number = number.checked_mul(base)?.checked_add(digit)?;
    }
    Some(number)
}

fn code_point(number: u32, text: &mut Vec<u8>) -> Option<()> {
    if number > u32::from(char::MAX) {
        return None;
    }
    // Go writes what is none, the surrogates, as the character for such cases.
    push(text, char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(())
}

fn push(text: &mut Vec<u8>, character: char) {
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (inner, expected) in [
            ("", &b""[..]),
            ("plain \u{e9}", "plain \u{e9}".as_bytes()),
            (r"\a\b\f\n\r\t\v\\", b"\x07\x08\x0c\n\r\t\x0b\\"),
            (r"\x41\xfF\101\377", b"A\xffA\xff"),
            (r"\u00e9\U0001F600", "\u{e9}\u{1f600}".as_bytes()),
            (r"\ud800", "\u{fffd}".as_bytes()),
            ("carriage\rreturn", b"carriage\rreturn"),
        ] {
            assert_eq!(unquote(inner).as_deref(), Some(expected), "{inner}");
        }
        for inner in [
            "\n",
            r"\",
            r"\'",
            r"\`",
            r"\d",
            r"\x1",
            r"\xg1",
            r"\400",
            r"\18",
            r"\8",
            r"\u12",
            r"\U00110000",
            r"\Uffffffff",
            r"\x+1",
        ] {
            assert_eq!(unquote(inner), None, "{inner}");
        }
    }
}
