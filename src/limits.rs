//! Every bound and tuning constant, each with its reason, in one place.
//!
//! What an operator may want to change is a flag, and stands here as its default. What is here
//! and not a flag was measured; the measurement is named.

use std::time::Duration;

// Hellos.

/// A hello must be complete within this time of the accept. A total: progress does not extend
/// it, so a client that sends a byte at a time gains nothing. Envoy's listener-filter timeout.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// Room for a hello while its dial is under way. Browsers' hellos with post-quantum key shares
/// are about 2 KiB; longer ones wait in the socket's receive queue.
pub const HELLO_BUFFER_BYTES: usize = 4096;
/// Hello buffers of a worker: dials under way at once before hellos wait in receive queues.
pub const HELLO_BUFFER_COUNT: u16 = 1024;
/// The longest handshake message taken (RFC 8446 §4 would allow 16 MiB).
pub const HANDSHAKE_BYTES_MAX: usize = 65_536;
/// The longest TLSPlaintext fragment (RFC 8446 §5.1: 2^14).
pub const RECORD_BYTES_MAX: usize = 16_384;
/// What a hello may take on the wire: 64 KiB of handshake, header included, in records of one
/// byte each are six bytes of wire per byte, and the last record may go on beyond the hello.
pub const HELLO_WIRE_BYTES_MAX: usize = 6 * (HANDSHAKE_BYTES_MAX + 4) + RECORD_BYTES_MAX;
/// Hellos fragmented into several records that a worker reassembles at once. Real clients send
/// none; memory is bounded by this times [`HELLO_WIRE_BYTES_MAX`].
pub const REASSEMBLY_COUNT: usize = 16;
/// The longest server name (RFC 1035 §2.3.4).
pub const SERVER_NAME_BYTES_MAX: usize = 255;
/// The longest header of the PROXY protocol taken: with the extensions that proxies send, among
/// them whole names and certificates' subjects, it has a few hundred bytes.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

// Dialing.

/// A connection to an endpoint must stand within this time (Consul's `connect_timeout_ms`).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Endpoints tried for one session before it is refused.
pub const DIAL_ATTEMPTS_MAX: u8 = 3;
/// Consecutive failures after which an endpoint is ejected (Envoy's `consecutive_5xx`).
pub const EJECTION_FAILURES: u32 = 5;
/// How long an endpoint is ejected: this, times the ejections in a row (Envoy's
/// `base_ejection_time`).
pub const EJECTION_BASE: Duration = Duration::from_secs(30);
/// An endpoint is never ejected longer (Envoy's `max_ejection_time`).
pub const EJECTION_MAX: Duration = Duration::from_secs(300);
/// Share of a cluster's endpoints, in percent, below which all of them are dialed alike. 0: only
/// when none is in use; Envoy's 50 sends half of the sessions to what is known to be down.
pub const PANIC_THRESHOLD_PERCENT: u8 = 0;

// Routing.

/// How long a freed cluster or endpoint id still names what it was, for access-log records that
/// are on their way.
pub const ID_REUSE_GRACE: Duration = Duration::from_secs(60);

// Relaying.

/// The buffer that a worker copies small messages through. Messages up to 64 KiB go through in
/// one read; larger ones go by splice anyway.
pub const HOT_BUFFER_BYTES: usize = 65_536;
/// A read of at least this says that splice would have cost less: it does from 4 to 8 KiB on
/// (kernel note 23). The distance to [`COPY_BELOW_BYTES`] is the hysteresis.
pub const SPLICE_FROM_BYTES: usize = 12_288;
/// Reads of that size in a row after which a direction goes over to splice.
pub const SPLICE_AFTER_LARGE_READS: u8 = 2;
/// A wake that moved less than this would have cost less by copy.
pub const COPY_BELOW_BYTES: usize = 4_096;
/// Wakes of that size in a row after which a direction goes back to copy.
pub const COPY_AFTER_SMALL_WAKES: u8 = 4;
/// Capacity of a worker's pipes: 117–136 µs CPU per MiB, against 149–277 with 64 KiB. 1 MiB costs
/// 6 % more with eight streams, and is no better with one (kernel note 21).
pub const PIPE_BYTES: usize = 262_144;
/// Pipes below this are of no use: the hot buffer must fit.
pub const PIPE_BYTES_LEAST: usize = HOT_BUFFER_BYTES;
/// Pipes of a worker, lent and idle. Beyond it directions go by copy, or wait.
pub const PIPE_COUNT: usize = 512;
/// Idle pipes kept for the next use.
pub const PIPE_IDLE_COUNT: usize = 16;
/// What one direction may move in one turn before the others have theirs.
pub const TURN_BUDGET_BYTES: usize = 262_144;

