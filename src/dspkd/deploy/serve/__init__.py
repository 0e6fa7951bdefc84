"""Serve a bundle over HTTP, with a page that predicts images on the server or in the browser itself.

Imports neither torch nor anything that trains. `web_page` needs no more than a bundle's reader does; `app` needs
``dspkd[serve]``.
"""
