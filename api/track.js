/* Inlay's script for shops. Nothing is stored or sent before consent, nor where Do Not Track or GPC is on. docs/collect.md */
(() => {
  const script = document.currentScript;
  const { key, consent, domain } = script.dataset;
  const url = new URL('batch', script.src).href;
  const MOST = 100; // events kept; the oldest go first
  const AT_ONCE = 20; // events a request, well under the 64 KB that a browser lets a leaving page send
  const WORDS = ['source', 'medium', 'campaign', 'term', 'content'];
  const CLICKS = { add: 'Product Added', remove: 'Product Removed', wish: 'Product Added to Wishlist' };
  const FIELDS = ['price', 'currency', 'quantity', 'category', 'name', 'variant'];
  const refuses = () => navigator.globalPrivacyControl || navigator.doNotTrack === '1' || window.doNotTrack === '1';

  // What is kept: one entry each in localStorage, and for this page alone where there is none.
  const memory = {};
  const read = (name, or) => {
    try { return JSON.parse(localStorage.getItem('inlay_' + name)) ?? or; } catch { return memory[name] ?? or; }
  };
  const write = (name, value) => {
    memory[name] = value;
    try {
      if (value == null) localStorage.removeItem('inlay_' + name);
      else localStorage.setItem('inlay_' + name, JSON.stringify(value));
    } catch { /* full or forbidden */ }
  };

  const COOKIE = 'inlay_anonymous_id';
  const cookie = () => document.cookie.match(/(?:^|; )inlay_anonymous_id=([^;]+)/)?.[1];
  const bake = (value, age) => {
    document.cookie = `${COOKIE}=${value}; path=/; max-age=${age}; samesite=lax`
      + (domain ? `; domain=${domain}` : '') + (location.protocol === 'https:' ? '; secure' : '');
  };
  const uuid = () => '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (c) => // randomUUID wants https
    (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
  let mine;
  const anonymous = () => {
    mine = cookie() || mine || uuid();
    bake(mine, 31536000);
    return mine;
  };

  // Who comes from a mail brings a word that says so: it goes back with the id of the device, and stays in no address.
  let arrival = location.search.match(/[?&]inlay_arrival=([^&]*)/)?.[1];
  if (arrival !== undefined) {
    const rest = location.search.replace(/([?&])inlay_arrival=[^&]*(&|$)/, (all, before, after) => after && before);
    history.replaceState(history.state, '', location.href.replace(location.search, rest));
  }

  let queue = [], sending = false, failures = 0, timer, started = false;
  const allowed = () => !refuses() && (read('consent') ?? consent === 'granted') === true;

  // The campaign that led here, remembered for the forms of later pages.
  const campaign = () => {
    const query = new URLSearchParams(location.search), found = {};
    for (const word of WORDS) {
      const value = query.get('utm_' + word);
      if (value) found[word === 'campaign' ? 'name' : word] = value.slice(0, 200);
    }
    if (query.get('campaign_id')) found.id = query.get('campaign_id').slice(0, 200);
    if (Object.keys(found).length) write('campaign', found);
    return read('campaign', {});
  };

  const say = (type, more) => {
    if (!allowed()) return;
    const event = {
      type, messageId: uuid(), timestamp: new Date().toISOString(), anonymousId: anonymous(),
      userId: read('user') || undefined, ...more,
      context: {
        page: { url: location.href.slice(0, 2000), referrer: document.referrer.slice(0, 2000), title: document.title.slice(0, 200) },
        campaign: campaign(), locale: navigator.language,
      },
    };
    queue = [...queue, event].slice(-MOST);
    write('queue', queue);
    later(20); // what happens at one moment goes together
  };

  const later = (wait) => { clearTimeout(timer); timer = setTimeout(send, wait); };
  const body = (events) => JSON.stringify({ writeKey: key, sentAt: new Date().toISOString(), batch: events });
  const send = async () => {
    if (sending || !queue.length || !allowed()) return;
    sending = true;
    const events = queue.slice(0, AT_ONCE);
    let wait = 0, done = false;
    try { // text/plain by default: no question of the browser's beforehand
      const answer = await fetch(url, { method: 'POST', body: body(events), keepalive: true, credentials: 'omit' });
      done = answer.status < 500 && answer.status !== 429; // what is refused would be refused again
      wait = 1000 * (answer.headers.get('retry-after') || 0);
    } catch { /* nobody answers */ }
    sending = false;
    if (done) {
      queue = queue.filter((event) => !events.includes(event));
      if (allowed()) write('queue', queue.length ? queue : null);
      failures = 0;
    } else wait = Math.max(wait, Math.min(60000, 500 * 2 ** ++failures) * (0.5 + Math.random() / 2));
    if (queue.length) later(wait);
  };
  // Who leaves is not waited for: what has no answer yet goes once more, with the same ids, and once more on the next page.
  const leave = () => {
    if (document.visibilityState === 'hidden' && queue.length && allowed())
      navigator.sendBeacon?.(url, new Blob([body(queue.slice(0, AT_ONCE))], { type: 'text/plain' }));
  };

  // Products: `data-inlay-view="id"` with data-inlay-price and so on, else the page's JSON-LD.
  const told = (element, kind) => {
    const id = element.getAttribute('data-inlay-' + kind), found = id ? { product_id: id } : { ...product() };
    for (const field of FIELDS) {
      const value = element.getAttribute('data-inlay-' + field);
      if (value) found[field] = value;
    }
    return found;
  };
  const product = () => {
    const element = document.querySelector('[data-inlay-view]');
    if (element?.getAttribute('data-inlay-view')) return told(element, 'view');
    for (const block of document.querySelectorAll('script[type="application/ld+json"]')) {
      let all;
      try { all = [JSON.parse(block.textContent)].flat(); } catch { continue; }
      for (const each of all.flatMap((one) => one?.['@graph'] ?? one)) {
        if (![each?.['@type']].flat().includes('Product')) continue;
        const id = each.sku || each.productID || each['@id'], offer = [each.offers].flat()[0] || {};
        if (id) return {
          product_id: String(id), name: each.name, brand: each.brand?.name || each.brand, category: each.category?.name || each.category,
          price: offer.price ?? offer.lowPrice, currency: offer.priceCurrency,
        };
      }
    }
  };

  const fill = (form) => {
    if (!allowed()) return;
    const said = campaign(), values = { [COOKIE]: anonymous() };
    for (const word of WORDS) values['utm_' + word] = said[word === 'campaign' ? 'name' : word];
    for (const [name, value] of Object.entries(values)) {
      let field = form.elements[name];
      if (!field && value && form.hasAttribute('data-inlay-form')) {
        form.append(field = Object.assign(document.createElement('input'), { type: 'hidden', name }));
      }
      if (field && value) field.value = value;
    }
  };

  const start = () => {
    if (started || !allowed()) return;
    started = true;
    queue = read('queue', []); // what the page before could not send
    if (arrival && !read('user')) say('identify', { arrival });
    arrival = '';
    say('page');
    const seen = product();
    if (seen?.product_id) say('track', { event: 'Product Viewed', properties: seen });
    for (const form of document.forms) fill(form);
  };
  const calls = {
    consent(given) {
      started = started && given;
      if (given && !refuses()) { write('consent', true); start(); return; }
      for (const name of ['queue', 'user', 'campaign', 'consent']) write(name);
      if (consent === 'granted' && !refuses()) write('consent', false);
      if (cookie()) bake('', 0);
      queue = []; mine = undefined;
    },
    identify(user, traits) { if (allowed()) { write('user', String(user)); say('identify', { traits }); } },
    track(event, properties) { say('track', { event, properties }); },
    page(name, properties) { say('page', { name, properties }); },
    reset() { write('user'); if (cookie()) bake('', 0); mine = undefined; }, // another person at this device
    id: () => (allowed() ? anonymous() : undefined),
  };

  addEventListener('click', (event) => {
    for (const kind in CLICKS) {
      const element = event.target.closest?.(`[data-inlay-${kind}]`), said = element && told(element, kind);
      if (said?.product_id) say('track', { event: CLICKS[kind], properties: said });
    }
  }, true);
  addEventListener('submit', (event) => fill(event.target), true);
  addEventListener('visibilitychange', leave, true);
  addEventListener('online', () => later(0));
  const waiting = window.inlay?.q || [];
  window.inlay = (call, ...rest) => calls[call]?.(...rest);
  if (document.readyState === 'loading') addEventListener('DOMContentLoaded', start);
  else start();
  for (const each of waiting) window.inlay(...each);
})();
