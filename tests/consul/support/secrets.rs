//! Looks for a secret wherever it could have got to.

use std::fs;
use std::path::Path;

/// A text that nobody may be told.
pub struct Secret<'a>(pub &'a str);

impl Secret<'_> {
    /// Fails if it is in a text: as it is, or as basic authentication and others write it.
    #[track_caller]
    pub fn must_not_be_in(&self, what: &str, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        assert!(!text.is_empty(), "{what} is empty, and tells nothing");
        let lower = String::from_utf8_lossy(text).to_lowercase();
        let is_told = lower.contains(&self.0.to_lowercase())
            || self.encoded().iter().any(|part| lower.contains(&part.to_lowercase()));
        assert!(!is_told, "the secret is in {what}:\n{}", String::from_utf8_lossy(text));
    }

    /// The same for all files of a folder and those below it. Says how many have something in them.
    #[track_caller]
    pub fn must_not_be_below(&self, folder: &Path) -> usize {
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                count += self.must_not_be_below(&path);
                continue;
            }
            let text = fs::read(&path).unwrap();
            if !text.is_empty() {
                self.must_not_be_in(&path.display().to_string(), text);
                count += 1;
            }
        }
        count
    }

    /// As base64 has it at each of the three places that it can begin at, without what depends
    /// on its neighbours.
    fn encoded(&self) -> [String; 3] {
        [0, 1, 2].map(|shift| {
            let bytes: Vec<u8> = std::iter::repeat_n(0, shift).chain(self.0.bytes()).collect();
            let whole: Vec<&[u8]> = bytes.chunks_exact(3).skip(1).collect();
            whole.concat().chunks_exact(3).map(base64).collect()
        })
    }
}

/// Four letters for three bytes (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let word = bytes.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
    [18, 12, 6, 0].map(|shift| char::from(LETTERS[word >> shift & 63])).iter().collect()
}

#[test]
fn it_is_found_in_every_form() {
    let secret = Secret("5ec2e7-5ec2e7-token");
    secret.must_not_be_in("a text without it", "nothing");
    // base64 of it alone, and behind one and two bytes.
    for told in [
        "x 5EC2e7-5ec2e7-TOKEN x",
        "NWVjMmU3LTVlYzJlNy10b2tlbg==",
        "OjVlYzJlNy01ZWMyZTctdG9rZW4=",
        "dTo1ZWMyZTctNWVjMmU3LXRva2Vu",
    ] {
        let caught = std::panic::catch_unwind(|| secret.must_not_be_in("a text", told));
        assert!(caught.is_err(), "{told}");
    }
}
