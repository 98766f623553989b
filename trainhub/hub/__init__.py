"""Where messaging meets the railway: runs, commands, sessions, views and documents."""