/// Completions handed to a worker in one turn; the rest wait for the next. Larger batches push
/// what they read out of the cache before it is written: 16 KiB messages on 1000 connections
/// cost a fifth less with small ones.
pub const TURN_COMPLETION_COUNT: usize = 256;
/// Connections accepted by epoll in one turn from one listener, before established ones have
/// their turn. The ring bounds its own batches.
pub const TURN_ACCEPT_COUNT: usize = 64;

/// The bytes of a session are told to its cluster's figures in steps of this, a power of two:
/// 64-byte messages pay for it once in a thousand.
pub const TALLY_BYTES: u64 = 65_536;

// Ends.

/// A session on which nothing moved for this long is closed (Envoy's tcp_proxy).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// A session of which one direction has ended is closed when nothing moved for this long.
pub const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(3600);
/// When a connection broke, what it had sent before is still delivered while the other end
/// reads; without progress for this long, no more.
pub const BROKEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a refused client may take to read its alert and close, before it is reset.
pub const LINGER: Duration = Duration::from_secs(1);

// Draining.

/// After SIGTERM, connections are still accepted for this long, while those who route to us
/// learn that we are going.
pub const DRAIN_DELAY: Duration = Duration::from_secs(5);
/// After this, what is still open is closed.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Those closes are spread over this time, so that clients do not return all at once.
pub const DRAIN_SPREAD: Duration = Duration::from_secs(5);

// Workers.

/// A worker that does not turn for this long ends the process: its listener would swallow its
/// share of the connections.
pub const WORKER_STALL: Duration = Duration::from_secs(10);
/// A worker turns at least this often, to show that it lives.
pub const WORKER_TICK: Duration = Duration::from_secs(1);
/// At start, a listener that no process has any more is waited for this long.
pub const ORPHAN_LISTENER_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked for; seen to be gone after 5 to 21 ms.
pub const ORPHAN_LISTENER_POLL: Duration = Duration::from_millis(5);
/// Pending connections of a listener (listen(2)); `net.core.somaxconn` caps it.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Descriptors kept for everything that is not a session: rings, listeners, logs, Consul.
pub const DESCRIPTOR_RESERVE: usize = 128;
/// No slot: the end of a list of slots.
pub const NO_SLOT: u32 = u32::MAX;
/// How long accepting pauses after the system ran out of descriptors or memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Access-log records that may wait for their formatter; more are dropped and counted.
pub const ACCESS_LOG_QUEUE: usize = 4096;
/// Long sessions have lines in the access log at most this often.
pub const ACCESS_LOG_EVERY_LEAST: Duration = Duration::from_secs(1);
/// Pipes take at most one in so many descriptors: they are lent only while bytes are pending.
pub const PIPE_DESCRIPTOR_SHARE: u64 = 16;
/// A worker that may have fewer sessions than this is not worth starting.
pub const SESSION_COUNT_LEAST: u64 = 16;
/// Sessions of a worker, however many descriptors there are: some systems allow a thousand
/// million, and slots are numbered in 32 bits.
pub const SESSION_COUNT_MOST: u64 = 1 << 20;

// Registration with Consul.

