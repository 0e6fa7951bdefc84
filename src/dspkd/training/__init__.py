"""The training loop, what it saves, and what makes it quick on this machine."""
