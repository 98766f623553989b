"""The edge that clients see: HTTP and WebSocket over tornado."""
