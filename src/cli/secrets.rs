//! Secrets on the command line, which other users could read there.

use std::ops::Range;

/// Flags whose value is one, in both spellings.
const FLAGS: [&[u8]; 2] = [b"--token", b"-token"];

/// Where secrets stand in a command line that has a zero byte behind each word.
#[must_use]
pub fn places(words: &[u8]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let (mut at, mut is_value) = (0, false);
    for word in words.split(|byte| *byte == 0) {
        let end = at + word.len();
        if std::mem::take(&mut is_value) {
            places.push(at..end);
        } else {
            is_value = FLAGS.contains(&word);
            let value = FLAGS.iter().find_map(|flag| word.strip_prefix(*flag)?.strip_prefix(b"="));
            places.extend(value.map(|value| end - value.len()..end));
        }
        at = end + 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn the_value_of_a_token_is_found_however_it_is_written() {
        for (line, secrets) in [
            ("sluice\0run\0--token\0abc\0--register\0", &["abc"][..]),
            ("sluice\0run\0-token\0abc\0", &["abc"]),
            ("sluice\0run\0--token=abc\0-token=d=e\0", &["abc", "d=e"]),
            ("sluice\0run\0--token-file\0abc\0--token-file=abc\0", &[]),
            ("sluice\0run\0--token\0", &[""]),
            ("sluice\0--token\0--token\0x\0", &["--token"]),
            ("", &[]),
        ] {
            let found = places(line.as_bytes());
            let found: Vec<&str> = found.into_iter().map(|place| &line[place]).collect();
            assert_eq!(found, secrets, "{line:?}");
        }
    }
}
