"""What people type: every command of the Makefile."""
