"""A module for each command of `impact`."""
