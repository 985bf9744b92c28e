"""Tests of what leaves the project: the package, its lock, the commands of the README, the port as others see it."""
