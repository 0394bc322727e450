// The shop of the page at /demo, who shops in it, and the start. The mail and its seconds are in demo.js.
'use strict';

// ---- the shop

const addressOf = (id) => `#/p/${escaped(id)}`;
const shelfOf = ({ category }) => (category || 'Other').split('/')[0];

function picture({ item_id, title }, node = el('img')) {
  return Object.assign(node, { alt: title, loading: 'lazy', src: `/demo/pictures/${escaped(item_id)}.jpg` });
}

function priceOf({ price, list_price, currency }) {
  return [money(price, currency), ...(list_price > price ? [' ', el('s', {}, money(list_price, currency))] : [])];
}

function card(product) {
  const { item_id, brand, title, in_stock } = product;
  const sold = in_stock ? [] : [span('sold', 'Sold out')];
  const words = [...sold, span('brand', brand || ''), span('title', title), span('price', ...priceOf(product))];
  return el('li', {}, el('a', { href: addressOf(item_id) }, picture(product), ...words));
}

function cartLine(product, quantity, ...more) {
  const { item_id, title, price, currency } = product;
  const sum = span('price', money(price * quantity, currency));
  return el('li', {}, picture(product), el('a', { href: addressOf(item_id) }, title), `× ${quantity}`, sum, ...more);
}

function drawGrid(name) {
  const words = $('query').value.trim().toLowerCase();
  const found = [...products.values()].filter((each) => (!name || shelfOf(each) === name)
    && `${each.title} ${each.brand} ${each.category}`.toLowerCase().includes(words));
  shelf = name;
  mark('shelf', name);
  $('grid').replaceChildren(...found.map(card));
}

function drawItem() {
  const { brand, title, in_stock, category } = item;
  picture(item, $('item-picture'));
  const stock = in_stock ? 'In stock' : 'Sold out. No mail will show it.';
  say({ 'item-brand': brand, 'item-title': title, 'item-stock': stock });
  $('item-price').replaceChildren(...priceOf(item));
  $('add').disabled = !in_stock;
  const alike = [...products.values()].filter((other) => other !== item && other.category === category);
  $('more').replaceChildren(...alike.slice(0, 4).map(card));
}

function drawCart() {
  const lines = inCart();
  const removable = ([product, n]) => cartLine(product, n, button('Remove', 'take', product.item_id));
  const total = lines.reduce((sum, [{ price }, n]) => sum + price * n, 0);
  $('lines').replaceChildren(...lines.map(removable));
  const count = lines.reduce((sum, [, n]) => sum + n, 0);
  say({ total: count && money(total, lines[0][0].currency), 'cart-count': count });
  $('item-cart').hidden = !item || !cart.has(item.item_id);
}

/** Shows what the address's hash names; opening a product is a view, opening it from the mail a click as well. */
function route(event) {
  const [, name, item_id, block, slot] = location.hash.split('/').map(decodeURIComponent);
  item = products.get(item_id);
  const mailed = name === 'mail' ? [{ type: 'email_click', item_id, layout, block, slot: Number(slot) }] : [];
  if (name === 'mail') {
    history.replaceState(null, '', addressOf(item_id));
    pane('shop');
  }
  const view = item ? 'item' : name === 'cart' || (name === 'thanks' && $('order').textContent) ? name : 'grid';
  if (stage.view === 'grid') gridTop = $('views').scrollTop || scrollY; // a phone scrolls the window
  stage.view = view;
  if (item) {
    drawItem();
    post(`viewed ${item.title}`, ...mailed, { type: 'view', item_id, price: item.price, currency: item.currency });
  }
  drawCart();
  const top = view === 'grid' ? gridTop : 0;
  $('views').scrollTop = top;
  scrollTo(0, top);
  if (event) document.querySelector(`.view-${view} h2`).focus({ preventScroll: true });
}

function toGrid() {
  if (location.hash.length > 2) history.pushState(null, '', '#/');
  route();
}

// ---- who shops, which mail, which pane

const stranger = () => `visitor-${uuid().slice(0, 8)}`;

/** Goes on as another visitor: their mail, their cart, no times yet. */
async function become(who) {
  visitor = who;
  shown = null;
  waiting = [];
  times = [];
  turn += 1;
  $('visitor').value = who;
  say({ to: who });
  clock('idle');
  trouble('wait');
  drawTimes();
  const own = kept(`cart-${who}`);
  cart = new Map(JSON.parse(own || '[]'));
  drawCart();
  watch();
  if (own || who === $('own').value) return;
  const { cart_items } = await know(); // a simulated shopper may have filled a cart elsewhere
  if (who !== visitor || cart.size) return;
  cart = new Map((cart_items || []).map((id) => [id, 1]));
  drawCart();
}

function you(who) {
  Object.assign($('own'), { value: kept('visitor', who), textContent: `you (${who})` });
  become(who);
}

function meet() {
  you(stranger());
  toGrid();
}

function mark(key, value) {
  for (const node of every(`button[data-${key}]`)) node.ariaPressed = node.dataset[key] === value;
}

function choose(name) {
  if (name !== layout) {
    shown = null;
    turn += 1;
    $('sheet').scrollTop = 0;
  }
  layout = name;
  stage.mail = name;
  mark('layout', name);
  const { subject, opening } = document.querySelector(`#layouts [data-layout="${name}"]`).dataset;
  say({ subject });
  $('paper').contentDocument.getElementById('opening').textContent = opening;
  watch();
}

function pane(name) {
  stage.pane = name;
  mark('tab', name);
  if (name === 'mail') $('mail-dot').hidden = $('toast').hidden = true;
  scrollTo(0, 0);
}

function press({ target }) {
  clickedAt = now();
  const { id, dataset } = target.closest('button') || $('views');
  if (id === 'add') put(item);
  else if (id === 'buy') buy();
  else if (id === 'toast') pane('mail');
  else if (id === 'new-visitor') meet();
  else if (dataset.take) take(products.get(dataset.take));
  else if (dataset.layout) choose(dataset.layout);
  else if (dataset.tab) pane(dataset.tab);
  else if ('shelf' in dataset) drawGrid(dataset.shelf);
}

async function start() {
  const got = await call('GET', '/demo/products.json');
  if (!got.ok) return trouble('get', `The shop has no products to show. ${why(got)}`);
  for (const product of got.data) products.set(product.item_id, product);
  const shelves = new Set([...products.values()].map(shelfOf));
  $('chips').append(...[...shelves].map((shelf) => button(shelf, 'shelf', shelf)));
  while (!$('paper').contentDocument?.getElementById('blocks')) await pause(10); // a frame may load after the page
  const { documentElement, body } = $('paper').contentDocument;
  new ResizeObserver(() => { $('paper').style.height = `${documentElement.offsetHeight}px`; }).observe(body);
  document.onclick = press;
  window.onhashchange = route;
  $('search').onsubmit = (event) => { event.preventDefault(); post('', { type: 'search', query: $('query').value }); };
  $('query').oninput = () => { drawGrid(shelf); toGrid(); };
  $('visitor').onchange = () => { become($('visitor').value); toGrid(); };
  $('known').ontoggle = know;
  say({ avatar: meta('shop-name')[0] });
  $('wire').open = matchMedia('(min-width: 900px)').matches;
  drawGrid('');
  you(kept('visitor') || stranger());
  choose(layout);
  route();
  setInterval(() => { if (!document.hidden) watch(); }, IDLE_MS);
}

start();
