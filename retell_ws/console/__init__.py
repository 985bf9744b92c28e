"""The console: a page on the second port that shows the calls, and plays a caller."""
