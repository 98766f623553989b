/*
 * The service worker of the pages. It shows a push, and opens the page where it is answered; a newer
 * push of one topic takes the place of an older one. And it opens the pages without a network: each
 * file comes from the hub if it answers soon, else as it was last seen. page.js keeps the first ones.
 */
const CACHE = 'trainhub';
const SOON_MS = 3000;
const ANSWERS = { en: ['Accept', 'Decline'], hi: ['स्वीकार', 'अस्वीकार'] }; // a worker cannot import the pages' words
let slowUntil = 0; // while the hub does not answer, no file waits for it

self.addEventListener('install', () => self.skipWaiting());

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  const name = new URL(url).href.replace(self.registration.scope, '');
  if (method === 'GET' && /^(\w+\.html|static\/)/.test(name)) event.respondWith(fileOf(event.request));
});

async function fileOf(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept && Date.now() < slowUntil) return kept;
  try {
    const signal = kept && AbortSignal.timeout(SOON_MS); // without a kept file it is worth the wait
    const response = await fetch(request, { signal });
    if (response.ok) await cache.put(request, response.clone());
    else if (response.status >= 500) return kept ?? response; // a proxy without its hub
    return response;
  } catch (error) {
    slowUntil = Date.now() + 10 * SOON_MS;
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener('push', (event) => {
  const { title, body, topic, language, link, kind } = event.data.json();
  const isOffer = kind === 'OFFER';
  const [accept, deny] = ANSWERS[language] ?? ANSWERS.en;
  event.waitUntil(self.registration.showNotification(title, {
    body,
    tag: topic,
    lang: language,
    requireInteraction: isOffer,
    data: { link },
    actions: isOffer ? [{ action: 'accept', title: accept }, { action: 'deny', title: deny }] : [],
  }));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const { link } = event.notification.data;
  const page = new URL(link || 'passenger.html', self.registration.scope);
  if (event.action) page.hash += `&answer=${event.action}`;
  event.waitUntil(self.clients.openWindow(page.href));
});
