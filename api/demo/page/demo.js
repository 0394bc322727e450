// The page at /demo: a small shop beside the mail of whoever shops in it, and the seconds between the two.
// It uses the public API alone. Words from outside go in as text; only the mail is HTML, and it lives in a sandbox.
// The shop itself, who shops in it and the start are in shop.js; both are plain scripts of one page.
'use strict';

const WAIT_MS = 10000; // how long a click may take before the page says that the mail did not change
const POLL_MS = 100;
const IDLE_MS = 15000; // others shop too: what is trending moves without a click here

const $ = (id) => document.getElementById(id);
const every = (selector) => document.querySelectorAll(selector);
const meta = (name) => document.querySelector(`meta[name="inlay-${name}"]`).content;
const say = (words) => Object.entries(words).forEach(([id, text]) => { $(id).textContent = text; });
const now = () => performance.now();
const seconds = (ms) => (ms === null ? '10' : (ms / 1000).toFixed(2));
const pause = (ms) => new Promise((over) => setTimeout(over, ms));
const escaped = encodeURIComponent;

const stage = document.body.dataset; // what the style sheet shows: pane, view, clock, mail, after
const products = new Map();
const troubles = {};
let visitor = ''; // who shops: their id, their cart (item id → quantity), and the mail and clicks that are theirs
let cart = new Map();
let layout = 'weekly';
let shown = null;
let waiting = [];
let times = [];
let turn = 0; // counts changes of visitor and mail: an answer to an earlier turn is not drawn
let watching = false;
let item = null;
let shelf = '';
let gridTop = 0;
let clickedAt = 0;

// ---- small tools

function el(tag, props, ...kids) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...kids);
  return node;
}

const span = (className, ...kids) => el('span', { className }, ...kids);

function button(label, key, value) {
  const node = el('button', { type: 'button' }, label);
  node.dataset[key] = value;
  return node;
}

function money(amount, currency) {
  if (amount === null) return '';
  return new Intl.NumberFormat(undefined, { style: 'currency', currency: currency || 'USD' }).format(amount);
}

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID(); // absent on plain http from another host
  const random = (digit) => (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (digit / 4)))).toString(16);
  return '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, random);
}

/** Reads what this browser keeps under a key, or keeps a value there. */
function kept(key, value) {
  try {
    if (value === undefined) return localStorage.getItem(`inlay-${key}`);
    localStorage.setItem(`inlay-${key}`, value);
  } catch { /* a browser that keeps nothing can still shop */ }
  return value;
}

/** One request: its status (0 when no answer can be read), its data, and the milliseconds it took. */
async function call(method, path, sent) {
  const began = now();
  const headers = { 'X-Api-Key': meta('api-key'), 'Content-Type': 'application/json' };
  const body = sent && JSON.stringify(sent);
  try {
    const answer = await fetch(path, { method, headers, body, signal: AbortSignal.timeout(5000) });
    const { status, ok } = answer;
    const data = ok && await (path.endsWith('=html') ? answer.text() : answer.json());
    return { status, ok, data, ms: now() - began };
  } catch {
    return { status: 0, ok: false, ms: now() - began };
  }
}

function why({ status }) {
  if (status) return `The API answered ${status}.`;
  return 'The API does not answer. Is it running? `make demo` starts everything.';
}

/** Each kind of trouble has its own line, which goes when that very thing works again. */
function trouble(kind, text) {
  troubles[kind] = text;
  const lines = Object.values(troubles).filter(Boolean).join('\n');
  if ($('trouble').textContent !== lines) say({ trouble: lines });
}

/** Shows a request as it went over the wire. */
function wire(where, request, { status, ok, ms }, value) {
  const badge = el('b', { className: ok ? 'good' : 'bad' }, status || 'no answer');
  $(`${where}-line`).replaceChildren(span('', request), badge, `${ms.toFixed(0)} ms`);
  const parts = JSON.stringify(value, null, 1).replace(/\n\s*/g, ' ').split(/("\w+":)/);
  $(where).replaceChildren(...parts.map((part, i) => (i % 2 ? el('i', {}, part) : part)));
}

// ---- what a visitor does

