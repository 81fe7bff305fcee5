// The page: it follows /events and draws the nodes. Texts of the network are only ever set as text.
"use strict";

const DOWN_SHOWN = 30_000; // As in state.rs.
const MANY = 150; // From here on nodes are squares without names.
const SPAN = 600_000; // The time that the timeline shows.
const BAR = 5_000;
const EVENTS = 200;

const get = (id) => document.getElementById(id);
const [map, details, facts, events, timeline, find] =
  ["map", "details", "facts", "events", "timeline", "find"].map(get);

/** By id: the node as the server told it, and its button. */
const nodes = new Map();
/** By address: the section of the host. */
const hosts = new Map();
/** The moments of ups and downs, oldest first. */
let changes = [];
let clock = 0; // The server's time minus this page's.
let opened = null; // The id of the node whose details are shown.
let current = null; // The node that Tab reaches.
let draws = false;

const now = () => Date.now() + clock;
const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function take(message) {
  const told = JSON.parse(message.data);
  clock = told.now - Date.now();
  if (told.all) {
    const listed = new Set(told.nodes.map((node) => node.id));
    for (const id of [...nodes.keys()]) if (!listed.has(id)) forget(id);
    events.replaceChildren();
    changes = [];
  }
  for (const node of told.nodes) learn(node);
  for (const event of told.events) tell(event);
  schedule();
}

function learn(node) {
  let known = nodes.get(node.id);
  if (!known) {
    const button = element("button", node.id, "node");
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.id = node.id;
    known = { button };
    nodes.set(node.id, known);
  }
  known.node = node;
  const { button } = known;
  button.className = `node ${node.state}`;
  const why = node.reason ? `, ${node.reason}` : "";
  button.title = `${node.id} at ${node.address}: ${node.state}${why}`;
  button.setAttribute("aria-label", button.title);
  button.style.animationDelay = node.state === "down" ? `${node.downSince - now()}ms` : "";
}

function forget(id) {
  const known = nodes.get(id);
  nodes.delete(id);
  known.button.remove();
  if (current === known.button) current = null;
  if (opened === id) close();
}

function tell(event) {
  const at = new Date(event.at).toISOString().slice(11, 19);
  events.prepend(element("li", `${at} ${event.name} ${event.id} ${event.text}`, event.name));
  while (events.childElementCount > EVENTS) events.lastChild.remove();
  if (event.name === "up" || event.name === "down") changes.push(event);
}

/** Draws before the next frame: many changes cause one drawing. */
function schedule() {
  if (draws) return;
  draws = true;
  requestAnimationFrame(() => {
    draws = false;
    draw();
  });
}