/// Consul takes a gateway for dead that was not beaten for this long: one that hangs is avoided
/// after it at the latest.
pub const BEAT_TTL: Duration = Duration::from_secs(15);
/// How often it is beaten: two beats in a row may be lost.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(5);
/// How often the agent looks whether the gateway listens (`consul connect envoy -register`).
pub const LISTENING_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Consul removes a registration that was critical for this long (`consul connect envoy`).
pub const DEREGISTER_AFTER_CRITICAL: Duration = Duration::from_secs(6 * 3600);
/// After a failure the agent is told again within this time, then twice of it, and so on …
pub const REGISTER_RETRY_LEAST: Duration = Duration::from_millis(250);
/// … up to this: an agent that comes back knows the gateway before its check lapses.
pub const REGISTER_RETRY_MOST: Duration = Duration::from_secs(5);
/// The longest answer read. All instances of a service named as the gateway, or all checks of
/// the agent, are a few hundred bytes each.
pub const REGISTER_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the agent holds a question about a definition that does not change.
pub const DEFINITION_WAIT: Duration = Duration::from_secs(60);

const _: () = assert!(3 * BEAT_INTERVAL.as_millis() <= BEAT_TTL.as_millis());
const _: () = assert!(REGISTER_RETRY_LEAST.as_millis() < REGISTER_RETRY_MOST.as_millis());

// Control.

/// How often the builder looks after its source: stat(2) of a routes file, or whether there is
/// something to save.
pub const SOURCE_POLL: Duration = Duration::from_millis(500);
/// A file changed more recently than this may change again within the same timestamp, and is
/// read again. Timestamps of Linux filesystems are at worst two seconds coarse.
pub const ROUTES_SETTLE: Duration = Duration::from_secs(2);
/// The longest routes file read.
pub const ROUTES_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The longest configuration file read: each flag on a line is 3 KiB.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How often host names in endpoints are resolved again.
pub const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a start waits for host names before it goes on with those it has.
pub const RESOLVE_AT_START: Duration = Duration::from_secs(5);
/// How often control looks after the workers.
pub const OVERSEE_TICK: Duration = Duration::from_secs(1);
/// While the gateway starts or ends, the service manager is asked every [`OVERSEE_TICK`] to wait
/// this long: a host under load may be late, and one that hangs is found out all the same.
pub const SERVICE_MANAGER_PATIENCE: Duration = Duration::from_secs(30);
/// At most one line per reason in this time tells of refusals.
pub const REFUSAL_SUMMARY: Duration = Duration::from_secs(10);
/// Slots that a worker looks at in one turn for whoever lists its sessions: 55 µs, most of it for
/// asking the kernel for the client's address, without an access log (110 µs for 128, with 4000
/// sessions on a busy machine).
pub const SURVEY_SLOT_COUNT: u32 = 64;
/// The time between two such questions. With the timer's own coarseness, listing takes a worker a
/// fiftieth of its time while it lasts.
pub const SURVEY_PAUSE: Duration = Duration::from_millis(1);
/// Slots that one page of sessions is looked for in; where it ends, the next one begins. Two or
/// three seconds, of the ten that a request has.
pub const SURVEY_PAGE_SLOT_COUNT: u32 = 65_536;
/// Sessions on one page at most,
pub const SURVEY_PAGE_MAX: usize = 1000;
/// and unless asked for more.
pub const SURVEY_PAGE: usize = 100;
/// How long a worker may take to answer: a turn takes milliseconds at worst.
pub const SURVEY_PATIENCE: Duration = Duration::from_secs(2);
/// Records of refusals that may wait until control takes them, once a second; more are left out.
pub const REFUSAL_QUEUE: usize = 32;
/// Refusals of each reason that are remembered for whoever asks why.
pub const REFUSALS_KEPT: usize = 8;
/// Lines of the log that are remembered for whoever asks what happened.
pub const EVENTS_KEPT: usize = 256;
/// The rest of a longer one is left out.
pub const EVENT_BYTES_MAX: usize = 1024;
/// How often the access log is written.
pub const ACCESS_LOG_TICK: Duration = Duration::from_millis(50);
/// How often it is looked at while nothing comes. A worker may then begin with 20,000 sessions a
/// second: [`ACCESS_LOG_QUEUE`] holds them until they are taken.
pub const ACCESS_LOG_TICK_IDLE: Duration = Duration::from_millis(200);
/// How long the Consul agent may take to be told that the gateway leaves.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// How long workers may take to end, beyond what they were given, before they are stopped.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// Connections that the admin HTTP server takes at once: they come out of the reserve.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;
/// How long one of them may take, from accept to the end of its one answer. A total: whoever
/// sends or reads a byte at a time gains nothing.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request. Bodies are not read at all. The least that hyper knows.
pub const ADMIN_HEAD_BYTES_MAX: usize = 8192;
/// The headers that a request may have. hyper's own bound.
pub const ADMIN_HEADER_COUNT_MAX: usize = 100;
/// What is read and thrown away behind a request that cannot be read, so that its sender gets the
/// answer; who sends more does not want one.
pub const ADMIN_UNREAD_BYTES_MAX: u64 = 1 << 18;
/// How long a gateway that starts waits for others that look at sockets in the same folder, which
/// takes them microseconds.
pub const ADMIN_SOCKET_LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long until it looks again.
pub const ADMIN_SOCKET_LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How often an address that metrics are wanted at is tried again while it cannot be had.
pub const SCRAPE_BIND_RETRY: Duration = Duration::from_secs(5);
/// Clusters that metrics have series of: ten each, of 200 bytes.
pub const METRICS_CLUSTER_COUNT: usize = 1000;
/// A cluster without traffic for longer than this, and without a session, has no series.
pub const METRICS_TRAFFIC_WINDOW: Duration = Duration::from_secs(3600);
/// A text that is the value of a label is cut after so many bytes: reasons are, names never.
pub const METRICS_LABEL_BYTES_MAX: usize = 512;
/// What a regular expression of `/stats?filter=` may become in memory.
pub const STATS_FILTER_BYTES_MAX: usize = 1 << 20;

