"""What stands around the servers: a proxy before them, containers to run them in."""