/** Posts the events of one click. With words for it, the mail is watched until it reflects the last of them. */
async function post(said, ...drafts) {
  const before = shown;
  const t0 = now() - clickedAt < 500 ? clickedAt : now();
  const same = { occurred_at: new Date().toISOString(), user_id: visitor };
  const events = drafts.map(({ type, ...rest }) => ({ event_id: uuid(), type, ...same, ...rest }));
  const body = events.length > 1 ? events : events[0];
  if (said) clock('running', t0);
  const got = await call('POST', '/v1/events', body);
  const refused = got.ok ? got.data.refused.map(({ reason }) => `Refused: ${reason}`).join('\n') : '';
  wire('sent', 'POST /v1/events', got, body);
  trouble('wait');
  trouble('post', got.ok ? refused : `Your click was not taken. ${why(got)}`);
  if (!said || same.user_id !== visitor) return;
  if (got.ok && !refused) {
    waiting.push({ event: events[events.length - 1], said, t0, before });
    watch();
  } else if (!waiting.length) clock('lost');
}

const inCart = () => [...cart].map(([id, n]) => [products.get(id), n]).filter(([product]) => product);

function keepCart() {
  kept(`cart-${visitor}`, JSON.stringify([...cart]));
  drawCart();
}

function put({ item_id, title, price, currency }) {
  cart.set(item_id, (cart.get(item_id) || 0) + 1);
  keepCart();
  post(`added ${title} to the cart`, { type: 'add_to_cart', item_id, price, currency, quantity: 1 });
}

function take({ item_id, title, price, currency }) {
  const quantity = cart.get(item_id);
  cart.delete(item_id);
  keepCart();
  post(`took ${title} out of the cart`, { type: 'remove_from_cart', item_id, price, currency, quantity });
}

function buy() {
  const lines = inCart();
  const [[{ title, currency }], ...more] = lines;
  const order_id = `demo-${uuid().slice(0, 8)}`;
  const items = lines.map(([{ item_id, price }, quantity]) => ({ item_id, quantity, price }));
  say({ order: `Order ${order_id}` });
  $('bought').replaceChildren(...lines.map((each) => cartLine(...each)));
  cart.clear();
  keepCart();
  const others = more.length ? ` and ${more.length} more` : '';
  post(`bought ${title}${others}`, { type: 'purchase', order_id, currency, items });
  location.hash = '#/thanks';
}

// ---- from the click to the mail

const face = (answer) => answer && JSON.stringify(answer.blocks.map(({ title, items }) => [title, items]));
const holds = (answer, name, id) => answer.blocks.some(({ block, title, items }) => (
  (!name || name === block || name === title) && items.some(({ item_id }) => item_id === id)));

/** Whether an answer knows of an event: by its time, or by what it shows otherwise than the answer before the click. */
function reflects(answer, { event, before }) {
  if (Date.parse(answer.features_as_of) >= Date.parse(event.occurred_at)) return true;
  const kind = { view: 'recently_viewed', purchase: '' }[event.type] ?? 'abandoned_cart';
  const turned = ({ item_id }) => holds(answer, kind, item_id) !== holds(before, kind, item_id);
  return before && (event.items || [event]).every(turned);
}

/** Asks for the blocks, never twice at a time, until every click is in them and what is shown is what was chosen. */
async function watch() {
  if (watching) return;
  watching = true;
  try {
    await follow();
  } finally {
    watching = false;
  }
}

async function follow() {
  let wait = POLL_MS;
  let asked;
  do {
    asked = turn;
    const path = `/v1/blocks/${layout}?user_id=${escaped(visitor)}`;
    const got = await call('GET', path);
    if (asked === turn) {
      const { data: answer } = drawable(got);
      const done = waiting.filter((waited) => answer && reflects(answer, waited));
      const changed = answer && face(answer) !== face(shown) && await draw(path, answer);
      if (changed || done.length) {
        const brief = ({ block, source, items }) => ({ block, source, items: items.map(({ item_id }) => item_id) });
        wire('got', `GET ${path}`, got, { features_as_of: answer.features_as_of, blocks: answer.blocks.map(brief) });
      }
      settle(done, changed);
      wait = got.ok ? Math.max(POLL_MS, got.ms) : Math.min(wait * 2, 2000); // who answers slowly is asked less often
      if (waiting.length) await pause(wait);
    }
  } while (waiting.length || asked !== turn);
}

function drawable(got) {
  trouble('get', got.ok ? '' : `The mail cannot be drawn. ${why(got)}`);
  return got;
}