/// Routes that the dashboard lists at once: people search for others.
pub const DASHBOARD_ROUTES_MAX: usize = 50;
/// Endpoints of a route that it lists.
pub const DASHBOARD_ENDPOINTS_MAX: usize = 8;
/// Gateways of a datacenter that it draws.
pub const DASHBOARD_GATEWAYS_MAX: usize = 16;
/// Services of a datacenter that it names.
pub const DASHBOARD_BUSIEST_MAX: usize = 6;
/// Services of a datacenter that it names because something of them is not healthy.
pub const DASHBOARD_AILING_MAX: usize = 6;
/// Notes on what no route can be made of that it lists.
pub const DASHBOARD_NOTES_MAX: usize = 20;
/// Events that it lists.
pub const DASHBOARD_EVENTS_MAX: usize = 60;

// Asking a gateway.

/// How often `sluice sessions --follow` looks.
pub const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Sessions that `sluice sessions` and `sluice debug` take at most: 30 MB.
pub const FOLLOW_SESSIONS_MAX: usize = 100_000;
/// How often `sluice drain --wait` looks.
pub const DRAIN_WAIT_INTERVAL: Duration = Duration::from_millis(500);

// Consul.

/// A connection to the local agent must stand within this time.
pub const AGENT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections to it that are kept while nothing is asked on them: what is told it, and what is
/// asked now and then in turn, need one each. With the six questions that are held, that is eight;
/// and one for each other datacenter that is asked. An agent allows a host 200.
pub const AGENT_IDLE_CONNECTIONS: usize = 2;
/// The agent must have answered to what it is told within this time: a server without a leader
/// says so after up to 7 s (`rpc_hold_timeout`).
pub const AGENT_PUT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the token file is read although nothing is asked: 20 µs each time.
pub const TOKEN_POLL: Duration = Duration::from_secs(1);
/// The longest body of the agent's that is no data: a reason for a refusal.
pub const AGENT_REFUSAL_BYTES_MAX: usize = 65_536;
/// The longest answer taken from the agent. 5,000 services with sidecars are about 6 MB.
pub const AGENT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What is unpacked and hashed of an answer before the control thread does something else: 0.2 ms.
pub const AGENT_SLICE_BYTES: usize = 65_536;
/// How long the agent holds a question about which there is nothing new. Short, because an index
/// can go backwards, and then only this bounds how long nothing is heard.
pub const AGENT_WAIT: Duration = Duration::from_secs(30);
/// Beyond that and the sixteenth that Consul adds at random, this is how long an answer may take.
pub const AGENT_ANSWER_MARGIN: Duration = Duration::from_secs(15);
/// How often is asked what cannot be waited for; Consul itself keeps datacenters for as long.
pub const AGENT_POLL: Duration = Duration::from_secs(30);
/// Everything is read again this often, whatever the indexes say.
pub const AGENT_RESYNC: Duration = Duration::from_secs(300);
/// The time between two questions about the same is at least this: where 100 services change 20
/// times a second, one that asks every 0.1 s costs twice what an Envoy costs (kernel note 27),
pub const AGENT_GAP_LEAST: Duration = Duration::from_millis(300);
/// and grows with the answer up to this: the table must follow a change within 1 s.
pub const AGENT_GAP_MOST: Duration = Duration::from_millis(800);
/// Those of the catalog, which costs most, and of which what must be known soonest, checks that
/// turn critical, is asked for alone.
pub const AGENT_CATALOG_GAP_LEAST: Duration = Duration::from_millis(600);
/// A datacenter of thousands of services that change all the time is read this often.
pub const AGENT_CATALOG_GAP_MOST: Duration = Duration::from_secs(3);
/// By this much for each KiB: 1,000 services are 1.1 MB, which costs the agent 56 ms; once in
/// half a second is a tenth of a core.
pub const AGENT_GAP_PER_KIB: Duration = Duration::from_micros(500);
/// The first pause after a failure,
pub const AGENT_BACKOFF_LEAST: Duration = Duration::from_millis(100);
/// which doubles up to this.
pub const AGENT_BACKOFF_MOST: Duration = Duration::from_secs(30);
/// An answer of a server that has not heard from its leader for longer than this is not taken.
pub const AGENT_LAST_CONTACT_MAX: Duration = Duration::from_secs(10);
/// Other datacenters that are asked for their gateways themselves: each takes one of the 200
/// connections that an agent allows to a host. Of more, the federation states tell.
pub const AGENT_ELSEWHERE_MAX: usize = 32;
/// Nodes that are asked for at once where there is no question for all of them: one connection more
/// than otherwise, nine.
pub const AGENT_NODES_AT_ONCE: usize = 2;
/// At most one line in this time tells that a part fails, or is well again.
pub const AGENT_NEWS_INTERVAL: Duration = Duration::from_secs(10);

