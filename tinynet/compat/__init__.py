"""What other libraries' import lines become."""