/** Redraws the mail, marks what is new in it, and says whether that worked and is still wanted. */
async function draw(path, answer) {
  const asked = turn;
  const old = shown;
  const got = drawable(await call('GET', `${path}&format=html`));
  if (!got.ok || asked !== turn) return false;
  const blocks = $('paper').contentDocument.getElementById('blocks');
  blocks.replaceChildren(...tame(got.data, answer, (title, id) => old && !holds(old, title, id)));
  blocks.querySelector('.fresh')?.scrollIntoView({ block: 'nearest' });
  shown = answer;
  say({ opened: `, opened ${new Date().toLocaleTimeString()}` });
  if ($('known').open) know();
  return true;
}

/** The nodes of the mail, with links that lead into the shop beside it, or nowhere. */
function tame(html, answer, isNew) {
  const mail = new DOMParser().parseFromString(html, 'text/html');
  mail.querySelectorAll('script,base,meta,link,iframe,object,embed,form').forEach((node) => node.remove());
  for (const img of mail.images) { // the shop's own pictures come from this host, whatever the catalogue calls it
    img.src = (img.getAttribute('src') || '').replace(/^https?:\/\/[^/]+(?=\/demo\/pictures\/)/, '');
  }
  const whole = (address) => new URL(address, location.href).href;
  const places = answer.blocks.flatMap(({ block, title, items }) => items.map((each) => ({ ...each, block, title })));
  for (const a of mail.querySelectorAll('[href]')) {
    const href = whole(a.getAttribute('href'));
    const place = places.find(({ url }) => url && whole(url) === href);
    a.removeAttribute('href');
    if (!place) continue;
    const { block, title, item_id, position } = place;
    // No script runs in the sandbox, so the way out is a link to this very page, told apart by its hash.
    a.href = `${location.href.split('#')[0]}#/mail/${escaped(item_id)}/${block}/${position}`;
    a.target = '_top';
    if (!place.marked && isNew(title, item_id)) (a.closest('td') || a).classList.add('fresh');
    place.marked = true; // of an item's picture, title and button the first is enough
  }
  return [...mail.head.querySelectorAll('style'), ...mail.body.childNodes];
}

// ---- what the seconds look like

let ticking = 0;
let toasting = 0;

/** Sets the large figure: a stopwatch that began at `ms` while running, else the time taken. */
function clock(mode, ms = 0) {
  cancelAnimationFrame(ticking);
  Object.assign(stage, { clock: mode, after: '' });
  const runs = mode === 'running';
  if (runs && matchMedia('(prefers-reduced-motion: reduce)').matches) return say({ seconds: '…' });
  const step = () => {
    say({ seconds: seconds(runs ? now() - ms : ms) });
    if (runs) ticking = requestAnimationFrame(step);
  };
  step();
}

/** Takes down the time of what arrived and gives up on what did not. */
function settle(done, changed) {
  const t1 = now();
  const over = waiting.filter((waited) => done.includes(waited) || t1 - waited.t0 > WAIT_MS);
  if (!over.length) return;
  waiting = waiting.filter((waited) => !over.includes(waited));
  times.push(...over.map((waited) => ({ ...waited, changed, ms: done.includes(waited) ? t1 - waited.t0 : null })));
  const newest = times[times.length - 1];
  const asked = 'The mail did not change within 10 s. Is the flow running? `make demo` starts it; then click again.';
  const told = `${after(newest)} ${seconds(newest.ms)} s`;
  trouble('wait', over.length > done.length ? asked : '');
  drawTimes();
  say({ status: `You ${newest.said}. ${told}.`, toast: told });
  $('toast').hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => { $('toast').hidden = true; }, 5000);
  $('mail-dot').hidden = !changed || stage.pane === 'mail';
  if (waiting.length) return;
  clock(newest.ms === null ? 'late' : changed ? 'changed' : 'known', newest.ms);
  stage.after = newest.event.type;
}

function after({ ms, changed }) {
  if (ms === null) return 'Not in your mail after';
  return changed ? 'In your mail after' : 'Known after';
}

function drawTimes() {
  $('history').replaceChildren(...times.slice(-3).reverse().map((time) => el('li', {},
    span('', time.said), el('i', {}, after(time)), el('b', {}, `${seconds(time.ms)} s`))));
}

/** Fills the drawer with what is known, and hands it back. */
async function know() {
  const got = await call('GET', `/v1/users/${escaped(visitor)}`);
  const features = (got.ok && got.data.features) || {};
  const known = { ...features.user_activity, ...features.user_items, ...features };
  for (const row of every('[data-feature]')) {
    const names = [known[row.dataset.feature] || []].flat().map((id) => (products.get(id) || { title: id }).title);
    row.hidden = !names.length;
    row.lastElementChild.textContent = names.slice(0, 6).join(', ');
  }
  return known;
}
