"""What we ask of Retell's REST API for whoever runs an agent: that it dials us, and how its calls went."""
