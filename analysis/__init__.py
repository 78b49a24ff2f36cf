"""Studies of what nets learn, and of the tools that say so."""
