"use strict";
// Whatever comes from elsewhere becomes text and never markup: names are chosen by strangers.
const POLL_MS = 2000, POINTS = 60;
const byId = (id) => document.getElementById(id);

// Makes an element of properties and children.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in element) element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
function fill(element, children) { element.replaceChildren(...children); }
function say(id, text) { const it = byId(id); if (it.textContent !== text) it.textContent = text; }

// Numbers for people.
function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) { count /= 1024; at += 1; }
  return `${count.toFixed(at > 0 && count < 100 ? 1 : 0)} ${units[at]}`;
}
const perSecond = (count) => `${count < 10 && count > 0 ? count.toFixed(1) : Math.round(count)}/s`;
const many = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
function ago(seconds) {
  if (seconds < 2) return "now";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

// Charts.
const SVG = "http://www.w3.org/2000/svg";
function path(d, kind) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("d", d);
  element.setAttribute("class", kind);
  return element;
}
function chart(id, lines) {
  const svg = byId(id), most = Math.max(1e-9, ...lines.flatMap(([points]) => points));
  svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  fill(svg, lines.flatMap(([points, kind]) => {
    if (points.length < 2) return [];
    const first = POINTS - points.length;
    const at = points.map((value, index) =>
      `${first + index} ${(97 - (value / most) * 92).toFixed(1)}`);
    const line = `M${at.join("L")}`;
    return [path(`${line}L${POINTS - 1} 100L${first} 100Z`, `area ${kind}`), path(line, kind)];
  }));
}

// What is shown is the difference between two answers.
let before = null;
const history = { up: [], down: [], sessions: [], accepted: [], refused: [] };
function keep(name, value) {
  history[name].push(value);
  if (history[name].length > POINTS) history[name].shift();
}
// How much a counter grew in a second; nothing while there is no earlier answer.
function rates(now) {
  if (!before || now.gateway.started !== before.gateway.started) return () => 0;
  const seconds = Math.max(0.001, (now.now_us - before.now_us) / 1e6);
  return (value, earlier) => Math.max(0, ((value ?? 0) - (earlier ?? value ?? 0)) / seconds);
}

function show(now) {
  const rate = rates(now);
  const was = before ?? now;
  showState(now);
  showTiles(now, was, rate);
  showMap(now, was, rate);
  showRefusals(now);
  showWorkers(now, was, rate);
  showEvents(now.events);
  showNotes(now.table);
  const changed = !before || before.table.version !== now.table.version;
  before = now;
  if (changed || Date.now() - searchedAt > 3 * POLL_MS) search();
}

function showState({ gateway, table }) {
  const states = {
    ready: ["good", "ready"],
    starting: ["warn", "starting"],
    "no routes": ["warn", "waits for routes"],
    failed: ["warn", "told to fail its health check"],
    draining: ["warn", gateway.accepting ? "draining: still accepts" : "draining: accepts no more"],
  };
  const [kind, text] = states[gateway.state] ?? ["warn", gateway.state];
  byId("state").className = `pill ${kind}`;
  say("state", text);
  say("service", gateway.service);
  say("facts", `${gateway.version} · ${gateway.engine} · ${many(gateway.workers, "worker")} · up `
    + `${ago(gateway.uptime_s)} · ${gateway.addresses.join(" ")}`);
  const warnings = [];
  if (gateway.engine_fallback) warnings.push(`It forwards with epoll: ${gateway.engine_fallback}.`);
  if (table.behind_s !== null && table.behind_s !== undefined) {
    warnings.push(`Consul has not answered for ${ago(table.behind_s)}; traffic flows by its last `
      + "answers.");
  }
  for (const part of table.failing) warnings.push(`${part.part}: ${part.reason}`);
  if (table.restored) warnings.push(table.restored);
  if (table.registration && table.registration !== "passing") {
    warnings.push(`Its registration with Consul: ${table.registration}.`);
  }
  for (const held of table.held) {
    warnings.push(`An answer of Consul's is held back (${held}): all of that is still routed. Consul is `
      + "asked again within a minute, and believed if it says the same; `sluice routes accept` "
      + "believes it now.");
  }
  byId("warning").hidden = warnings.length === 0;
  fill(byId("warning"), warnings.map((warning) => make("p", {}, ...withCode(warning))));
}

