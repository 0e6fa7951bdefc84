"""From a bundle to the formats of phones, each file run on images here before it is written; see `convert`."""
