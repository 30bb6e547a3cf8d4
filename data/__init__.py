"""What the tables are, how they are stored, and where books come from."""
