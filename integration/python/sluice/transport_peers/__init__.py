"""Other projects' transports as contestants of `sluice bench transport`."""