function showTiles(now, was, rate) {
  const growth = (name) => rate(now.totals[name], was.totals[name]);
  const up = growth("bytes_up"), down = growth("bytes_down");
  const accepted = growth("accepted"), refused = growth("refused");
  if (before) {
    keep("up", up); keep("down", down); keep("accepted", accepted); keep("refused", refused);
  }
  keep("sessions", now.totals.sessions);
  say("throughput", `${bytes(up + down)}/s`);
  say("rate-up", `${bytes(up)}/s`);
  say("rate-down", `${bytes(down)}/s`);
  say("sessions", now.totals.sessions.toLocaleString("en"));
  say("capacity", `of at most ${now.gateway.capacity.toLocaleString("en")}`);
  say("accepted", perSecond(accepted));
  const { p50, p99 } = now.times.dial;
  const told = (us) => (us < 1000 ? `${us} µs` : `${Math.round(us / 1000)} ms`);
  say("dials", p50 === undefined ? `${many(now.totals.accepted, "connection")} so far`
    : `dialed on in ${told(p50)}, 99 % in ${told(p99)}`);
  say("refused", perSecond(refused));
  say("refused-total", `${now.totals.refused.toLocaleString("en")} since the start`);
  chart("chart-bytes", [[history.down, "line-down"], [history.up, "line-up"]]);
  chart("chart-sessions", [[history.sessions, "line-up"]]);
  chart("chart-accepted", [[history.accepted, "line-up"]]);
  chart("chart-refused", [[history.refused, "line-bad"]]);
}

// The picture.
function health(place) {
  const { healthy, critical, ejected } = place.endpoints;
  if (place.refused) return ["bad", place.refused];
  if (place.is_here && place.services === 0) return ["warn", "no services here"];
  if (healthy + critical + ejected === 0) return ["bad", "nothing to connect to"];
  if (healthy === 0) return ["bad", "nothing healthy"];
  if (critical + ejected > 0) return ["warn", "partly healthy"];
  return ["good", "healthy"];
}
function member({ address, healthy, ejected, active }) {
  const [kind, mark, said] = !healthy ? ["bad", "✕", "critical"]
    : ejected ? ["warn", "!", "left aside after failures"] : ["good", "✓", ""];
  return make("li", {}, make("span", { className: `mark ${kind}` }, mark), ` ${address}`,
    make("span", { className: "quiet" }, `${said && ` ${said}`} · ${many(active, "session")}`));
}
function ail({ name, healthy, endpoints }) {
  const [kind, mark] = healthy === 0 ? ["bad", "✕"] : ["warn", "!"];
  return make("li", {}, make("span", { className: `mark ${kind}` }, mark), ` ${name}`,
    make("span", { className: "quiet" }, ` ${healthy} of ${endpoints} healthy`));
}
function placeName(place) {
  if (place.name === null) return "Other routes";
  return place.is_here ? `Services here, in ${place.name}` : `Datacenter ${place.name}`;
}
function placeNode(place, up, down) {
  const [kind, said] = health(place);
  const { healthy, critical, ejected } = place.endpoints;
  const counts = place.gateways === null
    ? `${many(place.services, "service")}, ${healthy} of ${healthy + critical + ejected} instances healthy`
    : `${healthy} of ${many(healthy + critical + ejected, "gateway")} healthy`;
  const members = (place.gateways ?? []).map(member);
  const busiest = (place.busiest ?? []).map(({ name, sessions }) =>
    make("li", {}, name, make("span", { className: "quiet" }, ` · ${many(sessions, "session")}`)));
  const left = place.ailing_count - place.ailing.length;
  const ailing = [...place.ailing.map(ail), ...(left > 0 ? [make("li", { className: "quiet" },
    `and ${many(left, "more", "more")}`)] : [])];
  const node = make("li", { className: `node ${kind}` },
    make("h3", {}, placeName(place)),
    make("p", { className: "quiet" }, make("span", { className: `mark ${kind}` }, said),
      place.refused ? "" : ` · ${counts}`,
      ` · ${many(place.sessions, "session")} · ${bytes(up)}/s there, ${bytes(down)}/s back`),
    members.length + ailing.length + busiest.length > 0
      ? make("ul", { className: "members" }, ...members, ...ailing, ...busiest) : null);
  node.dataset.flow = String(up + down);
  node.dataset.kind = kind;
  return node;
}
function showMap(now, was, rate) {
  const earlier = new Map(was.places.map((place) => [place.name, place]));
  const nodes = now.places.map((place) => {
    const past = earlier.get(place.name);
    return placeNode(place, rate(place.bytes_up, past?.bytes_up),
      rate(place.bytes_down, past?.bytes_down));
  });
  fill(byId("here"), [
    make("h3", {}, "This gateway"),
    make("p", { className: "quiet" }, now.gateway.addresses.join(" ")),
    make("p", { className: "quiet" }, `${many(now.totals.sessions, "session")} · `
      + `${many(now.table.routes, "route")} ${now.table.from}`),
  ]);
  fill(byId("places"), nodes.length ? nodes
    : [make("li", { className: "node warn" }, make("h3", {}, "No routes yet"))]);
  drawLinks();
}
function drawLinks() {
  const map = byId("map").getBoundingClientRect(), here = byId("here").getBoundingClientRect();
  const isNarrow = byId("places").getBoundingClientRect().top >= here.bottom;
  fill(byId("links"), [...byId("places").children].flatMap((node) => {
    const box = node.getBoundingClientRect();
    const y = box.top - map.top + Math.min(28, box.height / 2), x = box.left - map.left;
    const fromX = isNarrow ? 12 : here.right - map.left;
    const fromY = isNarrow ? here.bottom - map.top : here.top - map.top + here.height / 2;
    const middle = (fromX + x) / 2;
    const d = isNarrow ? `M${fromX} ${fromY}V${y}H${x}`
      : `M${fromX} ${fromY}C${middle} ${fromY} ${middle} ${y} ${x} ${y}`;
    const flow = Number(node.dataset.flow);
    const width = 2 + Math.min(7, Math.log10(1 + flow / 1000) * 1.6);
    const line = path(d, node.dataset.kind === "bad" ? "broken" : "line");
    line.setAttribute("stroke-width", node.dataset.kind === "bad" ? "2" : width.toFixed(1));
    if (!(flow > 0)) return [line];
    const moving = path(d, "flow");
    moving.setAttribute("stroke-width", Math.max(2, width - 1).toFixed(1));
    return [line, moving];
  }));
}
addEventListener("resize", drawLinks);

