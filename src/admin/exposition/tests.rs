use std::panic::catch_unwind;
use std::time::Duration;

use super::reader::read;
use super::{Format, Kind, Page, canonical};

fn page(format: Format) -> String {
    let mut page = Page::new(format);
    page.counter("sluice_things_total", "Things.", 3_u64);
    page.gauge("sluice_age_seconds", "Age.", Duration::from_millis(1500));
    page.family("sluice_kinds", Kind::Gauge, "").sample(&[("kind", "a\\b\"c\nd")], true);
    page.family("sluice_none", Kind::Gauge, "Nothing yet.");
    let up_to = [(Duration::from_micros(64), 1), (Duration::from_micros(1 << 20), 4)];
    page.family("sluice_time_seconds", Kind::Histogram, "Times.").histogram(
        &up_to,
        5,
        Duration::from_secs(9),
    );
    page.finish()
}

#[test]
fn both_formats_say_the_same_each_in_its_way() {
    let text = page(Format::Text);
    assert_eq!(
        text,
        "# TYPE sluice_things_total counter\n\
         # HELP sluice_things_total Things.\n\
         sluice_things_total 3\n\
         # TYPE sluice_age_seconds gauge\n\
         # HELP sluice_age_seconds Age.\n\
         sluice_age_seconds 1.5\n\
         # TYPE sluice_kinds gauge\n\
         sluice_kinds{kind=\"a\\\\b\\\"c\\nd\"} 1\n\
         # TYPE sluice_none gauge\n\
         # HELP sluice_none Nothing yet.\n\
         # TYPE sluice_time_seconds histogram\n\
         # HELP sluice_time_seconds Times.\n\
         sluice_time_seconds_bucket{le=\"6.4e-05\"} 1\n\
         sluice_time_seconds_bucket{le=\"1.048576\"} 4\n\
         sluice_time_seconds_bucket{le=\"+Inf\"} 5\n\
         sluice_time_seconds_sum 9\n\
         sluice_time_seconds_count 5\n"
    );
    let open_metrics = page(Format::OpenMetrics);
    assert!(open_metrics.contains("# TYPE sluice_things counter\n"), "{open_metrics}");
    assert!(open_metrics.contains("\nsluice_things_total 3\n"), "{open_metrics}");
    assert!(open_metrics.contains("# UNIT sluice_age_seconds seconds\n"), "{open_metrics}");
    assert_eq!(read(&text, Format::Text).len(), 5);
    assert_eq!(read(&open_metrics, Format::OpenMetrics).len(), 5);
}

#[test]
fn the_reader_of_tests_takes_nothing_wrong() {
    for wrong in [
        "a 1\n",
        "# TYPE a gauge\na 1",
        "# TYPE a gauge\na 1\na 1\n",
        "# TYPE a gauge\na one\n",
        "# TYPE a gauge\nb 1\n",
        "# TYPE a gauge\n# TYPE a gauge\n",
        "# TYPE a gauge\na{b=\"c} 1\n",
        "# TYPE a gauge\na{b=\"\\x\"} 1\n",
        "# TYPE a gauge\na{1=\"\"} 1\n",
        "# TYPE a gauge\na{b=\"\",b=\"\"} 1\n",
        "# TYPE 1a gauge\n",
        "# TYPE a gauge\na{le=\"1\"} 1\n# HELP a late\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_sum 1\na_count 2\n",
        "# EOF\n",
    ] {
        assert!(catch_unwind(|| read(wrong, Format::Text)).is_err(), "{wrong}");
    }
    for wrong in ["", "# TYPE a_total counter\na_total 1\n# EOF\n", "# TYPE a gauge\na 1\n"] {
        assert!(catch_unwind(|| read(wrong, Format::OpenMetrics)).is_err(), "{wrong}");
    }
}

#[test]
fn the_format_is_the_one_that_is_preferred() {
    use Format::{OpenMetrics, Text};
    // What Prometheus 2.42 and 3.0 send.
    let old = "application/openmetrics-text;version=1.0.0,\
               application/openmetrics-text;version=0.0.1;q=0.75,\
               text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
               text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
    for (accept, format) in [
        (old, OpenMetrics),
        (new, OpenMetrics),
        ("", Text),
        ("*/*", Text),
        ("text/html, */*;q=0.8", Text),
        ("application/openmetrics-text", OpenMetrics),
        ("Application/OpenMetrics-Text; q=1", OpenMetrics),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.4", Text),
        ("application/openmetrics-text;q=0", Text),
        (",;,q=,;;q=x", Text),
    ] {
        assert_eq!(Format::preferred(accept), format, "{accept}");
    }
}

#[test]
fn bounds_are_written_as_go_writes_them() {
    for (seconds, written) in
        [(0.000_032, "3.2e-05"), (0.000_001, "1e-06"), (0.000_128, "0.000128"), (1.5, "1.5")]
    {
        assert_eq!(canonical(seconds), written);
    }
}

#[test]
fn a_reason_is_cut_and_a_name_is_not() {
    let cut = |text: &str| {
        let mut page = Page::new(Format::Text);
        page.family("a", Kind::Gauge, "").sample(&[("b", text)], 1_u64);
        page.finish().split('"').nth(1).unwrap().to_owned()
    };
    let name = "n".repeat(255);
    assert_eq!(cut(&name), name);
    let reason = "\u{20ac}".repeat(1000);
    let kept = cut(&reason);
    assert!(reason.starts_with(&kept) && (500..=512).contains(&kept.len()), "{}", kept.len());
}
