"""The federation: the Flower app, what runs behind the studio, and the companion on a designer's machine."""
