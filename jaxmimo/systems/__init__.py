"""The published systems: parameters, and how the building blocks compose; their closed forms."""