// What stands between backticks is to be typed.
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}
// The same again is one line.
function grouped(refusals) {
  const groups = new Map();
  for (const one of refusals) {
    const key = JSON.stringify([one.reason, one.sni, one.detail, one.endpoint]);
    const group = groups.get(key) ?? { ...one, count: 0 };
    group.count += 1;
    groups.set(key, group);
  }
  return [...groups.values()];
}
function showRefusals({ refusals, reasons }) {
  byId("no-refusals").hidden = reasons.length > 0;
  fill(byId("reasons"), reasons.map(({ reason, count }) =>
    make("span", { className: "bad" }, `${reason} ${count.toLocaleString("en")}`)));
  byId("refusals").hidden = refusals.length === 0;
  fill(byId("refusals").tBodies[0], grouped(refusals).map((one) => make("tr", {},
    make("td", { className: "nowrap" }, one.age_s < 2 ? "now" : `${ago(one.age_s)} ago`,
      one.count > 1 ? make("span", { className: "quiet" }, `, ${one.count} lately`) : null),
    make("td", { "data-head": "Name" }, one.sni ?? "(none)"),
    make("td", { className: "address", "data-head": "From" }, one.source ?? "(gone)"),
    make("td", {}, one.sentence, one.detail ? `: ${one.detail}` : "",
      one.endpoint ? ` (last tried ${one.endpoint})` : ""),
    make("td", { "data-head": "Do" }, ...withCode(one.remedy)))));
}

