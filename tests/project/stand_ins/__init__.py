"""Programs that take the place of others, and refuse what those would refuse of the README's commands."""
