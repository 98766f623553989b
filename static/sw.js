/*
 * The service worker of the pages. It shows a push, and opens the page where it is answered; a newer
 * push of one topic takes the place of an older one. And it keeps the pages for a start without a
 * network: each file comes from the hub if it answers soon, else as it was last seen.
 */
const CACHE = 'trainhub';
const SOON_MS = 3000;
const PAGES = ['tte', 'passenger'];
const FILES = [
  ...PAGES.flatMap((page) => [`${page}.html`, `static/${page}.js`]),
  ...['base.css', 'hand.css', 'tte.css', 'favicon.svg', 'tte.webmanifest'].map((name) => `static/${name}`),
  ...['trainhub.js', 'elements.js', 'page.js', 'staff_view.js', 'words.js', 'words.en.js', 'words.hi.js'].map((name) => `static/${name}`),
];
const ANSWERS = { en: ['Accept', 'Decline'], hi: ['स्वीकार', 'अस्वीकार'] }; // a worker cannot import the pages' words
let slowUntil = 0; // while the hub does not answer, no file waits for it

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
  self.skipWaiting();
});

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  const { pathname } = new URL(url);
  const isFile = FILES.some((name) => pathname === new URL(name, self.registration.scope).pathname);
  if (method === 'GET' && isFile) event.respondWith(fileOf(event.request));
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
