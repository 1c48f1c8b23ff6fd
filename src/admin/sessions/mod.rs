//! `/sessions`: the live sessions, a page at a time.
//!
//! The workers are asked one after the other, slot by slot. A session stays in its slot, so each
//! that lives from the first page to the last is on one of them, and none is on two; one that
//! comes or goes meanwhile may be on one or on none.

use std::sync::Arc;

use axum::extract::{Query, State};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::complaint::Complaint;
use super::context::{Context, Written, write_apart};
use crate::control::shared::Shared;
use crate::dataplane::survey::{Moves, Sighting};
use crate::kernel::Tick;
use crate::limits::{SURVEY_PAGE_SLOT_COUNT, SURVEY_PAUSE, SURVEY_SLOT_COUNT};
use crate::listing;
use crate::sys::process;

mod filter;

use filter::{Place, Question, Wanted};

/// The sessions that are asked for.
pub(super) async fn page(
    State(context): State<Arc<Context>>,
    Query(question): Query<Question>,
) -> Result<Written, Complaint> {
    let is_text = match question.format.as_deref() {
        None | Some("json") => false,
        Some("text") => true,
        Some(other) => return Err(Complaint::parameter("format", other, "json or text")),
    };
    let wanted = Wanted::parse(&question)?;
    let page = Page::collect(&context, &wanted).await?;
    write_apart(context, move |context| {
        let page = page.describe(context.shared());
        match is_text {
            true => Written::plain(listing::sessions::page(&page)),
            false => Written::json(&page),
        }
    })
    .await
}

struct Page {
    sessions: Vec<Session>,
    /// Where the next page begins, if there is one.
    next: Option<Place>,
    now: Tick,
}

struct Session {
    worker: usize,
    sighting: Sighting,
    name: Option<Box<str>>,
    cluster: Option<Arc<str>>,
}

impl Page {
    /// Asks the workers until the page is full, or enough was looked at.
    async fn collect(context: &Context, wanted: &Wanted) -> Result<Self, Complaint> {
        let _turn = context.asking.acquire().await;
        let now = Tick(process::monotonic_us());
        let mut page = Self { sessions: Vec::new(), next: None, now };
        let mut at = wanted.from;
        for _ in 0..SURVEY_PAGE_SLOT_COUNT / SURVEY_SLOT_COUNT {
            let Some(asker) = context.insight.workers.get(at.worker) else { return Ok(page) };
            let stats = context.shared().workers.get(at.worker);
            let is_empty = stats.is_none_or(|stats| stats.sessions.get() == 0);
            if is_empty || !wanted.has_worker(at.worker) {
                at = Place { worker: at.worker.saturating_add(1), slot: 0 };
                continue;
            }
            let found = asker.sessions(at.slot).await;
            let found = found.ok_or_else(|| Complaint::unavailable("a worker does not answer"))?;
            for (sighting, name) in found.sessions() {
                if page.sessions.len() >= wanted.count_max {
                    page.next = Some(Place { slot: sighting.slot, ..at });
                    return Ok(page);
                }
                let cluster = sighting.cluster.and_then(|id| context.insight.directory.cluster(id));
                if wanted.has(sighting, name, cluster.as_deref(), now) {
                    let (worker, sighting, name) = (at.worker, *sighting, name.map(Box::from));
                    page.sessions.push(Session { worker, sighting, name, cluster });
                }
            }
            at = match found.next_slot {
                Some(slot) => Place { slot, ..at },
                None => Place { worker: at.worker.saturating_add(1), slot: 0 },
            };
            // Its sessions come first.
            sleep(SURVEY_PAUSE).await;
        }
        page.next = Some(at);
        Ok(page)
    }

    fn describe(&self, shared: &Shared) -> Value {
        let sessions = self.sessions.iter().map(|session| session.describe(shared, self.now));
        json!({
            "sessions": sessions.collect::<Vec<_>>(),
            "next": self.next.map(|place| place.to_string()),
        })
    }
}

impl Session {
    fn describe(&self, shared: &Shared, now: Tick) -> Value {
        let Self { worker, sighting, name, cluster } = self;
        let by = |moves| match moves {
            Moves::ByCopy => "copy",
            Moves::BySplice => "splice",
        };
        json!({
            "id": format!("{worker}.{}.{}", sighting.slot, sighting.generation),
            "worker": worker,
            "stands": sighting.stands.name(),
            "sni": name,
            "cluster": cluster.as_deref(),
            "source": sighting.downstream_peer,
            "listener": shared.addresses.get(usize::from(sighting.listener)),
            "endpoint": sighting.upstream_peer,
            "age_s": seconds(now.since_us(sighting.accepted_at)),
            "idle_s": seconds(now.since_us(sighting.active_at)),
            "hello_us": sighting.hello_us,
            "connect_us": sighting.connect_us,
            "attempts": sighting.attempt_count,
            "bytes_up": sighting.bytes_up,
            "bytes_down": sighting.bytes_down,
            "up_by": sighting.moves.map(|(up, _)| by(up)),
            "down_by": sighting.moves.map(|(_, down)| by(down)),
        })
    }
}

/// To the millisecond.
#[allow(clippy::cast_precision_loss, reason = "as many milliseconds as no uptime has")]
fn seconds(us: u64) -> f64 {
    (us / 1000) as f64 / 1000.0
}
