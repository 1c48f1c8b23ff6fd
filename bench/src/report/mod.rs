//! Results for people: Markdown, and one page of HTML that stands by itself.

mod chart;
mod hgrm;
mod html;
mod markdown;

pub(crate) use hgrm::write_all as write_hgrm;
pub(crate) use html::html;
pub(crate) use markdown::markdown;

/// A number with as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 10_000.0 => thousands(value),
        v if v >= 100.0 || value == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// 1234567 as 1,234,567.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let written = [1_234_567.0, 12_345.4, 123.4, 12.34, 1.234, 0.0, -0.5].map(number);
        assert_eq!(written, ["1,234,567", "12,345", "123", "12.3", "1.23", "0", "-0.50"]);
    }
}
