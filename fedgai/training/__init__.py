"""The losses, a designer's training at home, and the house Generator's from nothing."""