/// An answer that removes most services, or all gateways of a datacenter, is held for this long
/// before it is read again and believed: a token that lost its rights is answered with empty
/// lists.
pub const HOLD: Duration = Duration::from_secs(60);
/// Fewer services than this may go at once: small clusters lose half of what they have by hand.
pub const HOLD_SERVICES_LEAST: usize = 10;
/// Instances in one table: terminating gateways serve every service they are linked to, so a
/// catalog can mean far more of them than it has.
pub const CONSUL_INSTANCES_MAX: usize = 1 << 20;
/// Notes on what was left out of a table: nobody reads more.
pub const CONSUL_NOTES_MAX: usize = 100;
/// The longest filter of a subset. Those that people write have a hundred bytes.
pub const FILTER_BYTES_MAX: usize = 8192;
/// Parentheses and `not`s within each other. Reading them takes Consul four times as long for
/// each pair of parentheses: eight take it more than a second.
pub const FILTER_DEPTH_MAX: usize = 64;
/// What one regular expression of a filter may become in memory.
pub const FILTER_PATTERN_BYTES_MAX: usize = 1 << 20;
/// How often a definition that says what to accept on is asked for while it is not there.
pub const DEFINITION_RETRY: Duration = Duration::from_secs(1);
/// How often the answers in force are saved at most.
pub const STATE_SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// How often they are saved although nothing changed, so that their age tells how long Consul has
/// not been heard of.
pub const STATE_CONFIRM_INTERVAL: Duration = Duration::from_secs(600);
/// The longest state file read.
pub const STATE_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// A temporary state file older than this was left by a process that died.
pub const STATE_LEFTOVER_AGE: Duration = Duration::from_secs(3600);

