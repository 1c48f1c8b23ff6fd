//! Tells gateways that attach to one registration of each other.
//!
//! They share its check: what one writes into it, another finds there. So each signs what it
//! writes, and looks before it writes again. Who has ended does not write any more, so that a
//! gateway that is restarted finds itself alone.

use tokio::time::Instant;

use crate::kernel::random::Random;
use crate::limits::BEAT_TTL;

/// What a signature begins with.
const PROCESS: &str = "process ";
/// What Consul writes before the last output of a check that was not beaten in time.
const EXPIRED: &str = "TTL expired";

/// The signature of one gateway, and whose it has found in its place.
#[derive(Debug)]
pub(super) struct Signature {
    own: String,
    /// Who else signed, and when that was last seen.
    other: Option<(String, Instant)>,
}

impl Signature {
    /// A process id is not enough: in containers all may have the same.
    pub(super) fn new(random: &mut Random) -> Self {
        let (id, word) = (std::process::id(), random.draw() >> 32);
        Self { own: format!("{PROCESS}{id}, {word:08x}"), other: None }
    }

    /// What is written, for people, with the signature.
    pub(super) fn sign(&self, output: &str) -> String {
        format!("{output} ({})", self.own)
    }

    /// Whose signature is in the place of ours, which was there: a gateway that lives.
    pub(super) fn another<'a>(&self, output: &'a str) -> Option<&'a str> {
        let (_, signature) = output.strip_suffix(')')?.rsplit_once(" (")?;
        let is_another = signature.starts_with(PROCESS) && signature != self.own;
        (is_another && !output.starts_with(EXPIRED)).then_some(signature)
    }

    /// Who else writes, by what the check has now. Two that write at the same moments do not find
    /// each other each time: what was seen counts until it would have lapsed.
    pub(super) fn look(&mut self, output: &str, now: Instant) -> Option<&str> {
        if let Some(another) = self.another(output) {
            self.other = Some((another.to_owned(), now));
        }
        self.other = self.other.take().filter(|(_, at)| now.duration_since(*at) < BEAT_TTL);
        self.other.as_ref().map(|(who, _)| who.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_another_that_lives_has_signed_is_anothers() {
        let mut random = Random::seeded(7);
        let [own, other] = [(); 2].map(|()| Signature::new(&mut random));
        let theirs = other.sign("Sluice serves. (Well.)");
        assert_eq!(own.another(&theirs), Some(other.own.as_str()));
        for output in [
            own.sign("Sluice serves.").as_str(),
            "",
            "Sluice serves.",
            "HTTP GET http://127.0.0.1/: 200 OK (fine)",
            &format!("TTL expired (last output before timeout follows): {theirs}"),
        ] {
            assert_eq!(own.another(output), None, "{output}");
        }
    }

    #[test]
    fn another_is_remembered_for_as_long_as_its_beat_would_last() {
        let mut random = Random::seeded(7);
        let [mut own, other] = [(); 2].map(|()| Signature::new(&mut random));
        let (theirs, ours) = (other.sign("Sluice serves."), own.sign("Sluice serves."));
        let now = Instant::now();
        assert_eq!(own.look(&ours, now), None);
        assert_eq!(own.look(&theirs, now), Some(other.own.as_str()));
        let just_before = now + BEAT_TTL - Duration::from_millis(1);
        assert_eq!(own.look(&ours, just_before), Some(other.own.as_str()));
        assert_eq!(own.look(&ours, now + BEAT_TTL), None);
    }
}
