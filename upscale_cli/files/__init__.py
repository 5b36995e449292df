"""Files as wholes: temporary names, work folders, objects in stores, stamps."""