// The doctor.

/// How long Consul may take to answer a question of the doctor's. A datacenter that cannot be
/// reached shows after the 7 s of `rpc_hold_timeout`.
pub const DOCTOR_PATIENCE: Duration = Duration::from_secs(10);
/// Datacenters that are asked at once: their servers are far away, and an agent allows a host 200
/// connections.
pub const DOCTOR_DATACENTERS_AT_ONCE: usize = 16;
/// Agents are looked for behind one address this many times: an even spread over two shows with
/// 15 of 16.
pub const DOCTOR_AGENT_LOOKS: usize = 5;
/// Threads that resolve host names: a resolver that does not answer takes its time for each.
pub const DOCTOR_RESOLVERS: usize = 16;
/// How long host names may take in all.
pub const DOCTOR_HOSTS_TIME: Duration = Duration::from_secs(30);
/// Endpoints that are dialed at once: a quarter of the 1024 descriptors that most shells allow.
pub const DOCTOR_DIALS_AT_ONCE: usize = 256;
/// How long dialing may take in all. 5,000 endpoints that drop what is sent to them take 100 s.
pub const DOCTOR_DIALS_TIME: Duration = Duration::from_secs(120);

// The comparison with an Envoy.

/// The longest answer read of its admin server: 5,000 services are about 30 MB.
pub const ENVOY_ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// How long an answer may take: Envoy writes it on one thread, between other things.
pub const ENVOY_PATIENCE: Duration = Duration::from_secs(30);
/// What differs is looked at again after this time: a change of Consul's is in both within it.
pub const DIFF_AGAIN_AFTER: Duration = Duration::from_secs(1);

const _: () = assert!(SURVEY_PAGE_SLOT_COUNT.is_multiple_of(SURVEY_SLOT_COUNT));
const _: () = assert!(ADMIN_CONNECTIONS_MAX < DESCRIPTOR_RESERVE / 2);
const _: () = assert!(PIPE_BYTES_LEAST >= HOT_BUFFER_BYTES, "a short send must fit in a pipe");
const _: () = assert!(PIPE_BYTES >= PIPE_BYTES_LEAST);
const _: () = assert!(HELLO_BUFFER_BYTES <= HOT_BUFFER_BYTES);
const _: () = assert!(COPY_BELOW_BYTES < SPLICE_FROM_BYTES, "modes must not alternate");
const _: () = assert!(SPLICE_FROM_BYTES <= HOT_BUFFER_BYTES, "no read is larger");
const _: () = assert!(RECORD_BYTES_MAX + 5 <= HOT_BUFFER_BYTES, "a peeked record must fit");
const _: () = assert!(PROXY_HEADER_BYTES_MAX <= HOT_BUFFER_BYTES, "peeked at in one go");
const _: () = assert!(PIPE_IDLE_COUNT <= PIPE_COUNT);
const _: () = assert!(TALLY_BYTES.is_power_of_two());
const _: () = assert!(METRICS_LABEL_BYTES_MAX > SERVER_NAME_BYTES_MAX, "names stay different");
const _: () = assert!(AGENT_GAP_LEAST.as_millis() <= AGENT_GAP_MOST.as_millis());
const _: () = assert!(AGENT_GAP_MOST.as_millis() < 1000, "a change must show within 1 s");
