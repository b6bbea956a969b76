"""What is measured: a module for each kind of work. Each case is a function that yields rows of the table."""
