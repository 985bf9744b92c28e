"""Ways facts go to consumers on other machines, and where consumers read them."""
