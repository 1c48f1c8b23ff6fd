use super::*;

fn canonical(name: &str) -> Result<String, NameError> {
    CanonicalName::new(name).map(|name| name.as_str().to_owned())
}

#[test]
fn lower_case_and_one_dot_less() {
    for (sent, looked_up) in [
        ("web.default.dc1.internal", "web.default.dc1.internal"),
        ("Web.DEFAULT.dc1.Internal", "web.default.dc1.internal"),
        ("example.com.", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("example.com..", "example.com."),
        ("x", "x"),
        ("..", "."),
        ("under_score.*!~", "under_score.*!~"),
    ] {
        assert_eq!(canonical(sent), Ok(looked_up.to_owned()), "{sent}");
    }
}

#[test]
fn length_is_bounded_as_sent() {
    let longest = "a".repeat(SERVER_NAME_BYTES_MAX);
    assert_eq!(canonical(&longest), Ok(longest.clone()));
    assert_eq!(canonical(&format!("{longest}a")), Err(NameError::TooLong));
    // The dot counts, though it would be stripped.
    assert_eq!(canonical(&format!("{longest}.")), Err(NameError::TooLong));
    assert_eq!(canonical(""), Err(NameError::Empty));
    assert_eq!(canonical("."), Err(NameError::OnlyDot));
}

#[test]
fn every_byte_is_judged() {
    for byte in 0..=u8::MAX {
        for name in [vec![byte, b'x'], vec![b'x', byte], vec![b'x', byte, b'x']] {
            let expected = match byte {
                0x21..=0x7e => Ok(()),
                _ => Err(NameError::ForbiddenByte),
            };
            assert_eq!(check(&name).map(|_| ()), expected, "{byte:#04x}");
        }
    }
}

#[test]
fn addresses_are_told_from_names() {
    for address in [
        "10.0.0.1",
        "10.0.0.1.",
        "255.255.255.255",
        "::1",
        "::",
        "2001:DB8::1",
        "::ffff:10.0.0.1",
        "[::1]",
        "[2001:db8::1]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
    ] {
        assert_eq!(canonical(address), Err(NameError::Address), "{address}");
        assert_eq!(check(address.as_bytes()), Ok(address), "a hello with it is well-formed");
    }
    for name in ["10.0.0.256", "10.0.0", "10.0.0.1.example", "1", "dead.beef", "::g", "a::1"] {
        let expected = if name == "a::1" { Err(NameError::Address) } else { Ok(name.to_owned()) };
        assert_eq!(canonical(name), expected, "{name}");
    }
}

#[test]
fn canonical_forms_compare_by_name() {
    let name = |name| CanonicalName::new(name).unwrap();
    assert_eq!(name("A.example."), name("a.EXAMPLE"));
    assert_ne!(name("a.example"), name("a.example2"));
    assert_ne!(name("a.example"), name("a.exampl"));
    assert_ne!(name("a.example"), name("b.example"));
    assert_eq!(format!("{}|{:?}", name("A."), name("b")), "a|\"b\"");
}
