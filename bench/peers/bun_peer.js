// Rooms on Bun's own server (uWebSockets): its topics, without compression.
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  async fetch(request, server) {
    const url = new URL(request.url);
    if (url.pathname === '/ws') {
      const room = url.searchParams.get('room');
      return server.upgrade(request, { data: { room } }) ? undefined : new Response('', { status: 400 });
    }
    const body = await request.text();
    JSON.parse(body);
    server.publish(url.pathname.slice(7), body);
    return new Response('{"result":{"done":true}}', {
      headers: { 'Content-Type': 'application/json' },
    });
  },
  websocket: {
    idleTimeout: 0,
    perMessageDeflate: false,
    open(socket) {
      socket.subscribe(socket.data.room);
      socket.send('{"type":"JOINED"}');
    },
    message() {},
  },
});
console.log(server.port);
