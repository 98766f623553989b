/* The floor: rooms in C, one send(2) for each socket. It trusts its clients, and checks nothing.
 * GET /ws?room=N joins, POST /rooms/N sends the body as a text frame to the room. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILES = 65536, ROOMS = 4096, BYTES = 65536 };

static const char JOINED[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    "\x81\x11{\"type\":\"JOINED\"}";
static const char DONE[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n"
    "{\"result\":{\"done\":true}}";

static struct { int count, most, *sockets; } rooms[ROOMS];

/* Send a frame to each socket. Return how many did not take all of it. */
int send_to_all(const int *sockets, int count, const void *frame, size_t size)
{
    int failed = 0;
    for (int n = 0; n < count; n++)
        failed += send(sockets[n], frame, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size;
    return failed;
}

static void join(int number, int descriptor)
{
    if (rooms[number].count == rooms[number].most) {
        rooms[number].most += 1024;
        rooms[number].sockets =
            realloc(rooms[number].sockets, rooms[number].most * sizeof(int));
    }
    rooms[number].sockets[rooms[number].count++] = descriptor;
    send(descriptor, JOINED, sizeof JOINED - 1, MSG_NOSIGNAL);
}

static void publish(int number, const char *body, size_t size)
{
    static unsigned char frame[BYTES + 4];
    size_t head = size < 126 ? 2 : 4;
    frame[0] = 0x81;
    frame[1] = size < 126 ? size : 126;
    if (head == 4) {
        frame[2] = size >> 8;
        frame[3] = size & 255;
    }
    memcpy(frame + head, body, size);
    send_to_all(rooms[number].sockets, rooms[number].count, frame, head + size);
}

static void serve(int descriptor)
{
    static char data[BYTES];
    ssize_t size = recv(descriptor, data, sizeof data - 1, 0);
    if (size <= 0) {
        close(descriptor);
        return;
    }
    data[size] = 0;
    char *body = strstr(data, "\r\n\r\n");
    if (!strncmp(data, "GET /ws?room=", 13)) {
        join(atoi(data + 13) % ROOMS, descriptor);
    } else if (!strncmp(data, "POST /rooms/", 12) && body) {
        publish(atoi(data + 12) % ROOMS, body + 4, size - (body + 4 - data));
        send(descriptor, DONE, sizeof DONE - 1, MSG_NOSIGNAL);
    }
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t length = sizeof address;
    int door = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0), yes = 1;
    bind(door, (struct sockaddr *)&address, sizeof address);
    listen(door, 4096);
    getsockname(door, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = door}, ready[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, door, &event);
    for (;;) {
        int count = epoll_wait(poll, ready, 256, -1);
        for (int n = 0; n < count; n++) {
            int descriptor = ready[n].data.fd;
            if (descriptor != door) {
                serve(descriptor);
                continue;
            }
            descriptor = accept(door, NULL, NULL);
            setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            event.data.fd = descriptor;
            epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event);
        }
    }
}
