"""How a net runs on a device."""
