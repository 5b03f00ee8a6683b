-- Prints a free port of 127.0.0.1.
print((require "migrator.core.http").find_port())
