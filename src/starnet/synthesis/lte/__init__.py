"""The engine `lte`."""
