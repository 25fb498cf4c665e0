"""Commands and libraries of the application with stores at an address."""