/** Gives an element these children in this order; those that are in place are not touched, so focus stays. */
function arrange(parent, children) {
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function draw() {
  for (const [id, { node }] of nodes) {
    if (node.state === "down" && now() - node.downSince > DOWN_SHOWN) forget(id);
  }
  const wanted = find.value.toLowerCase();
  const groups = new Map();
  const counts = { alive: 0, suspect: 0, down: 0 };
  for (const { node, button } of [...nodes.values()].sort((a, b) => byText(a.node.id, b.node.id))) {
    counts[node.state] += 1;
    if (!groups.has(node.address)) groups.set(node.address, []);
    groups.get(node.address).push(button);
    const text = `${node.id} ${node.address} ${JSON.stringify(node.meta ?? "")}`.toLowerCase();
    button.classList.toggle("hidden", !text.includes(wanted));
  }
  for (const [address, section] of hosts) {
    if (groups.has(address)) continue;
    section.remove();
    hosts.delete(address);
  }
  const addresses = [...groups.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  arrange(map, addresses.map((address) => {
    if (!hosts.has(address)) {
      const section = element("section", "", "host");
      section.append(element("h3"), element("div", "", "nodes"));
      hosts.set(address, section);
    }
    const section = hosts.get(address);
    const [title, list] = section.children;
    const buttons = groups.get(address);
    title.textContent = buttons.length > 1 ? `${address} (${buttons.length})` : address;
    arrange(list, buttons);
    return section;
  }));
  map.classList.toggle("many", nodes.size > MANY);
  if (!current) select(map.querySelector(".node"), false);
  get("counts").textContent = nodes.size === 0 ? "no node"
    : `${counts.alive} alive, ${counts.suspect} suspect, ${counts.down} down`;
  drawTimeline();
}

function drawTimeline() {
  const start = now() - SPAN;
  changes = changes.filter((event) => event.at >= start);
  const bars = Array.from({ length: SPAN / BAR }, () => ({ up: 0, down: 0 }));
  for (const event of changes) {
    const bar = bars[Math.min(bars.length - 1, Math.floor((event.at - start) / BAR))];
    bar[event.name] += 1;
  }
  const most = Math.max(1, ...bars.flatMap((bar) => [bar.up, bar.down]));
  const shape = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const parts = [shape("line", { x1: 0, x2: 600, y1: 30, y2: 30 })];
  const width = 600 / bars.length;
  bars.forEach((bar, at) => {
    for (const name of ["up", "down"]) {
      if (!bar[name]) continue;
      const height = Math.max(3, (28 * bar[name]) / most);
      const y = name === "up" ? 30 - height : 30;
      parts.push(shape("rect", { class: name, x: at * width, width: width - 1, y, height }));
    }
  });
  timeline.replaceChildren(...parts);
}

/** Makes a node the one that Tab reaches. */
function select(button, focus = true) {
  if (!button) return;
  if (current) current.tabIndex = -1;
  current = button;
  current.tabIndex = 0;
  if (focus) current.focus();
}

function open(id) {
  if (opened !== null) nodes.get(opened)?.button.setAttribute("aria-pressed", "false");
  opened = id;
  nodes.get(id)?.button.setAttribute("aria-pressed", "true");
  get("name").textContent = id;
  facts.replaceChildren();
  get("meta").textContent = "";
  details.hidden = false;
  refresh();
}

function close() {
  const known = nodes.get(opened);
  known?.button.setAttribute("aria-pressed", "false");
  opened = null;
  details.hidden = true;
  if (known) select(known.button);
}

async function refresh() {
  if (opened === null) return;
  const id = opened;
  let node = nodes.get(id)?.node;
  try {
    const answer = await fetch(`/api/nodes?id=${encodeURIComponent(id)}`);
    const [newer] = await answer.json();
    node = newer ?? node;
  } catch {
    // The connection is shown as lost; the last state stays.
  }
  if (opened !== id || !node) return;
  const time = (at) => `${new Date(at).toISOString().slice(0, 19)}Z`;
  const ago = (at) => `${Math.max(0, (now() - at) / 1000).toFixed(1)} s ago`;
  const rows = [["state", node.reason ? `${node.state}: ${node.reason}` : node.state]];
  for (const { address, interface: name } of node.addresses) {
    rows.push(["address", name ? `${address} on ${name}` : address]);
  }
  rows.push(["loss", `${((node.loss ?? 0) * 100).toFixed(1)} %`]);
  if (node.version) rows.push(["version", node.version]);
  if (node.incarnation) rows.push(["incarnation", node.incarnation.toString(16).padStart(8, "0")]);
  rows.push(["first seen", time(node.firstSeen)], ["last seen", ago(node.lastSeen)]);
  facts.replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  get("meta").textContent = node.meta === undefined ? "" : JSON.stringify(node.meta, null, 2);
}

/** The node beside, above or below the selected one. */
function neighbour(key) {
  const all = [...map.querySelectorAll(".node")];
  const at = all.indexOf(current);
  if (key === "Home") return all[0];
  if (key === "End") return all.at(-1);
  if (key === "ArrowLeft") return all[at - 1];
  if (key === "ArrowRight") return all[at + 1];
  const middle = (button) => {
    const { left, top, width, height } = button.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  };
  const [x, y] = middle(current);
  let best = null;
  let least = Infinity;
  for (const button of all) {
    const [otherX, otherY] = middle(button);
    const down = key === "ArrowDown" ? otherY - y : y - otherY;
    if (down < 5) continue;
    const distance = down * 2 + Math.abs(otherX - x);
    if (distance < least) [best, least] = [button, distance];
  }
  return best;
}

map.addEventListener("click", (event) => {
  const button = event.target.closest(".node");
  if (!button) return;
  select(button);
  open(button.dataset.id);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const types = event.target === find;
  if (event.key === "Escape") {
    if (types) find.value = "";
    if (opened !== null) close();
    else if (types) select(current);
    schedule();
  } else if (types) {
    if (event.key === "Enter") select(map.querySelector(".node:not(.hidden)"));
  } else if (event.key === "/") {
    event.preventDefault();
    find.focus();
  } else if (event.key === "t") {
    changeTheme();
  } else if (/^(Arrow|Home|End)/.test(event.key) && map.contains(event.target)) {
    event.preventDefault();
    select(neighbour(event.key));
  }
});

function changeTheme() {
  const root = document.documentElement;
  const isDark = root.classList.contains("dark")
    || (!root.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
  root.classList.toggle("dark", !isDark);
  root.classList.toggle("light", isDark);
}

get("theme").addEventListener("click", changeTheme);
get("close").addEventListener("click", close);
find.addEventListener("input", schedule);

const source = new EventSource("/events");
const connection = get("connection");
source.addEventListener("message", take);
source.addEventListener("open", () => {
  connection.textContent = "live";
  connection.className = "";
});
source.addEventListener("error", () => {
  connection.textContent = "connection lost, trying again";
  connection.className = "lost";
});
setInterval(() => {
  schedule();
  refresh();
}, 1_000);
