"""What runs the model: one interface, and several behind it."""
