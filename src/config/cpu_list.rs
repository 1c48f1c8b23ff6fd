//! Lists of CPUs as Linux writes them: `0-3,6`.

/// What was expected of a list.
pub const EXPECTED: &str = "a list of CPUs such as 0-3,6";

/// CPUs that Linux could number (`CPU_SETSIZE`).
const CPU_COUNT_MAX: usize = 1024;

/// The CPUs of a list, in its order. `None` if it is malformed, names a CPU twice, or runs
/// backwards.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        for cpu in first..=last {
            if cpus.contains(&cpu) {
                return None;
            }
            cpus.push(cpu);
        }
    }
    Some(cpus)
}

/// Writes a list as Linux does; the reverse of [`parse`] for ascending lists.
#[must_use]
pub fn format(cpus: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(cpu) => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let parts = ranges.iter().map(|&(first, last)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    });
    parts.collect::<Vec<_>>().join(",")
}

fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let cpu = digits.then(|| text.parse::<usize>().ok()).flatten()?;
    (cpu < CPU_COUNT_MAX).then_some(cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_ranges() {
        assert_eq!(parse("0-3,6"), Some(vec![0, 1, 2, 3, 6]));
        assert_eq!(parse("6,2"), Some(vec![6, 2]));
        assert_eq!(format(&[0, 1, 2, 3, 6]), "0-3,6");
        assert_eq!(format(&[]), "");
    }

    #[test]
    fn refuses_the_malformed_the_double_and_the_impossible() {
        for text in ["", ",", "1,", "a", "+1", "3-1", "1-", "-1", "0-2,1", "1024", "0-99999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
