"""The commands, one file each. Only `retell_ws.__main__` imports them, and only the one that is asked for."""