function showWorkers(now, was, rate) {
  const earlier = new Map(was.workers.map((worker) => [worker.id, worker]));
  fill(byId("workers").tBodies[0], now.workers.map((worker) => {
    const past = earlier.get(worker.id);
    const share = Math.min(1, rate(worker.cpu_us, past?.cpu_us) / 1e6);
    const percent = `${Math.round(share * 100)} %`;
    return make("tr", {},
      make("td", { className: "nowrap" },
        `${worker.id}${worker.cpu === null ? "" : ` on CPU ${worker.cpu}`}`),
      make("td", { className: "nowrap" },
        make("meter", { min: 0, max: 1, low: 0.7, high: 0.9, optimum: 0, value: share,
          ariaLabel: `CPU of worker ${worker.id}` }, percent), ` ${percent}`),
      make("td", { className: "number" }, worker.sessions.toLocaleString("en")),
      make("td", { className: "number" }, perSecond(rate(worker.accepted, past?.accepted))),
      make("td", { className: "number" }, `${bytes(rate(worker.bytes, past?.bytes))}/s`));
  }));
}

// What Consul has and no route can be made of.
function showNotes({ notes, note_count }) {
  byId("left-out").hidden = note_count === 0;
  const more = note_count - notes.length;
  say("left-out-count", `${many(note_count, "thing")} left out`);
  fill(byId("notes"), [...notes.map((note) => make("li", {}, note)),
    ...(more > 0 ? [make("li", { className: "quiet" }, `and ${more} more: `, ...withCode("`sluice routes`"))] : [])]);
}

function showEvents(events) {
  const at = (text) => new Date(text).toLocaleTimeString("en-GB");
  fill(byId("events"), events.length === 0 ? [make("li", { className: "quiet" }, "None.")]
    : events.map(({ at: time, level, text }) => make("li", {},
      make("time", { dateTime: time, title: time }, at(time)),
      make("span", { className: level }, level === "info" ? "" : `${level}: `, text))));
}

// The routes.
let searchedAt = 0, asked = 0, wait = null;
async function search() {
  searchedAt = Date.now();
  const mine = (asked += 1), text = byId("search").value.trim();
  try {
    const answer = await ask(`dashboard/routes?search=${encodeURIComponent(text)}`);
    if (mine === asked) showRoutes(answer, text);
  } catch { /* The next poll says that the gateway does not answer. */ }
}
function leadsTo(route) {
  if (route.sentence) return [make("span", { className: "mark bad" }, "refused"), `: ${route.sentence}`];
  const more = route.endpoint_count - route.endpoints.length;
  return [make("ul", { className: "members" }, ...route.endpoints.map(member),
    more > 0 ? make("li", { className: "quiet" }, `and ${more} more`) : null)];
}
function showRoutes(answer, text) {
  say("route-count", `${answer.total.toLocaleString("en")}`);
  const { matches, routes } = answer;
  say("found", text === "" && matches <= routes.length ? ""
    : `${many(matches, "match", "matches")}${matches > routes.length ? `; the first ${routes.length}` : ""}`);
  fill(byId("route-table").tBodies[0], routes.map((route) => make("tr", {},
    make("td", {}, make("code", {}, route.route)),
    make("td", {}, ...leadsTo(route)),
    make("td", { className: "number", "data-head": "Sessions" }, route.sessions.toLocaleString("en")),
    make("td", { className: "number", "data-head": "To services" }, bytes(route.bytes_up)),
    make("td", { className: "number", "data-head": "To clients" }, bytes(route.bytes_down)))));
}
byId("search").addEventListener("input", () => {
  clearTimeout(wait);
  wait = setTimeout(search, 150);
});
addEventListener("keydown", (event) => {
  const isTyping = document.activeElement === byId("search");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "Escape" && isTyping) {
    byId("search").value = "";
    search();
  }
});

// Asking.
async function ask(what) {
  const answer = await fetch(what, { cache: "no-store", signal: AbortSignal.timeout(8000) });
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  return answer.json();
}
let isPaused = false, lastAt = null;
async function poll() {
  if (!isPaused && !document.hidden) {
    try {
      const answer = await ask("dashboard.json");
      lastAt = Date.now();
      byId("lost").hidden = true;
      show(answer);
    } catch (error) {
      const since = lastAt === null ? "" : ` for ${ago((Date.now() - lastAt) / 1000)}`;
      byId("lost").hidden = false;
      say("lost", `The gateway has not answered${since} (${error.message}). What is shown is old.`);
      before = null;
    }
  }
  setTimeout(poll, POLL_MS);
}
byId("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  say("pause", isPaused ? "Go on" : "Pause");
  if (isPaused) before = null;
});
poll();
