"""A bundle behind HTTP, and a page that asks it about images: on the server, or in the browser itself.

Imports neither torch nor anything that trains. `site` needs no more than a bundle's reader does; `app` needs
``dspkd[serve]``.
"""
