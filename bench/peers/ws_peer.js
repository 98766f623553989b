// Rooms on npm's ws, without compression: GET /ws?room=N joins, POST /rooms/N sends to the room.
const http = require('http');
const { WebSocketServer } = require('ws');

const rooms = new Map();
const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const body = Buffer.concat(parts);
    JSON.parse(body);
    for (const each of rooms.get(request.url.slice(7)) ?? []) each.send(body, { binary: false });
    const answer = '{"result":{"done":true}}';
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': answer.length,
    });
    response.end(answer);
  });
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false, skipUTF8Validation: true });
sockets.on('connection', (socket, request) => {
  const room = request.url.split('room=')[1];
  if (!rooms.has(room)) rooms.set(room, new Set());
  rooms.get(room).add(socket);
  socket.on('close', () => rooms.get(room).delete(socket));
  socket.send('{"type":"JOINED"}');
});
server.keepAliveTimeout = 0;
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () =>
  console.log(server.address().port),
);
