/*
 * The service worker of the passenger page: shows a push, and opens the page where it is answered.
 * A newer push of one topic takes the place of an older one.
 */
self.addEventListener('push', (event) => {
  const { title, body, topic, language, link, kind } = event.data.json();
  const isOffer = kind === 'OFFER';
  event.waitUntil(self.registration.showNotification(title, {
    body,
    tag: topic,
    lang: language,
    requireInteraction: isOffer,
    data: { link },
    actions: isOffer ? [{ action: 'accept', title: 'Accept' }, { action: 'deny', title: 'Decline' }] : [],
  }));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const { link } = event.notification.data;
  const page = new URL(link || 'passenger.html', self.registration.scope);
  if (event.action) page.hash += `&answer=${event.action}`;
  event.waitUntil(self.clients.openWindow(page.href));
});
