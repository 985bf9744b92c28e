"""The commands, one file each, and beside them what several share, or what one would be too long with.

Only `retell_ws.__main__` imports commands, and only the one that is asked for.
"""
