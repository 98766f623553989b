"""The codes with which the hub closes a WebSocket, and what a client does then."""

# RFC 6455: the hub is going away, or an event could not be delivered.
GOING_AWAY = 1001
# RFC 6455: the bytes are not WebSocket.
PROTOCOL_ERROR = 1002
# RFC 6455: a text is not UTF-8.
NOT_UTF_8 = 1007
# RFC 6455: a message is over the limit.
TOO_LARGE = 1009
BAD_MESSAGES = 4400
NOT_IDENTIFIED = 4401
TOKEN_REFUSED = 4403
TOO_SLOW = 4408
DISMISSED = 4410
TOO_MANY = 4429
JOURNAL_FAILED = 4503

CLOSE_CODES = {
    GOING_AWAY: "The hub is stopping: connect again after GOODBYE's `retryAfterMs`.",
    PROTOCOL_ERROR: "The frames break RFC 6455: correct the client.",
    NOT_UTF_8: "A text is not UTF-8: correct the client.",
    TOO_LARGE: "A message was over 64 KB: send smaller messages.",
    BAD_MESSAGES: "Too many messages were not well formed: correct the client.",
    NOT_IDENTIFIED: "Send IDENTIFY or SUBSCRIBE_TRAIN within 10 seconds.",
    TOKEN_REFUSED: "The token has expired or was revoked: connect again with another. "
    "IDENTIFY with a new one before `expiresAt` keeps the socket.",
    TOO_SLOW: "More than 1 MB waited for the client: connect again, with `since`.",
    DISMISSED: "An ADMIN closed the connection: connect again.",
    TOO_MANY: "Too many messages, bytes or frames in spite of RATE_LIMITED: send less.",
    JOURNAL_FAILED: "The hub has failed, and perhaps its journal: connect again later.",
}
